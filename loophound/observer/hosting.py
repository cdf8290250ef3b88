"""What an observer shows to others, prepared by the process that starts it.

Sockets are bound here, so that what is wrong with an address is told at once, and an observer
that is started again finds them as they were.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

import loophound
from loophound.addresses import written
from loophound.dashboards.feed import SCHEMA, default_path
from loophound.dashboards.feed.place import LONGEST_PATH_BYTES, make_directory
from loophound.errors import ConfigError
from loophound.times import now_iso

BACKLOG = 16
LOOPBACK = "127.0.0.1"


class Hosting:
    """`feed` is where the feed's socket is made: None for the default place of this process, False for
    none. `metrics` is PORT or HOST:PORT for /metrics and /healthz, which is unwell when a loop has
    been blocked for longer than `health_limit_s`. `web` is the port of the page that shows the feed, on
    loopback; 0 takes a free one. `about` says what is watched, for the feed's
    "hello": app, command, addresses, threshold_s. Raises ConfigError where that cannot be.
    """

    def __init__(
        self,
        *,
        feed: str | os.PathLike[str] | Literal[False] | None = None,
        metrics: str | None = None,
        health_limit_s: float = 10.0,
        web: int | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.about = dict(about or {})
        self._started_at = now_iso()
        self._health_limit_s = health_limit_s
        if web is not None and feed is False:
            raise ConfigError("--web-dashboard shows the feed: leave out --feed=off")
        with ExitStack() as undo:
            self.metrics = undo.enter_context(closing(MetricsSocket(metrics))) if metrics is not None else None
            self.web = undo.enter_context(closing(PageSocket(web))) if web is not None else None
            self.feed = undo.enter_context(closing(FeedSocket(feed))) if feed is not False else None
            self._undo = undo.pop_all()

    def settings(self) -> dict[str, Any]:
        """For observer.host.Settings."""
        hello = {
            "type": "hello",
            "schema": SCHEMA,
            "version": loophound.__version__,
            "server": str(os.getpid()),
            "app": None,
            "command": None,
            "addresses": [],
            "started_at": self._started_at,
            "threshold_s": None,
            **self.about,
        }
        settings = {"hello": hello, "health_limit_s": self._health_limit_s}
        if self.feed is not None:
            settings |= {"feed_path": str(self.feed.path), "feed_inode": self.feed.inode}
        return settings

    def descriptors(self) -> dict[str, int]:
        """For observer.host.Settings: they are passed to the process."""
        shown = {"feed": self.feed, "metrics": self.metrics, "web": self.web}
        descriptors = {name: each.fileno() for name, each in shown.items() if each is not None}
        return descriptors if self.web is None else {**descriptors, "web_token": self.web.token_descriptor}

    def close(self) -> None:
        """Nobody is served any more."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FeedSocket:
    """A listening unix socket, for this user alone. Raises ConfigError where it cannot be made."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = default_path(os.getpid()) if path is None else Path(path).absolute()
        if path is None:
            make_directory(self.path.parent)
        if len(os.fsencode(self.path)) > LONGEST_PATH_BYTES:
            raise ConfigError(f"--feed: {str(self.path)!r} is longer than the {LONGEST_PATH_BYTES} bytes of a socket's")
        _clear(self.path)
        self._made_in = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(str(self.path))
            self.path.chmod(0o600)  # before it listens: until then nobody can connect
            self.inode = self.path.stat().st_ino
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"--feed: cannot make the socket {str(self.path)!r}: {error.strerror}") from None

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
        if os.getpid() == self._made_in:  # not in a child that was forked, and lets go of its copy
            remove(self.path, self.inode)


class MetricsSocket:
    """A bound TCP socket. Raises ConfigError for what is no address, is taken, or lacks its library."""

    def __init__(self, where: str) -> None:
        host, port = read_address(where)
        if find_spec("prometheus_client") is None:
            raise ConfigError("--metrics needs prometheus_client: pip install 'loophound[metrics]'")
        self._socket = listening("--metrics", host, port)

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://{written(host, port)}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


class PageSocket:
    """A bound TCP socket on loopback, and the token that the page wants. Raises ConfigError.

    The token is passed in memory of its own: anybody may read the arguments of a process.
    """

    def __init__(self, port: int) -> None:
        self._socket = listening("--web-dashboard", LOOPBACK, port)
        token = secrets.token_urlsafe(24)
        self.url = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}/?token={token}"
        self.token_descriptor = os.memfd_create("loophound-token")
        os.write(self.token_descriptor, token.encode())

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
        os.close(self.token_descriptor)


def read_token(descriptor: int) -> str:
    """What PageSocket wrote."""
    return os.pread(descriptor, 256, 0).decode()


def listening(option: str, host: str, port: int) -> socket.socket:
    """A listening TCP socket: who asks before the observer runs will wait. Raises ConfigError that names the option."""
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"{option}: no address {host!r}: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError(f"{option}: cannot listen on {written(host, port)}: {error.strerror}") from None
    return sock


def read_address(where: str) -> tuple[str, int]:
    """PORT, on loopback, or HOST:PORT. Raises ConfigError."""
    host, colon, text = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else LOOPBACK
    if not host or not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ConfigError(f"--metrics takes PORT or HOST:PORT, such as 9464 or 0.0.0.0:9464; got {where!r}")
    return host, int(text)


def remove(path: Path, inode: int) -> None:
    """Remove the socket file, unless another process has put its own there."""
    with suppress(OSError):
        if path.stat().st_ino == inode:
            path.unlink()


def _clear(path: Path) -> None:
    """Remove what a process left that has ended. Raises ConfigError for anything else that lies there."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"--feed: {str(path)!r} is there and no socket; name another place, or remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            with suppress(OSError):
                path.unlink()
            return
        except OSError:
            pass
    raise ConfigError(f"--feed: another server has its feed at {str(path)!r}; name another place")
