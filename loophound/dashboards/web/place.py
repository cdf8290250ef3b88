"""Where the feed is that a page shows."""

from __future__ import annotations

import os
from pathlib import Path

from loophound.dashboards.feed import default_path


def feed_path(feed: str | os.PathLike[str] | None) -> str | None:
    """The socket at `feed`; without one that of this process, or of the supervisor that started it.

    None when neither has a feed.
    """
    if feed is not None:
        return os.fspath(feed)
    places = (default_path(pid) for pid in (os.getpid(), os.getppid()))
    return next((str(place) for place in places if Path(place).is_socket()), None)
