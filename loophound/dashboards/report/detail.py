"""One group in full: its sums, the latest stall as it was reported, its requests and whole stacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter

from rich.console import Group as Rows
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from loophound.dashboards import layout
from loophound.dashboards.account import account
from loophound.dashboards.report.rows import local, row
from loophound.dashboards.terminal import colour
from loophound.dashboards.wording import count, duration, relative_place, request, safe
from loophound.detector.records import StackFrame
from loophound.ledger.groups import Group, Stack
from loophound.source import SourceLines

MOST_REQUESTS = 5
MOST_STACKS = 3


def panels(group: Group, sources: SourceLines) -> RenderableType:
    """For a terminal."""
    details = Table.grid(padding=(0, 1))
    details.add_column(style="dim", no_wrap=True)
    details.add_column(overflow="fold")
    for name, text in facts(group):
        details.add_row(name, Text(text, overflow="fold"))
    rows: list[RenderableType] = [details, layout.panel(account(group.latest, sources), colour(group.latest))]
    for stack, seconds in heaviest(group):
        rows.append(Text(stack_title(stack, seconds), style="dim"))
        rows += [Text(f"  {relative_place(frame)}", _weight(frame), overflow="fold") for frame in stack]
    return Rows(*rows)


def lines(group: Group, sources: SourceLines) -> str:
    """As text."""
    told = [f"{name}: {text}" for name, text in facts(group)]
    told.append(layout.plain(account(group.latest, sources)))
    for stack, seconds in heaviest(group):
        told.append(stack_title(stack, seconds))
        told += [f"  {relative_place(frame)}" for frame in stack]
    return "\n".join(told)


def facts(group: Group, when: Callable[[float], str] = local) -> Iterator[tuple[str, str]]:
    """Names and texts of what is known of all stalls of the group together."""
    told = row(group, when)
    yield "group", f"{told.id}, {told.cause}, {told.where}"
    yield "seen", f"{count(group.count, 'time', 'times')}, first {when(group.first_at_s)}, last {told.last}"
    yield "held the loop", f"{told.total} in all, worst {told.worst}, median {told.p50}, p99 {told.p99}"
    if group.victims:
        yield "victims", f"{count(group.victims, 'other request', 'other requests')} waited"
    asked = [f"{safe(name)} ({count(times, 'time', 'times')})" for name, times in group.requests.most_common()]
    if asked:
        more = f", {len(asked) - MOST_REQUESTS} more" if len(asked) > MOST_REQUESTS else ""
        yield "requests", ", ".join(asked[:MOST_REQUESTS]) + more
    latest = [" ".join(filter(None, [duration(one.duration_s), request(one)])) for one in reversed(group.records)]
    yield "latest", ", ".join(latest)


def heaviest(group: Group) -> list[tuple[Stack, float]]:
    """The stacks that held the loop longest, and for how many seconds."""
    known = [(stack, seconds) for stack, seconds in group.stack_s.items() if stack]
    return sorted(known, key=itemgetter(1), reverse=True)[:MOST_STACKS]


def stack_title(stack: Stack, seconds: float) -> str:
    return f"stack, {count(len(stack), 'frame', 'frames')}, {duration(seconds)}"


def _weight(frame: StackFrame) -> str:
    return "" if frame.app else "dim"
