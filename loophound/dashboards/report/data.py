"""The report as JSON: `loophound.report/1`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loophound.dashboards.account import subject
from loophound.ledger.compare import Change
from loophound.ledger.groups import Group
from loophound.times import wall_iso

MOST_REQUESTS = 50  # without routes, every path is one
REPORT_SCHEMA = "loophound.report/1"


def report(source: str, groups: Iterable[Group], *, full: bool = False) -> dict[str, Any]:
    """All groups; with `full`, each with the latest records."""
    return {"schema": REPORT_SCHEMA, "source": source, "groups": [_group(group, full) for group in groups]}


def comparison(source: str, against: str, changes: Iterable[Change]) -> dict[str, Any]:
    """What became of each group; `before` or `now` is null where it is new or gone."""
    return {
        "schema": REPORT_SCHEMA,
        "source": source,
        "against": against,
        "changes": [
            {
                "verdict": change.verdict.value,
                "fingerprint": change.group.fingerprint,
                "grown_s": round(change.grown_s, 6),
                "before": _group(change.before, False) if change.before else None,
                "now": _group(change.now, False) if change.now else None,
            }
            for change in changes
        ],
    }


def _group(group: Group, full: bool) -> dict[str, Any]:
    latest = group.latest.to_dict()
    told = {
        "fingerprint": group.fingerprint,
        "cause": group.cause.value,
        "innocent": group.latest.innocent,
        "subject": subject(group.latest),
        "culprit": latest["culprit"],
        "count": group.count,
        "total_s": round(group.total_s, 6),
        "mean_s": round(group.mean_s, 6),
        "worst_s": group.worst_s,
        **{f"p{share}_s": round(group.percentile(share / 100), 6) for share in (50, 90, 99)},
        "first_at": wall_iso(group.first_at_s),
        "last_at": wall_iso(group.last_at_s),
        "victims": group.victims,
        "requests": dict(group.requests.most_common(MOST_REQUESTS)),
        "remedy": group.latest.remedy,
    }
    return {**told, "records": [record.to_dict() for record in group.records]} if full else told
