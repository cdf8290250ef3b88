"""One connection without a socket: what comes of a byte stream, and whether the promises hold.

no exception escapes, nothing hangs, memory stays bounded, what is written is HTTP, and how
the stream is cut into pieces makes no difference to what the application sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httptools

from loophound.server.bounds import Timeouts
from loophound.server.protocol import HttpConnection
from loophound.server.reader import MAX_PIPELINED
from loophound.server.site import Site
from loophound.server.websocket.connection import WebSocketConnection
from loophound.server.websocket.handshake import WebSocketOptions

MOST_TURNS = 3000  # of the loop, until everything has to be over
QUIET_TURNS = 40  # in which nothing moves: the applications here sleep for less
TIMEOUTS = Timeouts(5, 10, 30)
WRITE_HIGH_BYTES = 65_536
SHORTEST_REQUEST_BYTES = len("GET / HTTP/1.1\r\nHost:a\r\n\r\n")


class Broken(AssertionError):
    """A promise that does not hold."""


class Transport:
    """Keeps what is written, and reads on or not as the protocol asks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, drains: bool) -> None:
        self.loop = loop
        self.drains = drains  # the client reads
        self.written = bytearray()
        self.waiting_bytes = 0
        self.reading = True
        self.closing = False
        self.half_closed = False
        self.lost = False
        self.protocol: Any = None

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", 80)}.get(name)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        if self.half_closed or not isinstance(data, (bytes, bytearray, memoryview)):
            raise Broken(f"written after the end, or no bytes: {data!r}")
        if self.lost or self.closing:
            return
        self.written += data
        self.waiting_bytes += len(data)
        if self.waiting_bytes > WRITE_HIGH_BYTES:
            self.protocol.pause_writing()
            if self.drains:
                self.loop.call_soon(self.drain)

    def drain(self) -> None:
        if self.waiting_bytes > WRITE_HIGH_BYTES and not self.lost:
            self.waiting_bytes = 0
            self.protocol.resume_writing()
        self.waiting_bytes = 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.closing or self.lost

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.lose)

    abort = close

    def lose(self) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connection_lost(None)


@dataclass
class Seen:
    """What the application saw of one connection, in order."""

    requests: list[list[Any]] = field(default_factory=list)


