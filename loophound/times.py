"""Times as records write them: ISO 8601, UTC, to the millisecond."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_iso() -> str:
    return iso_of(time.monotonic_ns())


def iso_of(at_ns: int) -> str:
    """A time of the monotonic clock, by the wall clock as it stands now."""
    return wall_iso((at_ns + time.time_ns() - time.monotonic_ns()) / 1e9)


def wall_iso(at_s: float) -> str:
    """A time of the wall clock, in seconds since the epoch."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
