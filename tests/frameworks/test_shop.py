"""One small application with each framework, asked by httpx and by the websockets client."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.server.wire import wait_until


def without(framework: str, shop: Any, what: str) -> None:
    if shop.framework == framework:
        pytest.skip(f"{framework} has no {what}")


def test_path_query_and_lifespan(shop: Any) -> None:
    answer = httpx.get(f"{shop.url}/items/5", params={"q": "grün & blau"})
    assert answer.json() == {"number": 5, "q": "grün & blau", "stock": 7}
    assert answer.headers["server"] == "loophound"


def test_many_requests_on_one_connection(shop: Any) -> None:
    with httpx.Client() as client:
        for number in range(50):
            assert client.get(f"{shop.url}/items/{number}").json()["number"] == number


def test_what_is_not_there(shop: Any) -> None:
    assert httpx.get(f"{shop.url}/nowhere").status_code == 404


def test_head(shop: Any) -> None:
    answer = httpx.head(f"{shop.url}/items/5")
    assert answer.content == b""
    assert answer.status_code in (200, 405)


def test_a_form_with_a_file(shop: Any) -> None:
    content = os.urandom(700_000)
    field = "data" if shop.framework == "litestar" else "file"
    answer = httpx.post(f"{shop.url}/upload", files={field: ("a.bin", content)})
    assert answer.json() == {"name": "a.bin", "sha": hashlib.sha256(content).hexdigest()}


def test_a_stream(shop: Any) -> None:
    with httpx.stream("GET", f"{shop.url}/stream", params={"count": 100}) as answer:
        lines = list(answer.iter_lines())
    assert lines == [f"line {number}" for number in range(100)]
    assert answer.headers["transfer-encoding"] == "chunked"


def test_a_stream_that_its_client_leaves(shop: Any) -> None:
    with httpx.stream("GET", f"{shop.url}/stream", params={"count": 10**9}) as answer:
        next(answer.iter_bytes())
    assert httpx.get(f"{shop.url}/items/1").status_code == 200


def test_an_error_of_the_application(shop: Any) -> None:
    assert httpx.get(f"{shop.url}/fails").status_code == 500
    if shop.framework not in ("django", "litestar"):  # these keep it to themselves outside of debugging
        wait_until(lambda: shop.logged("sold out"))
    assert httpx.get(f"{shop.url}/items/1").status_code == 200


def test_work_after_the_answer(shop: Any) -> None:
    without("django", shop, "background tasks")
    assert httpx.get(f"{shop.url}/later").text == ""
    wait_until(lambda: "work" in httpx.get(f"{shop.url}/later").text)


def test_a_websocket(shop: Any) -> None:
    without("django", shop, "WebSocket")
    with connect(f"{shop.ws}/chat") as websocket:
        for text in ("a", "ü" * 70_000, ""):
            websocket.send(text)
            assert websocket.recv(10) == f"echo {text}"
        websocket.send("bye")
        with pytest.raises(ConnectionClosedError) as caught:
            websocket.recv(10)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "closing time")
