"""A worker for gunicorn: `gunicorn -k loophound.gunicorn.Worker main:app`.

gunicorn starts, counts and replaces the workers; its settings for time-outs, limits, TLS,
proxies and logs hold. Ours come from the environment: `--env LOOPHOUND_DETECT_BLOCKING=100`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped, unused-ignore]
from gunicorn.workers.base import Worker as BaseWorker  # type: ignore[import-untyped, unused-ignore]

from loophound.config import Config, default_of, from_env, table
from loophound.errors import ConfigError, LoophoundError

if TYPE_CHECKING:
    from loophound.server.server import Server

logger = logging.getLogger("loophound.server")

# gunicorn decides on addresses, processes and where logs go.
GUNICORNS = frozenset(
    {
        *("host", "port", "uds", "fd", "bind", "factory", "app_dir", "shutdown_delay"),
        *("timeout_worker", "timeout_start", "workers", "reuse_port", "preload", "max_worker_memory"),
        *("reload", "reload_dirs", "reload_includes", "reload_excludes", "reload_delay"),
    }
)
# gunicorn kills a worker that is not gone when its grace is over.
MARGIN_S = 1.0


class Worker(BaseWorker):  # type: ignore[misc]  # gunicorn has no types
    """One process of gunicorn's. `OPTIONS`, for a subclass, are fields of loophound.Config."""

    OPTIONS: ClassVar[dict[str, Any]] = {}
    # loophound.server.seat.Seat
    announces = True
    takes_signals = False

    _server: Server | None = None
    _record: str | None = None

    @property
    def worker(self) -> int:
        return int(self.age)

    def run(self) -> None:
        from loophound import serving

        self._take_over_logs()
        try:
            sockets = [getattr(sock, "sock", sock) for sock in self.sockets]
            config = self._config()
            self._record = config.record
            serving.serve_here(config, worker=self.age, seat=self, sockets=sockets)
        except ConfigError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        except LoophoundError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _config(self) -> Config:
        cfg = self.cfg
        options: dict[str, Any] = {
            "timeout_keep_alive": cfg.keepalive,
            "timeout_graceful_shutdown": max(0.0, cfg.graceful_timeout - MARGIN_S),
            "backlog": cfg.backlog,
            "forwarded_allow_ips": cfg.forwarded_allow_ips,
            "access_log": bool(cfg.accesslog),
            "log_level": cfg.loglevel.lower() if cfg.loglevel.lower() in _levels() else default_of("log_level"),
        }
        if cfg.limit_request_line:
            options["limit_request_line"] = max(cfg.limit_request_line, 64)
        if cfg.limit_request_fields:
            options["limit_headers"] = cfg.limit_request_fields
        if cfg.max_requests > 0:
            options["limit_max_requests"] = self.max_requests  # its jitter is in it
        if cfg.access_log_format != cfg.settings["access_log_format"].default:
            options["access_log_format"] = cfg.access_log_format
        if str(getattr(cfg, "proxy_protocol", False)).lower() not in ("false", "off", "none", ""):
            options["proxy_protocol"] = True
        if cfg.is_ssl:
            options |= {
                "ssl_certfile": cfg.certfile,
                "ssl_keyfile": cfg.keyfile,
                "ssl_ca_certs": cfg.ca_certs,
                "ssl_ciphers": cfg.ciphers,
                "ssl_cert_reqs": str(int(cfg.cert_reqs)),
            }
        return Config(self.wsgi, **options | from_env(os.environ, table().keys() - GUNICORNS) | self.OPTIONS)

    def _take_over_logs(self) -> None:
        for name, theirs in (("loophound", self.log.error_log), ("loophound.access", self.log.access_log)):
            ours = logging.getLogger(name)
            ours.handlers = list(theirs.handlers)
            ours.setLevel(theirs.level)
            ours.propagate = False

    # -- signals

    def init_signals(self) -> None:
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for number, handle in (
            (signal.SIGTERM, self.handle_exit),
            (signal.SIGINT, self.handle_quit),
            (signal.SIGQUIT, self.handle_quit),
            (signal.SIGABRT, self.handle_abort),
            (signal.SIGUSR1, self.handle_usr1),
        ):
            signal.signal(number, handle)
        signal.signal(signal.SIGWINCH, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully."""
        self.alive = False
        if self._server is None:
            sys.exit(0)
        self._server.stop()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once."""
        self.alive = False
        self.cfg.worker_int(self)
        if self._server is None:
            sys.exit(0)
        self._server.force_exit = True

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """Open files of logs anew."""
        from loophound.reopening import open_anew

        super().handle_usr1(sig, frame)
        open_anew(self._record)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """gunicorn's WORKER TIMEOUT: say where it was, which gunicorn does not."""
        import traceback

        where = "".join(traceback.format_stack(frame)) if frame is not None else "nowhere in Python\n"
        self.log.critical("The event loop hung in:\n%s", where.rstrip())
        super().handle_abort(sig, frame)

    # -- the seat

    def ready(self, server: Server) -> None:
        self._server = server
        self.notify()

    def turned(self) -> None:
        """The loop's own heartbeat: a loop that hangs is a worker that hangs."""
        self.notify()
        if self._server is not None and (not self.alive or os.getppid() != self.ppid):
            self._server.should_exit = True  # its files have changed, or gunicorn is gone

    def stopping(self) -> None:
        """gunicorn knows: it has asked for it, or hears of the end."""

    def enough(self, why: str) -> bool:
        self.log.info("Autorestarting worker after %s", why)
        self.alive = False
        return False


def _levels() -> tuple[str, ...]:
    return table()["log_level"][1].choices
