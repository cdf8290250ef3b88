"""GraphQL over HTTP and over WebSocket, with both subprotocols that clients speak."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.frameworks.serving import Served, needed, serving

needed("strawberry")
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def graphql() -> Iterator[Served]:
    with serving("tests.frameworks.apps.with_strawberry:app") as served:
        yield served


def test_a_query(graphql: Served) -> None:
    query = {"query": "query Q($name: String!) { greeting(name: $name) }", "variables": {"name": "you"}}
    assert httpx.post(graphql.url, json=query).json() == {"data": {"greeting": "hello you"}}


@pytest.mark.parametrize(
    ("subprotocol", "start", "piece"),
    [("graphql-transport-ws", "subscribe", "next"), ("graphql-ws", "start", "data")],
)
def test_a_subscription(graphql: Served, subprotocol: str, start: str, piece: str) -> None:
    with connect(graphql.ws, subprotocols=[Subprotocol(subprotocol)]) as websocket:
        assert websocket.subprotocol == subprotocol

        def send(**message: Any) -> None:
            websocket.send(json.dumps(message))

        def receive() -> Any:
            while (message := json.loads(websocket.recv(PATIENCE_S)))["type"] == "ka":
                continue
            return message

        send(type="connection_init")
        assert receive()["type"] == "connection_ack"
        send(id="1", type=start, payload={"query": "subscription { count(upto: 20) }"})
        numbers = []
        while (message := receive())["type"] == piece:
            numbers.append(message["payload"]["data"]["count"])
        assert message == {"id": "1", "type": "complete"}
        assert numbers == list(range(20))
