"""`loophound report --suggest`: what to offload, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from loophound import marks
from loophound.dashboards.wording import count, duration, full_place, safe
from loophound.ledger.suggest import Candidate
from loophound.source import SourceLines

SUGGEST_SCHEMA = "loophound.suggest/1"


def lines(candidates: Sequence[Candidate], sources: SourceLines) -> str:
    """A paragraph each: the time that would have been free, the function, the mark."""
    if not candidates:
        return "nothing to offload: no stall that an executor would have kept from the loop"
    told = []
    for candidate in candidates:
        stalls = count(candidate.count, "stall", "stalls")
        kinds = ", ".join(candidate.causes)
        told += [
            f"{duration(candidate.freed_s)} in {stalls} (worst {duration(candidate.worst_s)}, {kinds}): "
            f"{full_place(candidate.culprit)}",
            f"  {safe(advice(candidate, sources), 400)}",
        ]
    freed_s = sum(candidate.freed_s for candidate in candidates)
    return "\n".join([*told, f"in all, the loop would have been free for {duration(freed_s)} more"])


def advice(candidate: Candidate, sources: SourceLines) -> str:
    """The exact mark; without the source, the mark and the name of the function."""
    culprit = candidate.culprit
    found = marks.definition(sources.lines, culprit.file, culprit.line, culprit.function)
    if found is None:
        return f"mark `{culprit.function}` with `{marks.mark(candidate.executor)}`, and await it"
    request = next(iter(candidate.requests.most_common(1)), None)
    route = request[0].partition(" ")[2] if request is not None else None
    return marks.advice(found, candidate.executor, route)


def document(source: str, candidates: Iterable[Candidate], sources: SourceLines) -> dict[str, Any]:
    """`loophound.suggest/1`: each candidate with the time in seconds that it would have freed."""
    return {
        "schema": SUGGEST_SCHEMA,
        "source": source,
        "candidates": [
            {
                "file": candidate.culprit.file,
                "line": candidate.culprit.line,
                "function": candidate.culprit.function,
                "executor": candidate.executor,
                "freed_s": round(candidate.freed_s, 6),
                "worst_s": round(candidate.worst_s, 6),
                "count": candidate.count,
                "victims": candidate.victims,
                "causes": candidate.causes,
                "fingerprints": candidate.fingerprints,
                "advice": advice(candidate, sources),
            }
            for candidate in candidates
        ],
    }
