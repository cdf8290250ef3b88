"""The feed at the address of a web dashboard: server-sent events (WHATWG HTML, section 9.2) over HTTP/1.0.

In HTTP/1.0 the answer is not chunked and ends with the connection, so what comes is the events themselves.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit, urlunsplit

from loophound.dashboards.top.board import Message
from loophound.dashboards.wording import safe
from loophound.errors import ConfigError, LoophoundError

CONNECT_S = 3.0
PAUSE_S = 1.0
LARGEST_READ = 1 << 18
LONGEST_HEAD = 1 << 16
DATA = b"data:"


class AddressedFeed:
    """Reads `URL/events`, and connects again when the connection is lost.

    Raises ConfigError for an address that is none, LoophoundError where it gives no feed.
    """

    def __init__(self, url: str) -> None:
        self._address = _parsed(url)
        self._buffer = b""
        self._tried_s = 0.0
        self._socket: socket.socket | None = None
        try:
            self._socket = self._connect()
        except OSError as error:
            raise LoophoundError(f"no feed at {url}: {(error.strerror or str(error)).lower()}") from None

    @property
    def connected(self) -> bool:
        return self._socket is not None

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def read(self, timeout_s: float | None = None) -> list[Message]:
        """All that has come; waits `timeout_s` at most for something."""
        if self._socket is None:
            return self._try_again(timeout_s or 0.0)
        if b"\n" in self._buffer and (found := self._messages(b"")):  # it came with the head
            return found
        if not self._pending and not select.select([self._socket], (), (), timeout_s)[0]:
            return []
        try:
            data = self._socket.recv(LARGEST_READ)
            while self._pending:
                data += self._socket.recv(LARGEST_READ)
        except OSError:
            data = b""
        if not data:
            self._socket.close()
            self._socket, self._buffer = None, b""
            return [{"type": "disconnected"}]
        return self._messages(data)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def _pending(self) -> bool:
        """TLS may have more in its own buffer, of which select(2) knows nothing."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _messages(self, data: bytes) -> list[Message]:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        found: list[Message] = []
        for line in lines:
            if not line.startswith(DATA):
                continue
            try:
                message = json.loads(line[len(DATA) :])
            except ValueError:
                continue
            if isinstance(message, dict):
                # The page's server is there, but what it shows is not.
                found.append({"type": "disconnected"} if message.get("type") == "feed-gone" else message)
        return found

    def _try_again(self, timeout_s: float) -> list[Message]:
        wait_s = self._tried_s + PAUSE_S - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            return []
        self._tried_s = time.monotonic()
        try:
            self._socket = self._connect()
        except (OSError, LoophoundError):
            return []
        return [{"type": "connected"}]

    def _connect(self) -> socket.socket:
        host, port = self._address.hostname or "", self._address.port
        secure = self._address.scheme == "https"
        connection = socket.create_connection((host, port or (443 if secure else 80)), CONNECT_S)
        try:
            if secure:
                connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
            target = urlunsplit(("", "", self._address.path.rstrip("/") + "/events", self._address.query, ""))
            connection.sendall(
                f"GET {target} HTTP/1.0\r\nHost: {self._address.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode()
            )
            self._buffer = self._after_head(connection)
        except BaseException:
            connection.close()
            raise
        connection.settimeout(None)
        return connection

    def _after_head(self, connection: socket.socket) -> bytes:
        """What follows the head. Raises LoophoundError where the answer is another than a feed."""
        head = b""
        while b"\r\n\r\n" not in head and len(head) < LONGEST_HEAD:
            data = connection.recv(4096)
            if not data:
                break
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        if " 200 " in f"{status} " and any("text/event-stream" in field.lower() for field in fields):
            return rest
        reason = rest.decode(errors="replace").splitlines()
        said = safe(" ".join([status, *reason[:1]]).strip() or "nothing", 200)
        raise LoophoundError(f"no feed at {self._address.netloc}: it answers {said}")


def _parsed(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        _ = address.port  # raises where it is no number
        if address.scheme in ("http", "https") and address.hostname:
            return address
    except ValueError:
        pass
    raise ConfigError(f"{url!r} is no address of a web dashboard, such as http://127.0.0.1:8001/?token=...")
