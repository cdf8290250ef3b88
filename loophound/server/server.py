"""The server: from a configuration to accepted connections, and back to silence."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server import logs, sockets
from loophound.server.access_log import access_log_of, line_format_of
from loophound.server.asgi import Application
from loophound.server.bounds import bounds_of, timeouts_of
from loophound.server.collector import collector_relaxed
from loophound.server.heads import heads_of
from loophound.server.hooks import Hooks
from loophound.server.importer import import_attribute, load_application
from loophound.server.interfaces import as_asgi3
from loophound.server.lifespan import Lifespan
from loophound.server.limits import at_most_at_once, at_most_in_all
from loophound.server.protocol import HttpConnection
from loophound.server.proxies import proxies_of
from loophound.server.seat import Give, Seat, take
from loophound.server.site import Site
from loophound.server.sockets import bind_all
from loophound.server.stop import (
    end_requests,
    give_connections,
    reload_handled,
    settle_accepted,
    signals_handled,
)
from loophound.server.sweep import Sweep
from loophound.server.websocket.offer import WebSocketOptions, load_soon

if TYPE_CHECKING:
    from loophound.server.tls import Tls

logger = logging.getLogger("loophound.server")


class Server:
    """Serves one application on one event loop; can be used once.

    `run()` makes a loop of its own; `serve()` runs in the caller's. Setting `should_exit`
    from any thread stops it gracefully, setting `force_exit` at once. `started` says whether it
    accepts connections, `servers` are its listeners then.
    """

    def __init__(self, config: Config, hooks: Hooks | None = None, seat: Seat | None = None) -> None:
        self.config = config
        self.started = False
        self.sockets: list[socket.socket] = []
        self.servers: list[asyncio.Server] = []
        self._hooks = hooks
        self._marks = hooks is not None and not getattr(hooks, "from_afar", False)
        self._seat = seat
        self._give: Give | None = None
        self._app: Application | None = None
        self._site_served: Site | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave_asked = asyncio.Event()  # to stop or to retire
        self._stop_asked = asyncio.Event()
        self._stop_forced = asyncio.Event()
        self._stops = 0
        self._tls: Tls | None = None
        self._proxies = proxies_of(config)
        self._heads = heads_of(config)
        self._line_format = line_format_of(config, seat.worker if seat is not None else 0)

    @property
    def should_exit(self) -> bool:
        return self._stops > 0

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value and not self._stops:
            self.stop()

    @property
    def force_exit(self) -> bool:
        return self._stops > 1

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        while value and self._stops < 2:
            self.stop()

    def stop(self) -> int:
        """Stop gracefully; a second call stops at once. Safe from any thread and from signal handlers."""
        self._stops += 1
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself, and its loop is closed
                self._loop.call_soon_threadsafe(self._take_stops)
        return self._stops

    def retire(self, give: Give) -> None:
        """End as a process that has a successor: `give` takes the connections to it. On the loop's thread.

        No client is closed: idle connections move, busy ones as soon as their response is out. What cannot move
        (TLS) ends with its next response. A stop() meanwhile counts as ever.
        """
        self._give = give
        self._leave_asked.set()

    def listen_also(self, sock: socket.socket) -> None:
        """Accept connections of one more socket, which listens already. On the loop's thread."""
        site = self._site_served
        if site is None or self._leave_asked.is_set():
            sock.close()
            return

        async def listen() -> None:
            self.servers += await self._listen(site, [sock])

        site.loop.create_task(listen(), name="listen")

    def adopt(self, sock: socket.socket) -> None:
        """Serve a connection that another process has given away. On the loop's thread."""
        site = self._site_served
        if site is None or site.stopping:
            sock.close()
        else:
            site.loop.create_task(take(site.loop, lambda: HttpConnection(site), sock), name="adopt")

    def _take_stops(self) -> None:
        if self._stops >= 1:
            self._stop_asked.set()
            self._leave_asked.set()
        if self._stops >= 2:
            self._stop_forced.set()

    def reload_certificate(self) -> None:
        """Take the TLS certificate from its files again, as at SIGHUP. Safe from any thread and signal."""
        if self._loop is not None and self._tls is not None:
            # On the loop, which it blocks for a millisecond: no handshake may read the context meanwhile.
            self._loop.call_soon_threadsafe(self._tls.reload)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal or `should_exit`. Raises StartupError when the server cannot start."""
        logs.configure(self.config)
        # Before there is a loop: modules may run one of their own while they are imported.
        self._app = load_application(self.config)
        with asyncio.Runner(loop_factory=loop_factory(self.config.loop)) as runner:
            runner.run(self._serve(sockets))

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve in the running loop, on `sockets` if given. Raises StartupError.

        The signals that stop it go on to the program's own handlers, or have their default way, when all is closed.
        """
        for number in reversed(await self._serve(sockets)):
            signal.raise_signal(number)

    async def _serve(self, sockets: list[socket.socket] | None) -> list[int]:
        """Gives the signals that came meanwhile."""
        came: list[int] = []
        self._loop = asyncio.get_running_loop()
        if self._app is None:  # run() has not done it
            logs.configure(self.config)
        self._take_stops()
        self._tell_starting()
        with ExitStack() as at_end:
            at_end.callback(self._tell_stopping)
            if self._seat is None or self._seat.takes_signals:
                came = at_end.enter_context(signals_handled(self.stop))
            if self.config.uses_tls:
                from loophound.server.tls import Tls  # plain servers need not load it

                self._tls = Tls(self.config)
                if self._seat is None or self._seat.takes_signals:
                    at_end.enter_context(reload_handled(self.reload_certificate))
            app = as_asgi3(self._app or load_application(self.config), self.config)
            self.sockets = bind_all(self.config, at_end) if sockets is None else sockets
            lifespan = Lifespan(app, self.config.lifespan)
            await lifespan.startup()
            try:
                await self._serve_until_stopped(self._site(app, lifespan, at_end))
            finally:
                await lifespan.shutdown()
        return came

    def _site(self, app: Application, lifespan: Lifespan, at_end: ExitStack) -> Site:
        config = self.config
        assert self._loop is not None
        access_log = None
        if config.access_log:
            worker = self._seat.worker if self._seat is not None else 0
            access_log = access_log_of(self._loop, config, self._line_format, worker)
        if access_log is not None:
            at_end.callback(access_log.close)
        site = Site(
            app,
            self._loop,
            state=lifespan.state,
            root_path=config.root_path,
            access_log=access_log,
            observed=self._marks,
            keeps_alive=config.timeout_keep_alive > 0,
            tls=self._tls,
            proxies=self._proxies,
            heads=self._heads,
            websocket=_websocket_options(config),
            bounds=bounds_of(config),
        )
        site.timed = site.timed or self._hooks is not None
        if access_log is not None and self._line_format is not None:
            site.app = self._line_format.around(site.app)
        if config.log_level == "trace":
            from loophound.server.trace import traced

            site.app = traced(site.app)
        if config.limit_concurrency is not None:
            site.app = at_most_at_once(site, site.app, config.limit_concurrency)
        if config.limit_max_requests is not None:
            most = config.limit_max_requests + random.randint(0, config.limit_max_requests_jitter)
            site.app = at_most_in_all(site.app, most, self._enough)
        return site

    def _enough(self, why: str) -> None:
        if self._seat is None or not self._seat.enough(why):
            logger.warning("Stopping after %s", why)
            self.stop()

    async def _serve_until_stopped(self, site: Site) -> None:
        config = self.config
        sockets.listen(self.sockets, config.backlog)
        # Said before the first request is accepted and after the kernel accepts: whoever reads it can connect.
        site.addresses = [sockets.address_of(sock, site.scheme) for sock in self.sockets]
        if self._seat is None or self._seat.announces:
            for address in site.addresses:
                logger.info("Loophound running on %s (Press CTRL+C to quit)", address)
        # Connections take over the context in which their listener was made, and requests theirs.
        context = Context() if config.reset_contextvars else None
        self.servers = await site.loop.create_task(self._listen(site, self.sockets), context=context)
        sweep = Sweep(site, timeouts_of(config), turned=self._seat.turned if self._seat is not None else None)
        sweep.start()
        try:
            with collector_relaxed():
                self._tell_started(site)
                self.started = True
                if site.websocket is not None:
                    load_soon()
                self._site_served = site
                if self._seat is not None:
                    self._seat.ready(self)
                await self._leave_asked.wait()
                await self._delay_shutdown()
        finally:
            logger.info("Shutting down")
            for server in self.servers:
                server.close()
            await settle_accepted()
            grace_s = config.timeout_graceful_shutdown
            if self._give is not None:
                began_s = site.loop.time()
                await give_connections(site, self._give, grace_s, self._stop_asked)
                grace_s = grace_s and max(0.0, grace_s - (site.loop.time() - began_s))
            await end_requests(site, grace_s, self._stop_forced)
            sweep.stop()
            self._tell_stopping()
            self.started = False

    async def _delay_shutdown(self) -> None:
        """Serve on for a while, until those who send clients here have seen that the end is near."""
        if self._site_served is not None:
            self._site_served.leaving = True
        if self._seat is not None:
            self._seat.stopping()
        leaving = getattr(self._hooks, "loop_leaving", None)
        if leaving is not None:
            with self._unplugging():
                leaving(self._loop)
        delay_s = self.config.shutdown_delay
        if self._give is None and delay_s:
            logger.info("Stopping in %g seconds; serving on until then (press CTRL+C to stop at once)", delay_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop_forced.wait(), delay_s)

    async def _listen(self, site: Site, listening: list[socket.socket]) -> list[asyncio.Server]:
        config = self.config
        tls: dict[str, Any] = {}
        prefaced_by = None
        if config.proxy_protocol:
            from loophound.server.prefaced import prefaced

            prefaced_by = prefaced(site, config)
        elif site.tls is not None:
            tls = {"ssl": site.tls.context, "ssl_handshake_timeout": config.timeout_head}
        site.context = copy_context()
        return [
            await site.loop.create_server(
                prefaced_by or partial(HttpConnection, site, sockets.own_address(sock)),
                sock=sock,
                backlog=config.backlog,
                **tls,
            )
            for sock in listening
        ]

    def _tell_starting(self) -> None:
        if self._hooks is not None and self._loop is not None:
            with self._unplugging():
                self._hooks.loop_starting(self._loop)

    def _tell_started(self, site: Site) -> None:
        if self._hooks is not None:
            with self._unplugging():
                self._hooks.loop_started(site.loop, site)
        site.observed = self._marks and self._hooks is not None

    def _tell_stopping(self) -> None:
        """Told once, also when the server could not start."""
        if self._hooks is not None and self._loop is not None:
            with self._unplugging():
                self._hooks.loop_stopping(self._loop)
            self._hooks = None

    @contextmanager
    def _unplugging(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            logger.exception("A hook raised; it is unplugged")
            self._hooks = None


def _websocket_options(config: Config) -> WebSocketOptions | None:
    if config.ws == "none":
        return None
    return WebSocketOptions(
        max_size=config.ws_max_size,
        max_queue=config.ws_max_queue,
        ping_interval_s=config.ws_ping_interval or None,
        ping_timeout_s=config.ws_ping_timeout,
        deflate=config.ws_per_message_deflate,
    )


def loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: `auto` is uvloop's where it is installed, `module:attribute` names one.

    Raises StartupError.
    """
    if ":" in kind:
        factory = import_attribute(kind)
        if not callable(factory):
            raise StartupError(f"--loop {kind}: a function that makes an event loop is wanted; got {factory!r}")
        return cast(Callable[[], asyncio.AbstractEventLoop], factory)
    if kind == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if kind == "uvloop":
            message = "--loop uvloop, but uvloop is not installed; install it or choose another --loop"
            raise StartupError(message) from None
        return asyncio.new_event_loop
    return uvloop.new_event_loop
