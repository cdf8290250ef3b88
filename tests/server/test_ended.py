"""What a server notes of the requests that end, while somebody wants to know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from loophound.server.hooks import Ended, Served
from tests.server import apps
from tests.server.wire import wait_until


class Watcher:
    served: Served

    def loop_starting(self, loop: Any) -> None: ...

    def loop_started(self, loop: Any, served: Served) -> None:
        self.served = served

    def loop_stopping(self, loop: Any) -> None: ...


def noted(watcher: Watcher, requests: int, most: int = 10) -> Ended:
    """What is taken once so many have ended."""
    site: Any = watcher.served
    wait_until(lambda: site.ended >= requests)
    return watcher.served.take_ended(most)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/routed":
        scope["route"] = SimpleNamespace(path="/{anything}")
    await apps.respond(send)


def test_requests_are_noted_while_somebody_wants_to_know(serve: Any) -> None:
    watcher = Watcher()
    client = serve(app, hooks=watcher).connect()
    client.get(b"/before").response()
    wait_until(lambda: all(exchange.ended_ns for exchange in watcher.served.exchanges()))
    assert watcher.served.take_ended(10) == Ended(0, 0, [])
    client.get(b"/plain").response()
    client.get(b"/routed").response()
    ended = noted(watcher, 2, 0)
    assert (ended.requests, ended.stride) == (2, 1)
    [plain, routed] = ended.noted
    assert plain[:2] == ("GET", "/plain")
    assert routed[1].path == "/{anything}"
    assert plain[2] > 0
    client.get(b"/after").response()
    wait_until(lambda: all(exchange.ended_ns for exchange in watcher.served.exchanges()))
    assert watcher.served.take_ended(0) == Ended(0, 0, [])


def test_of_many_requests_a_few_are_noted(serve: Any) -> None:
    watcher = Watcher()
    client = serve(app, hooks=watcher).connect()
    watcher.served.take_ended(10)
    for _ in range(40):
        client.get(b"/").response()
    assert len(noted(watcher, 40).noted) == 40
    for _ in range(40):
        client.get(b"/").response()
    ended = noted(watcher, 40)
    assert (ended.requests, ended.stride, len(ended.noted)) == (40, 5, 8)


def test_a_server_tells_where_it_listens_and_that_it_will_leave(serve: Any) -> None:
    watcher = Watcher()
    running = serve(app, hooks=watcher)
    client = running.connect()
    client.get(b"/").response()
    port = client.sock.getpeername()[1]
    assert watcher.served.addresses == [f"http://127.0.0.1:{port}"]
    assert not watcher.served.leaving
    running.stop()
    assert watcher.served.leaving
