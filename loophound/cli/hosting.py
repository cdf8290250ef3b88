"""What the observer shows, as the options say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loophound.config import Config
from loophound.detector.stream import tell
from loophound.errors import ConfigError
from loophound.observer.hosting import Hosting

NO_FEED = "off"


def hosting_of(config: Config) -> Hosting | None:
    """For a server; None where nothing is to be shown. Raises ConfigError for a place that cannot be used."""
    assert config.threshold_ms is not None
    app = config.app if isinstance(config.app, str) else _name_of(config.app)
    about = {"app": app, "command": "serve", "threshold_s": config.threshold_ms / 1000}
    return hosting(config.feed, about)


def hosting(feed: str | None, about: Mapping[str, Any]) -> Hosting | None:
    """`feed` is a path, None for the default place, or "off"."""
    if feed == NO_FEED:
        return None
    try:
        return Hosting(feed=feed, about=about)
    except ConfigError as problem:
        if feed is not None:
            raise
        # Nobody has asked for the feed: a server must not fail for want of it.
        tell(f"no live feed: {problem}")
        return None


def _name_of(app: object) -> str:
    kind = app if hasattr(app, "__qualname__") else type(app)
    return f"{getattr(kind, '__module__', '?')}:{getattr(kind, '__qualname__', '?')}"
