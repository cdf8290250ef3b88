"""What an observer shows to others, prepared by the process that starts it.

Sockets are bound here, so that what is wrong with an address is told at once, and an observer
that is started again finds them as they were.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import loophound
from loophound.dashboards.feed import SCHEMA, default_path
from loophound.dashboards.feed.place import LONGEST_PATH_BYTES, make_directory
from loophound.errors import ConfigError
from loophound.times import now_iso

BACKLOG = 16


class Hosting:
    """`feed` is where the feed's socket is made; None for the default place of this process.

    `about` says what is watched, for the feed's "hello": app, command, addresses, threshold_s.
    Raises ConfigError where that cannot be.
    """

    def __init__(self, *, feed: str | os.PathLike[str] | None = None, about: Mapping[str, Any] | None = None) -> None:
        self.about = dict(about or {})
        self._started_at = now_iso()
        self.feed = FeedSocket(feed)

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
        return {"hello": hello, "feed_path": str(self.feed.path), "feed_inode": self.feed.inode}

    def descriptors(self) -> dict[str, int]:
        """For observer.host.Settings: they are passed to the process."""
        return {"feed": self.feed.fileno()}

    def close(self) -> None:
        """Nobody is served any more."""
        self.feed.close()

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
        remove(self.path, self.inode)


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
