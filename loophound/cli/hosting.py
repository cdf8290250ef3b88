"""What the observer shows, as the options say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from loophound.config import Config, default_of
from loophound.detector.stream import tell
from loophound.errors import ConfigError
from loophound.observer.hosting import FeedSocket, Hosting

NO_FEED = "off"


def hosting_of(config: Config) -> Hosting | None:
    """For a server; None where nothing is to be shown. Raises ConfigError for a place that cannot be used."""
    app = config.app if isinstance(config.app, str) else _name_of(config.app)
    about = {"app": app, "command": "serve", "threshold_s": threshold_s(config)}
    return hosting(
        about, feed=config.feed, metrics=config.metrics, health_limit_s=config.health_limit, web=config.web_dashboard
    )


def threshold_s(config: Config) -> float | None:
    """From where a stall counts, by --detect-blocking or else by --hang-watch."""
    return config.hang_watch if config.threshold_ms is None else config.threshold_ms / 1000


def hosting(
    about: Mapping[str, Any],
    *,
    feed: str | None = None,
    metrics: str | None = None,
    health_limit_s: float | None = None,
    web: int | None = None,
) -> Hosting | None:
    """As Hosting() takes them, but `feed` may be "off"."""
    limit_s = default_of("health_limit") if health_limit_s is None else health_limit_s
    place: str | Literal[False] | None = False if feed == NO_FEED else feed
    if feed is None and web is None:
        try:
            FeedSocket(None).close()
        except ConfigError as problem:
            # Nobody has asked for the feed: a server must not fail for want of it.
            tell(f"no live feed: {problem}")
            place = False
    if place is False and metrics is None:
        return None
    shown = Hosting(feed=place, metrics=metrics, health_limit_s=limit_s, web=web, about=about)
    if shown.metrics is not None:
        tell(f"metrics and health at {shown.metrics.url}/metrics, /healthz and /readyz")
    if shown.web is not None:
        tell(f"dashboard at {shown.web.url}")
    return shown


def _name_of(app: object) -> str:
    kind = app if hasattr(app, "__qualname__") else type(app)
    return f"{getattr(kind, '__module__', '?')}:{getattr(kind, '__qualname__', '?')}"
