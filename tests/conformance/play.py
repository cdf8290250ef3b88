"""Plays a case on a raw socket."""

from __future__ import annotations

import socket
import time

from tests.conformance.case import Answer, Case, Outcome, Response, Then, get

PATIENCE_S = 3.0  # for what has to come
SILENCE_S = 0.1  # in which nothing may come
PAUSE_S = 0.01  # between two pieces, so that they are read one by one
PROBE = get(b"/hello")


class Broken(Exception):
    """What came is no response."""


class Cut(Broken):
    """What came is the beginning of one."""


class Reader:
    def __init__(self, sock: socket.socket, patience_s: float) -> None:
        self.sock = sock
        self.patience_s = patience_s
        self.buffer = b""
        self.ended = False

    def more(self, patience_s: float | None = None) -> bool:
        """Read on; False at the end, or (TimeoutError) when nothing comes."""
        self.sock.settimeout(patience_s or self.patience_s)
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.buffer += data
        self.ended = self.ended or not data
        return bool(data)

    def until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            if not self.more():
                raise Cut(f"the answer breaks off: {self.buffer[:80]!r}")
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.more():
                raise Cut(f"the body breaks off {count - len(self.buffer)} bytes short")
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def response(self, answer: Answer) -> Response:
        """The next response, delimited as RFC 9112, section 6.3, says."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
            raise Broken(f"no status line: {lines[0][:80]!r}")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        response = Response(int(rest[:3]), headers)
        if answer.to_head or response.status < 200 or response.status in (204, 304):
            return response
        if "chunked" in response.values("transfer-encoding"):
            response.body = self.chunks()
            response.headers += self.trailers
        elif length := response.values("content-length"):
            if not length[0].isdecimal():
                raise Broken(f"Content-Length: {length[0]}")
            response.body = self.exactly(int(length[0]))
        else:
            while self.more():
                pass
            response.body, self.buffer = self.buffer, b""
        return response

    def chunks(self) -> bytes:
        body = b""
        while size := self.size():
            body += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Broken("a chunk is longer than it says")
        self.trailers: list[tuple[str, str]] = []
        while line := self.until(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers.append((f"trailer {name.lower()}", value.strip()))
        return body

    def size(self) -> int:
        line = self.until(b"\r\n").partition(b";")[0]
        try:
            return int(line, 16)
        except ValueError:
            raise Broken(f"no size of a chunk: {line[:40]!r}") from None


def play(case: Case, address: tuple[str, int], patience_s: float = PATIENCE_S) -> Outcome:
    outcome = Outcome()
    with socket.create_connection(address, patience_s) as sock:
        reader = Reader(sock, patience_s)
        # A body that is asked for is sent when it is, and no sooner.
        first = 1 if case.answers and case.answers[0].statuses[0] == 100 else len(case.sends)
        try:
            _send(sock, case.sends[:first], case.half_close)
            for index, answer in enumerate(case.answers):
                if index == 1:
                    _send(sock, case.sends[first:], False)
                if not reader.buffer and not reader.more():
                    break
                response = reader.response(answer)
                while response.status == 100 and case.or_continue:
                    response = reader.response(answer)
                outcome.responses.append(response)
            outcome.then = _then(case, reader)
        except Broken as error:
            outcome.broken = str(error)
            outcome.cut = isinstance(error, Cut)
        except TimeoutError:
            outcome.then = Then.WAITING
            if reader.buffer:
                outcome.broken = f"no whole answer in {patience_s:g} s: {reader.buffer[:80]!r}"
    return outcome


def _send(sock: socket.socket, pieces: tuple[bytes, ...], half_close: bool) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for index, piece in enumerate(pieces):
            if index:
                time.sleep(PAUSE_S)
            sock.sendall(piece)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
    except ConnectionError:
        pass  # the server said its last before it had read all


def _then(case: Case, reader: Reader) -> Then:
    if reader.buffer:
        raise Broken(f"more came than was asked for: {reader.buffer[:80]!r}")
    if case.then is Then.ANY:
        return Then.ANY
    if reader.ended:
        return Then.CLOSED
    if case.then is Then.OPEN:
        try:
            reader.sock.sendall(PROBE)
            probe = reader.response(Answer())
        except (Broken, ConnectionError, TimeoutError):
            return Then.CLOSED
        if probe.body != b"hello":
            raise Broken(f"the next request got {probe.status} {probe.body[:60]!r}")
        return Then.OPEN
    try:
        if reader.more(SILENCE_S if case.then is Then.WAITING else None):
            raise Broken(f"more came than was asked for: {reader.buffer[:80]!r}")
    except TimeoutError:
        return Then.WAITING
    return Then.CLOSED
