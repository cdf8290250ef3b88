"""Which servers of this user run, and have a feed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loophound.dashboards.feed.place import SUFFIX, runtime_directory
from loophound.dashboards.feed.reader import FeedReader, Message

ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A running server: its socket, and how it introduced itself."""

    path: str
    hello: Message


def find(environ: Mapping[str, str] = os.environ, timeout_s: float = ANSWER_S) -> list[Found]:
    """The servers with a feed at the default place, the youngest last.

    Waits at most `timeout_s` for each to introduce itself. Sockets that nobody listens at are removed.
    """
    directory = runtime_directory(environ)
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
    except OSError:
        return []
    found = [Found(str(path), hello) for path in paths if (hello := introduction(path, timeout_s)) is not None]
    return sorted(found, key=lambda one: str(one.hello.get("started_at", "")))


def introduction(path: Path, timeout_s: float = ANSWER_S) -> Message | None:
    """What the server at this socket says of itself; None when none does."""
    try:
        reader = FeedReader(path, reconnect=False)
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            with contextlib.suppress(OSError):
                path.unlink()
        return None
    with reader:
        messages = reader.read(timeout_s)
    return next((message for message in messages if message["type"] == "hello"), None)
