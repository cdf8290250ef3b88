"""Socket.IO: its own client, by WebSocket, by polling, and from one to the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.frameworks.serving import Served, needed, serving

socketio = needed("socketio")
needed("aiohttp")
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def chat() -> Iterator[Served]:
    with serving("tests.frameworks.apps.with_socketio:app") as served:
        yield served


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
def test_two_clients(chat: Served, transports: list[str]) -> None:
    async def main() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        clients = [socketio.AsyncClient(reconnection=False) for _ in range(2)]
        for client in clients:
            client.on("said", lambda message: heard.put_nowait(message["text"]))
            await client.connect(chat.url, transports=transports)
            assert client.transport() == transports[-1]
        answer = await clients[0].call("say", "grüß dich", timeout=PATIENCE_S)
        assert answer == "GRÜSS DICH"
        for _ in clients:
            assert await asyncio.wait_for(heard.get(), PATIENCE_S) == "grüß dich"
        for client in clients:
            await client.disconnect()

    asyncio.run(main())


def test_a_client_that_is_refused(chat: Served) -> None:
    async def main() -> None:
        client = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(chat.url, auth="stranger", transports=["websocket"])
        await client.disconnect()

    asyncio.run(main())
