"""What all connections of one server share."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from loophound.server import files
from loophound.server.access_log import AccessLog
from loophound.server.asgi import Application
from loophound.server.bounds import Bounds, Timeouts
from loophound.server.flow import WriteFlow
from loophound.server.heads import ResponseHeads
from loophound.server.hooks import Ended, Exchange, Finished
from loophound.server.proxies import Proxies
from loophound.server.targets import Targets

if TYPE_CHECKING:
    from loophound.server.cycle import Cycle
    from loophound.server.seat import Give
    from loophound.server.tls import Tls
    from loophound.server.websocket.offer import WebSocketOptions

logger = logging.getLogger("loophound.server")

MOST_LATELY = 256
MOST_NOTED = 4096
# Neither informational responses nor chunked ones are for HTTP/1.0 (RFC 9110, section 15.2; RFC 9112, section 6.1).
WANTING_1_1 = frozenset({"http.response.early_hint", "http.response.trailers"})
# Input is parsed in slices of at most so many bytes, for the bounds to hold within one large read too: the parser
# cannot be stopped. A body of 16 KiB and its head are one slice, which spares two copies of it.
SLICE_BYTES = 20_480
# What a request line has besides its target, at least.
SHORTEST_LINE = len("GET  HTTP/1.1")


def extensions_of(tls: bool, debug: bool) -> dict[str, dict[str, Any]]:
    """The extensions of HTTP that work (ASGI specification, "Extensions")."""
    names = ["http.response.early_hint", "http.response.trailers", "http.response.pathsend"]
    if files.HAS_SENDFILE and not tls:
        names.append("http.response.zerocopysend")
    if debug:  # it goes to the log
        names.append("http.response.debug")
    return {name: {} for name in names}


class Connection(Protocol):
    """What the rest of the server knows of a connection, HTTP or WebSocket."""

    site: Site
    transport: asyncio.Transport
    flow: WriteFlow
    client: tuple[str, int] | None

    @property
    def client_text(self) -> str:
        """The client's address as log lines have it."""

    @property
    def cycle(self) -> Exchange | None:
        """The exchange at work, or the last one."""

    @property
    def waiting(self) -> Iterable[Exchange]:
        """Those that wait behind it."""

    def answered(self, cycle: Cycle) -> None: ...

    def adjust_reading(self) -> None: ...

    def stop(self) -> None: ...

    def retire(self, give: Give) -> None: ...

    def sweep(self, now_s: float, timeouts: Timeouts) -> None: ...