def application(random: Random | None, seen: Seen) -> Any:
    """Reads each body whole and answers, or (with `random`) does anything else."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await _websocket(receive, send)
            return
        entry = [scope["method"], scope["raw_path"], scope["query_string"], tuple(scope["headers"]), None]
        seen.requests.append(entry)
        way = 0 if random is None else random.randrange(11)
        if way == 1:
            raise ValueError("on purpose")
        if way == 2:
            return
        if way == 3:  # answers without reading
            await _answer(send, b"x" * random.choice((0, 5, 100_000)))  # type: ignore[union-attr]
            return
        naps = random.randrange(30) if random is not None and way == 10 else int(way == 4)
        body = await _whole_body(receive, naps)
        if body is not None:
            entry[-1] = body
            await _respond(send, body, way)

    return app


async def _whole_body(receive: Any, naps: int) -> bytes | None:
    body = bytearray()
    while True:
        for _ in range(naps):
            await asyncio.sleep(0)
        naps = min(naps, 1)
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


async def _respond(send: Any, body: bytes, way: int) -> None:
    if way == 5:
        await _stream(send, body)
    elif way == 6:  # and breaks off
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
    elif way == 7:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
    else:
        await _answer(send, body)


async def _answer(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for start in range(0, len(body), 1000):
        await send({"type": "http.response.body", "body": body[start : start + 1000], "more_body": True})
    await send({"type": "http.response.body"})


async def _websocket(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    with contextlib.suppress(OSError):
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})


class Harness:
    """Plays streams on one loop; `play` raises Broken."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._note)
        self._errors: list[str] = []
        # "failed to read a request" is an exception of ours that was caught.
        self._handler = logging.Handler()
        self._handler.emit = self._log  # type: ignore[method-assign]
        self._logger = logging.getLogger("loophound.server")
        self._logger.addHandler(self._handler)
        self._logger.propagate = False

    def close(self) -> None:
        self.abandon()
        self.loop.close()
        self._logger.removeHandler(self._handler)
        self._logger.propagate = True

    def abandon(self) -> None:
        """End what a broken promise has left."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self._errors.clear()

    def _note(self, loop: Any, context: dict[str, Any]) -> None:
        self._errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _log(self, record: logging.LogRecord) -> None:
        if "failed to read" in record.getMessage():
            self._errors.append(record.getMessage() + f": {record.exc_info and record.exc_info[1]!r}")

    def _turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        if self._errors:
            errors, self._errors = self._errors, []
            raise Broken("; ".join(errors))

    def play(self, pieces: list[bytes], random: Random | None = None) -> tuple[Seen, bytes]:
        """What the application saw, and what was written."""
        seen = Seen()
        websocket = WebSocketOptions() if random is None or random.random() < 0.5 else None
        site = Site(application(random, seen), self.loop, websocket=websocket)
        transport = Transport(self.loop, drains=random is None or random.random() < 0.9)
        connection = HttpConnection(site)
        transport.protocol = connection
        connection.connection_made(transport)  # type: ignore[arg-type]
        due = deque(pieces)
        quiet = largest = 0
        while due and not transport.is_closing() and quiet < MOST_TURNS:
            if transport.reading:
                data = due.popleft()
                transport.protocol.data_received(data)
                largest = max(largest, len(data))
                self._check_bounds(transport.protocol, largest)
                quiet = 0
            else:
                quiet += 1
            self._turn()
        if not transport.lost:
            self._end(site, transport, random)
        self._finish(site, transport)
        _check_written(bytes(transport.written), seen)
        return seen, bytes(transport.written)

    def _end(self, site: Site, transport: Transport, random: Random | None) -> None:
        """The client ends its side, or is gone, or nothing more comes and the time-outs pass."""
        self._settle(site, transport)
        way = 0 if random is None else random.randrange(3)
        if way == 0 and transport.reading and not transport.is_closing():
            if not transport.protocol.eof_received():
                transport.close()
        elif way == 1:
            for second in range(80):
                site.now_s += 1
                for connection in list(site.connections):
                    connection.sweep(site.now_s, TIMEOUTS)
                if second % 10 == 0:
                    self._turn()

    def _settle(self, site: Site, transport: Transport) -> None:
        """Turn the loop until nothing moves any more."""
        still, before = 0, None
        while still < QUIET_TURNS:
            self._turn()
            state = (len(transport.written), transport.reading, transport.lost, len(site.tasks()))
            still, before = (still + 1, before) if state == before else (0, state)

    def _finish(self, site: Site, transport: Transport) -> None:
        self._settle(site, transport)
        transport.lose()
        for _ in range(MOST_TURNS):
            self._turn()
            if not site.tasks():
                break
        if site.tasks() or site.connections:
            raise Broken(f"hangs: {site.tasks()}, {site.connections}")
        self._turn()

    def _check_bounds(self, protocol: Any, size: int) -> None:
        if isinstance(protocol, WebSocketConnection):
            return
        if len(protocol._unfed) > size:
            raise Broken(f"{len(protocol._unfed)} bytes wait unread")
        site = protocol.site
        # Beyond the limits, as much as one read may bring: the parser cannot be stopped within a slice.
        if len(protocol.waiting) > MAX_PIPELINED + min(size, site.slice_bytes) // SHORTEST_REQUEST_BYTES + 1:
            raise Broken(f"{len(protocol.waiting)} requests wait")
        held = sum(len(cycle.body) for cycle in (protocol.cycle, *protocol.waiting) if cycle is not None)
        if held > 3 * (site.unread_bytes + size):
            raise Broken(f"{held} bytes of bodies wait")
        head = sum(len(name) + len(value) for name, value in protocol._headers)
        slack = site.slice_bytes + size
        if head > site.bounds.head + slack or len(protocol._target) > site.target_bytes + slack:
            raise Broken(f"a head of {head} bytes, a target of {len(protocol._target)}")


def _check_written(written: bytes, seen: Seen) -> None:
    """All of it is HTTP responses, the last one perhaps cut; none more than were asked for, and one refusal."""
    statuses: list[int] = []

    class Reader:
        def on_headers_complete(self) -> None:
            statuses.append(parser.get_status_code())

    if any(entry[0] == "HEAD" for entry in seen.requests) or b"101 Switching" in written:
        return  # a parser of responses does not know what was asked
    parser = httptools.HttpResponseParser(Reader())
    try:
        parser.feed_data(written)
    except httptools.HttpParserUpgrade:
        return
    except Exception as error:
        raise Broken(f"what was written is no HTTP: {error}: {written[:300]!r}") from error
    final = [status for status in statuses if status >= 200]
    if len(final) > len(seen.requests) + 1:
        raise Broken(f"{len(final)} answers to {len(seen.requests)} requests")
