"""WebSocket endpoints of real frameworks, asked by the websockets client."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.server.wire import Running, wait_until

left: list[Any] = []


class Reversing(WebSocketEndpoint):
    encoding = "bytes"

    async def on_receive(self, websocket: Any, data: bytes) -> None:
        await websocket.send_bytes(data[::-1])

    async def on_disconnect(self, websocket: Any, close_code: int) -> None:
        left.append(close_code)


starlette = Starlette(routes=[Mount("/sub", routes=[WebSocketRoute("/reverse", Reversing)])])

fastapi = FastAPI()


@fastapi.websocket("/chat/{room}")
async def chat(websocket: WebSocket, room: int, name: str = "nobody") -> None:
    await websocket.accept(subprotocol="chat", headers=[(b"x-room", str(room).encode())])
    try:
        while True:
            await websocket.send_json({"room": room, "name": name, "said": await websocket.receive_text()})
    except WebSocketDisconnect as disconnect:
        left.append((disconnect.code, disconnect.reason))


def token(websocket: WebSocket) -> str:
    if websocket.headers.get("authorization") is None:
        raise WebSocketException(1008, "who are you")
    return websocket.headers["authorization"]


@fastapi.websocket("/private")
async def private(websocket: WebSocket, token: str = Depends(token)) -> None:
    await websocket.accept()
    await websocket.send_text(token)
    await websocket.close(3001, "done")


@fastapi.websocket("/denied")
async def denied(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("a teapot", status_code=418))


def opened(server: Running, path: str, **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}{path}", **options)


def test_starlette_endpoint(serve: Any) -> None:
    left.clear()
    with opened(serve(starlette), "/sub/reverse") as websocket:
        for message in (b"abc", b"", b"x" * 200_000):
            websocket.send(message)
            assert websocket.recv() == message[::-1]
    wait_until(lambda: left)
    assert left == [1000]


def test_fastapi_path_query_subprotocol_and_disconnect(serve: Any) -> None:
    left.clear()
    with opened(serve(fastapi), "/chat/7?name=ada", subprotocols=["other", "chat"]) as websocket:
        assert websocket.subprotocol == "chat"
        assert websocket.response is not None
        assert websocket.response.headers["x-room"] == "7"
        websocket.send("hello")
        assert websocket.recv() == '{"room":7,"name":"ada","said":"hello"}'
        websocket.close(4000, "bye")
    wait_until(lambda: left)
    assert left == [(4000, "bye")]


def test_fastapi_dependency_and_close(serve: Any) -> None:
    server = serve(fastapi)
    with opened(server, "/private", additional_headers={"Authorization": "me"}) as websocket:
        assert websocket.recv() == "me"
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3001, "done")
    with pytest.raises(InvalidStatus) as refused, opened(server, "/private"):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(("path", "status", "body"), [("/denied", 418, b"a teapot"), ("/nowhere", 403, b"Forbidden")])
def test_fastapi_denials(serve: Any, path: str, status: int, body: bytes) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(serve(fastapi), path):
        pass
    assert refused.value.response.status_code == status
    assert refused.value.response.body == body
