"""ASGI 3, ASGI 2 and WSGI applications."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server.interfaces import as_asgi3, guess
from tests.server import apps
from tests.server.wire import HOST, Running


class Old:
    """ASGI 2: called with the scope, then with the channels."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        assert self.scope["type"] == "http"
        body = await apps.whole_body(receive)
        await apps.respond(send, self.scope["asgi"]["version"].encode() + b" " + body)


def old_function(scope: Any) -> Any:
    return Old(scope)


def wsgi(environ: Any, start_response: Any) -> Any:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
    return [environ["REQUEST_METHOD"].encode(), b" ", body]


class New:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class Awaitable:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...


async def with_defaults(scope: Any, receive: Any = None, send: Any = None) -> None: ...


async def wrapped(*arguments: Any) -> None: ...


async def partly(extra: Any, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    "app",
    [apps.hello, New(), New().method, Awaitable, with_defaults, wrapped, functools.partial(partly, 1), print],
)
def test_asgi3(app: Any) -> None:
    assert guess(app) == "asgi3"


@pytest.mark.parametrize("app", [Old, old_function])
@pytest.mark.parametrize("interface", ["auto", "asgi2"])
def test_asgi2(serve: Callable[..., Running], app: Any, interface: str) -> None:
    client = serve(app, interface=interface).connect()
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")
    assert client.response().body == b"2.0 abc"


def test_wsgi(serve: Callable[..., Running]) -> None:
    client = serve(wsgi, interface="wsgi").connect()
    for _ in range(2):
        client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")
        response = client.response()
        assert response.body == b"POST abc"
        assert response.header("x-path") == "/x"


def test_wsgi_is_not_guessed() -> None:
    with pytest.raises(StartupError, match=r"takes environ and start_response, as WSGI .* add --interface wsgi"):
        guess(wsgi)


def test_wsgi_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    with pytest.raises(StartupError, match=r"needs the package a2wsgi: install it, or loophound\[wsgi\]"):
        as_asgi3(wsgi, Config(app=wsgi, interface="wsgi"))
