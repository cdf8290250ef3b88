"""The extensions of HTTP (ASGI specification, "Extensions")."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

from tests.server import apps
from tests.server.apps import sending
from tests.server.wire import Client, Running, wait_until

LARGE = bytes(range(256)) * 12_000  # 3 MB: more than the kernel takes at once

Serve = Callable[..., Running]


def start(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers), **more}


def pathsend(path: Any) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": path}


def zerocopy(file: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, **more}


def last(body: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def trailers(*headers: tuple[bytes, bytes], more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": list(headers), "more_trailers": more}


def get_1_0(client: Client) -> Client:
    return client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def test_announced(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "loophound")
    client = serve(apps.show_scope).connect()
    common = {"http.response.pathsend": {}, "http.response.zerocopysend": {}}
    scope = json.loads(client.get().response().body)
    assert scope["extensions"] == common | {"http.response.trailers": {}, "http.response.early_hint": {}}
    assert json.loads(get_1_0(client).response().body)["extensions"] == common


@pytest.mark.parametrize("as_text", [False, True])
def test_a_large_file_by_its_path(serve: Serve, large: Path, as_text: bool) -> None:
    client = serve(sending(start(), pathsend(str(large) if as_text else large))).connect(receive_buffer=8192)
    for _ in range(2):
        client.get()
        time.sleep(0.05)  # the kernel's buffers fill
        response = client.response()
        assert response.header("content-length") == str(len(LARGE))
        assert response.body == LARGE


def test_a_small_file_by_its_path(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"small")
    client = serve(sending(start((b"content-length", b"5")), pathsend(path))).connect()
    for _ in range(2):
        assert client.get().response().body == b"small"
    response = client.get(method=b"HEAD").response(head=True)
    assert response.header("content-length") == "5"


def test_a_file_to_http_1_0(serve: Serve, large: Path) -> None:
    client = get_1_0(serve(sending(start(), pathsend(large))).connect())
    assert client.response().body == LARGE


def test_a_file_over_tls(serve: Serve, large: Path, tmp_path: Path) -> None:
    """The kernel cannot encrypt: the file is read. Zero copy is not announced."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        assert "http.response.zerocopysend" not in scope["extensions"]
        assert "tls" in scope["extensions"]
        await send(start())
        await send(pathsend(large))

    client = serve(app, ssl_certfile=str(tmp_path / "pem")).connect()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
    assert client.get().response().body == LARGE


