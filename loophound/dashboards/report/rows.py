"""Groups in order, and the words for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loophound.dashboards.account import subject
from loophound.dashboards.wording import duration, safe
from loophound.ledger.groups import Group

ORDERS: dict[str, Callable[[Group], Any]] = {
    "total": lambda group: group.total_s,
    "worst": lambda group: group.worst_s,
    "count": lambda group: group.count,
    "last": lambda group: group.last_at_s,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One group, each part ready to print."""

    id: str
    where: str
    cause: str
    count: str
    total: str
    worst: str
    p50: str
    p99: str
    victims: str
    last: str


def ranked(groups: Iterable[Group], order: str, limit: int | None = None) -> list[Group]:
    """The first `limit` groups by a key of ORDERS, the largest first."""
    return sorted(groups, key=lambda group: (ORDERS[order](group), group.fingerprint), reverse=True)[:limit]


def row(group: Group, when: Callable[[float], str]) -> Row:
    """`when` puts a time, in seconds since the epoch, into words."""
    return Row(
        id=safe(group.fingerprint, 16),
        where=subject(group.latest),
        cause=group.cause.value,
        count=str(group.count),
        total=duration(group.total_s),
        worst=duration(group.worst_s),
        p50=duration(group.percentile(0.5)),
        p99=duration(group.percentile(0.99)),
        victims=str(group.victims),
        last=when(group.last_at_s),
    )


def local(at_s: float) -> str:
    """`2026-11-22 04:30:14` in the time zone of this machine."""
    return datetime.fromtimestamp(at_s).isoformat(" ", "seconds")


def ago(at_s: float, now_s: float) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `12 d ago`."""
    passed_s = now_s - at_s
    if passed_s < 60:
        return "just now"
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed_s >= seconds:
            return f"{passed_s // seconds:.0f} {unit} ago"
    raise AssertionError("unreachable")
