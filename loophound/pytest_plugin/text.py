"""A judged stall in words."""

from __future__ import annotations

from loophound.dashboards.account import account, headline, subject
from loophound.dashboards.wording import duration, relative
from loophound.pytest_plugin.verdict import Judged
from loophound.source import SourceLines


def full_text(judged: Judged, sources: SourceLines) -> str:
    """Headline, source with the line marked, stack, evidence, remedy."""
    told = account(judged.stall, sources)
    lines = [told.headline]
    if told.blame:
        lines.append(f"  {told.blame}")
    if told.source:
        digits = len(str(told.source[-1][0]))
        lines += ["", f"  {relative(told.file)}"]
        lines += [f"  {'>' if n == told.marked else ' '} {n:{digits}}  {text}".rstrip() for n, text in told.source]
        lines.append("")
    during = f"{judged.during} of {judged.test}" if judged.test else "no test"
    details = {
        "during": f"{during} (limit {duration(judged.limit_ms / 1000)})",
        "stack": " > ".join(told.stack),
        "profile": told.profile,
        "evidence": told.evidence,
        "remedy": told.remedy,
        judged.verdict.value: judged.why,
    }
    return "\n".join(lines + [f"  {name}: {text}" for name, text in details.items() if text])


def property_text(judged: Judged) -> str:
    """One line for a property of the test."""
    why = f" ({judged.why})" if judged.why else ""
    return f"{headline(judged.stall)} · {judged.during or 'outside'} · {judged.verdict}{why}"


def table(stalls: list[Judged]) -> list[str]:
    """Stalls of one line and verdict together, the worst first; a header, then a line each."""
    groups: dict[tuple[str, ...], list[Judged]] = {}
    for judged in stalls:
        groups.setdefault((subject(judged.stall), judged.stall.cause, judged.verdict), []).append(judged)
    worst_first = sorted(groups.values(), key=lambda group: -max(one.stall.duration_s for one in group))
    rows = [("worst", "times", "verdict", "cause", "where", "test")]
    for group in worst_first:
        worst = max(group, key=lambda one: one.stall.duration_s)
        test = f"{worst.test} ({worst.during})" if worst.test else "-"
        others = len({one.test for one in group}) - 1
        rows.append(
            (
                duration(worst.stall.duration_s),
                str(len(group)),
                worst.verdict.value,
                worst.stall.cause.value,
                subject(worst.stall),
                test + (f" and {others} more" if others else ""),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]) for row in rows]