def test_parts_of_files(serve: Serve, large: Path) -> None:
    """With other bodies between them, chunked, and from where the file stands."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        with large.open("rb") as file:
            await send(start())
            await send(last(b"<", True))
            await send(zerocopy(file, offset=10, count=5, more_body=True))
            await send(last(b">", True))
            await send(zerocopy(file.fileno(), count=3, more_body=True))
            await send(zerocopy(file.fileno(), more_body=True))
            await send(zerocopy(file, offset=len(LARGE), more_body=True))
            await send(zerocopy(file, offset=0, count=0))

    client = serve(app).connect()
    for _ in range(2):
        response = client.get().response()
        assert response.header("transfer-encoding") == "chunked"
        assert response.body == b"<" + LARGE[10:15] + b">" + LARGE


def test_a_part_with_a_declared_length(serve: Serve, large: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        with large.open("rb") as file:
            await send(start((b"content-length", b"200010")))
            await send(zerocopy(file, offset=5, count=200_000, more_body=True))
            await send(last(b"0123456789"))

    client = serve(app).connect()
    assert client.get().response().body == LARGE[5:200_005] + b"0123456789"
    assert client.get(method=b"HEAD").response(head=True).header("content-length") == "200010"
    assert client.get().response().status == 200


MISTAKES: dict[str, tuple[Any, ...]] = {
    "no such file": (start(), pathsend("/no/such/file")),
    "a directory": (start(), pathsend("/")),
    "no path": (start(), pathsend(None)),
    "no file": (start(), zerocopy(None)),
    "a closed file": (start(), zerocopy(-1)),
    "a negative offset": (start(), zerocopy(0, offset=-1)),
    "another length": (start((b"content-length", b"3")), pathsend(__file__)),
    "a file before the start": (pathsend(__file__),),
    "trailers that were not promised": (start(), trailers()),
    "a link with a line end": ({"type": "http.response.early_hint", "links": [b"a\r\nb"]},),
    "a link that is text": ({"type": "http.response.early_hint", "links": ["a"]},),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(serve: Serve, name: str, caplog: pytest.LogCaptureFixture) -> None:
    response = serve(sending(*MISTAKES[name])).connect().get().response()
    assert response.status == 500
    assert "MessageError" in caplog.text


def test_a_file_that_becomes_shorter_cuts_the_answer(
    serve: Serve, large: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def shrinking(*arguments: Any) -> int:
        return 0

    monkeypatch.setattr(os, "sendfile", shrinking)
    client = serve(sending(start(), pathsend(large))).connect().get()
    assert client.read_until(b"\r\n\r\n")
    assert client.closed()
    assert "the file ended" in caplog.text


def test_client_that_leaves_in_a_file(serve: Serve, large: Path) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send(start())
        await send(pathsend(large))
        witness.saw.append((await receive())["type"])
        witness.saw.append((await receive())["type"])

    running = serve(app)
    client = running.connect(receive_buffer=4096).get()
    client.read_until(b"\r\n\r\n")
    client.close()
    wait_until(lambda: witness.saw[-1:] == ["http.disconnect"])


def test_trailers(serve: Serve) -> None:
    """RFC 9112, section 7.1.2."""
    app = sending(
        start((b"content-length", b"3"), trailers=True),
        last(b"ab", True),
        last(b"c"),
        trailers((b"x-a", b"1"), more=True),
        trailers((b"x-b", b"2")),
    )
    client = serve(app).connect()
    for _ in range(2):
        head = client.get().read_until(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        assert b"content-length" not in head
        assert client.read_until(b"x-b: 2\r\n\r\n") == b"2\r\nab\r\n1\r\nc\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n"
    assert client.get(method=b"HEAD").response(head=True).status == 200
    assert client.get(method=b"HEAD").response(head=True).status == 200


def test_trailers_are_left_out_for_http_1_0(serve: Serve) -> None:
    client = get_1_0(serve(sending(start(trailers=True), last(b"abc"), trailers((b"x-a", b"1")))).connect())
    assert client.response().body == b"abc"


@pytest.mark.parametrize(
    "messages",
    [
        [trailers((b"content-length", b"1"))],
        [trailers((b"x-a", b"1\r\nx-b: 2"))],
        [last(b"more")],
        [],
    ],
)
def test_wrong_trailers_cut_the_answer(serve: Serve, messages: Any) -> None:
    """RFC 9110, section 6.5.1. The body was sent, but does not look whole."""
    client = serve(sending(start(trailers=True), last(b"abc"), *messages)).connect().get()
    client.read_until(b"\r\n\r\n")
    assert client.rest() == b"3\r\nabc\r\n0\r\n"


def test_early_hints(serve: Serve) -> None:
    """RFC 8297."""
    hint = {"type": "http.response.early_hint", "links": [b"</a>; rel=preload", b"</b>"]}
    client = serve(sending(hint, hint, start(), last(b"x"))).connect().get()
    assert (
        client.read_until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nlink: </b>\r\n\r\n"
    )
    assert client.response().status == 103
    assert client.response().body == b"x"
    assert get_1_0(client).response().body == b"x"


def test_debug_goes_to_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        assert "http.response.debug" in scope["extensions"]
        await send({"type": "http.response.debug", "info": {"template": "a.html"}})
        await apps.respond(send)

    caplog.set_level(logging.DEBUG, "loophound")
    assert serve(app, log_level="debug").connect().get(b"/x").response().status == 200
    assert "GET /x: {'template': 'a.html'}" in caplog.text


def test_starlette_sends_files_by_their_path(serve: Serve, large: Path) -> None:
    async def show(request: Any) -> FileResponse:
        return FileResponse(large)

    app = Starlette(routes=[Route("/", show)])
    seen: list[str] = []

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Any) -> None:
            seen.append(message["type"])
            await send(message)

        await app(scope, receive, noting)

    response = serve(spy, lifespan="off").connect().get().response()
    assert response.body == LARGE
    assert seen == ["http.response.start", "http.response.pathsend"]


def test_loop_turns_while_a_disk_is_slow(serve: Serve, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sendfile = os.sendfile

    def slow(*arguments: Any) -> int:
        time.sleep(0.05)
        return sendfile(*arguments)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await send(start())
        await send(pathsend(large))
        ticking.cancel()
        turns.append(ticks)

    monkeypatch.setattr(os, "sendfile", slow)
    turns: list[int] = []
    assert serve(app).connect().get().response().body == LARGE
    wait_until(lambda: turns)
    assert turns[0] > 2