class Site:
    """One application as one server serves it."""

    __slots__ = (
        "_emptied",
        "access_log",
        "addresses",
        "app",
        "bounds",
        "connections",
        "context",
        "ended",
        "extensions",
        "extensions_of_1_0",
        "heads",
        "keeps_alive",
        "lately",
        "leaving",
        "loop",
        "marks_each",
        "most_headers",
        "noted",
        "now_s",
        "observed",
        "open_flow",
        "orphans",
        "proxies",
        "raw_root_path",
        "root_path",
        "scheme",
        "slice_bytes",
        "state",
        "stopping",
        "stride",
        "target_bytes",
        "targets",
        "timed",
        "tls",
        "unread_bytes",
        "websocket",
        "write_limits",
    )

    def __init__(
        self,
        app: Application,
        loop: asyncio.AbstractEventLoop,
        *,
        state: dict[str, Any] | None = None,
        root_path: str = "",
        access_log: AccessLog | None = None,
        observed: bool = False,
        keeps_alive: bool = True,
        tls: Tls | None = None,
        proxies: Proxies | None = None,
        heads: ResponseHeads | None = None,
        websocket: WebSocketOptions | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.app = app
        self.loop = loop
        self.state = {} if state is None else state
        self.root_path = root_path.rstrip("/")
        self.raw_root_path = self.root_path.encode("utf-8")
        self.access_log = access_log
        self.observed = observed  # hooks are installed: requests note their task and their times
        self.marks_each = False  # an observer needs each request's task to be marked by itself
        self.timed = observed or access_log is not None
        self.keeps_alive = keeps_alive
        self.websocket = websocket  # None: the protocol is not spoken
        self.tls = tls
        self.proxies = proxies
        self.scheme = "http" if tls is None else "https"
        self.heads = heads or ResponseHeads()
        self.targets = Targets(self.root_path)
        # One dictionary for all requests: what a request asks for is whether a name is in it.
        self.extensions = extensions_of(tls is not None, logger.isEnabledFor(logging.DEBUG))
        self.extensions_of_1_0: dict[str, Any] = {name: {} for name in self.extensions if name not in WANTING_1_1}
        self.bounds = bounds = bounds or Bounds()
        # What each request asks for stands here itself.
        self.slice_bytes = min(SLICE_BYTES, bounds.head)
        self.target_bytes = bounds.request_line - SHORTEST_LINE
        self.most_headers = bounds.headers
        self.unread_bytes = bounds.unread_body
        # As asyncio parts the two marks by default.
        self.write_limits = () if bounds.unwritten == Bounds().unwritten else (bounds.unwritten, bounds.unwritten // 4)
        self.connections: set[Connection] = set()
        # Requests whose connection is gone, or went on to its next request, before their task ended.
        self.orphans: set[Exchange] = set()
        # While observed: requests that ended lately, the slow ones and the last of each connection
        # that closed. A stall is explained only after it,
        # when a quick client has had its answer, and asked again or gone. To keep every
        # request would carry the garbage of each into an older generation of the collector
        # (measured: 158,000 objects and 160 ms at once on a FastAPI application).
        self.lately: deque[Exchange] = deque(maxlen=MOST_LATELY)
        # While somebody wants the figures: how many have ended, and of `stride` each one, as plain values
        # for the reason above.
        self.ended = 0
        self.stride = 0
        self.noted: deque[Finished] = deque(maxlen=MOST_NOTED)
        self.addresses: list[str] = []
        self.context = copy_context()  # in which the tasks of requests start, while nobody observes
        self.open_flow = WriteFlow(loop)  # of every connection whose client reads; never paused
        self.now_s = loop.time()  # renewed by each sweep; connections read it in place of the clock
        self.stopping = False
        self.leaving = False
        self._emptied: asyncio.Future[None] | None = None

    def adopt(self, cycle: Exchange) -> None:
        """Hold the task of a request that its connection no longer holds."""
        task = cycle.task
        if task is not None and not task.done():
            self.orphans.add(cycle)
            task.add_done_callback(lambda _: self.orphans.discard(cycle))

    def left(self, connection: Connection) -> None:
        """A connection is closed."""
        self.connections.discard(connection)
        if self.observed and connection.cycle is not None:
            self.lately.append(connection.cycle)
        if self._emptied is not None and not self.connections and not self._emptied.done():
            self._emptied.set_result(None)

    async def emptied(self) -> None:
        """Wait until no connection is left."""
        if self.connections:
            self._emptied = self.loop.create_future()
            await self._emptied

    def exchanges(self) -> Iterator[Exchange]:
        """The current and waiting requests of all connections, and some that ended lately; safe from
        any thread. One may come twice.
        """
        # list() of a set is one step for other threads: nothing of it runs Python code.
        for connection in list(self.connections):
            cycle = connection.cycle
            if cycle is not None:
                yield cycle
            yield from list(connection.waiting)
        yield from list(self.orphans)
        yield from list(self.lately)

    def take_ended(self, most: int) -> Ended:
        """What ended since the last call; from now on about `most` are noted until the next. From any thread."""
        # A request that ends between these lines may be missed: nothing here is worth a lock at each.
        taken = Ended(self.ended, self.stride, list(self.noted))
        self.noted = deque(maxlen=MOST_NOTED)
        self.ended = 0
        self.stride = 0 if not most else taken.requests // most + 1
        return taken

    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks of all requests that run."""
        running = (cycle.task for cycle in self.exchanges())
        return {task for task in running if task is not None and not task.done()}
