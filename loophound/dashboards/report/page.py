"""The report as one page that needs nothing else: to be kept, mailed, or attached to a ticket.

It has no script. The policy in its head (CSP level 3) lets the browser load nothing at all, and
apply no style but ours, which the policy knows by its hash.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from importlib import resources

from loophound import __version__
from loophound.dashboards.account import Account, account
from loophound.dashboards.report.detail import facts, heaviest, stack_title
from loophound.dashboards.report.flame import Box, tree
from loophound.dashboards.report.rows import row
from loophound.dashboards.report.table import summary
from loophound.dashboards.terminal import colour
from loophound.dashboards.wording import duration, full_place, relative, safe
from loophound.ledger.groups import Group
from loophound.source import SourceLines

CLASSES = {"red": "guilty", "yellow": "innocent"}
ROW_PX = 20
SMALLEST_SHARE = 0.002  # of the width; less is no pixel on a phone


def page(source: str, groups: Sequence[Group], sources: SourceLines, now_s: float) -> str:
    """The document. `now_s` is when it was made, in seconds since the epoch."""
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    told = f"{summary(groups)} · {safe(source)} · made {utc(now_s)} by Loophound {__version__}"
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(f'Stalls: {summary(groups)}')}</title>",
            f"<style>{style}</style></head><body>",
            f'<header><h1>Who blocked the event loop</h1><p class="dim">{escape(told)}</p></header>',
            "<main>",
            *(_table(groups) if groups else ["<p>No stalls.</p>"]),
            *(_section(number, group, sources) for number, group in enumerate(groups, 1)),
            "</main></body></html>",
            "",
        )
    )


def utc(at_s: float) -> str:
    """`2026-11-22 04:30:14 UTC`: the reader of a page may be anywhere."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _digest(style: str) -> str:
    return b64encode(sha256(style.encode()).digest()).decode()


def _table(groups: Sequence[Group]) -> Iterator[str]:
    heads = [("where", ""), ("cause", "whole"), ("count", "number"), ("total", "number"), ("worst", "number")]
    heads += [("p50", "number wide"), ("p99", "number wide"), ("victims", "number wide"), ("last seen", "wide")]
    yield "<table><thead><tr>"
    yield "".join(f'<th class="{kind}" scope="col">{name}</th>' for name, kind in heads)
    yield "</tr></thead><tbody>"
    longest_s = max(group.total_s for group in groups)
    for number, group in enumerate(groups, 1):
        told = row(group, utc)
        cells = [told.cause, told.count, told.total, told.worst, told.p50, told.p99, told.victims, told.last]
        share = group.total_s / longest_s if longest_s else 0.0
        yield f'<tr><td><a class="{_class(group)}" href="#group-{number}">{escape(told.where)}</a>{_bar(share)}</td>'
        yield "".join(
            f'<td class="{kind}">{escape(cell)}</td>' for cell, (_, kind) in zip(cells, heads[1:], strict=True)
        )
        yield "</tr>"
    yield "</tbody></table>"


def _bar(share: float) -> str:
    return f'<svg class="bar" aria-hidden="true"><rect width="{share:.1%}" height="4"/></svg>'


def _section(number: int, group: Group, sources: SourceLines) -> str:
    latest, told = account(group.latest, sources), row(group, utc)
    headline = f"{told.cause} · {told.where} · {told.total}"
    parts = [
        f'<section id="group-{number}"><h2 class="{_class(group)}">{escape(headline)}</h2>',
        f"<p>{escape(latest.blame)}</p>" if latest.blame else "",
        _source(latest),
        _facts(group, latest),
        _flame(tree(group)),
        *_stacks(group),
        "</section>",
    ]
    return "\n".join(filter(None, parts))


def _class(group: Group) -> str:
    return CLASSES[colour(group.latest)]


def _source(latest: Account) -> str:
    if not latest.source:
        return ""
    digits = len(str(latest.source[-1][0]))
    lines = []
    for number, text in latest.source:
        line = escape(f"{number:{digits}}  {text}")
        lines.append(f"<mark>{line}</mark>" if number == latest.marked else f"{line}\n")
    return f'<div class="dim">{escape(relative(latest.file))}</div><pre>{"".join(lines)}</pre>'


def _facts(group: Group, latest: Account) -> str:
    told = [*facts(group, utc), ("profile", latest.profile), ("evidence", latest.evidence), ("remedy", latest.remedy)]
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{escape(text)}</dd>' for name, text in told if text)}</dl>"


def _stacks(group: Group) -> Iterator[str]:
    for stack, seconds in heaviest(group):
        lines = escape("\n".join(full_place(frame) for frame in stack))
        yield f"<details><summary>{escape(stack_title(stack, seconds))}</summary><pre>{lines}</pre></details>"


def _flame(root: Box) -> str:
    """Callers above what they call; a nested SVG each, so that a label ends where its box does."""
    if not root.seconds:
        return ""
    boxes = "".join(_boxes(root, root.seconds, 0.0, 0))
    name = "Flame graph: which calls held the loop, callers above"
    return f'<svg class="flame" height="{root.depth * ROW_PX}" role="img" aria-label="{name}">{boxes}</svg>'


def _boxes(box: Box, whole_s: float, left_s: float, level: int) -> Iterator[str]:
    share = box.seconds / whole_s
    if share < SMALLEST_SHARE:
        return
    label = escape(f"{box.label} · {duration(box.seconds)}")
    kind = "" if level and not box.label.startswith("…") else ' class="library"'
    yield (
        f'<svg{kind} x="{left_s / whole_s:.3%}" y="{level * ROW_PX}" width="{share:.3%}" height="{ROW_PX}">'
        f'<title>{label} ({share:.0%})</title><rect width="100%" height="100%"/><text x="4" y="14">{label}</text></svg>'
    )
    for call in sorted(box.calls.values(), key=lambda call: -call.seconds):
        yield from _boxes(call, whole_s, left_s, level + 1)
        left_s += call.seconds
