"""The verdict of a demo run, as a table for people; it fits into 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loophound.demo.judge import Judgement, Verdict, endpoint_of, place
from loophound.demo.plan import Site
from loophound.demo.traffic import Load
from loophound.detector.records import Cause, Stall


def render(judgement: Judgement, load: Load) -> RenderableType:
    table = Table(
        box=box.SIMPLE_HEAD, title="Planted, and found", title_justify="left", show_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in ("planted", "expected", "found"):
        table.add_column(heading, overflow="fold")
    for heading in ("for", "victims", "right"):
        table.add_column(heading, justify="right", no_wrap=True)
    for verdict in judgement.verdicts:
        table.add_row(*_row(verdict))
    return Group(table, *_lines(judgement, load))


def _row(verdict: Verdict) -> Iterator[RenderableType]:
    planted, site = verdict.planted, verdict.site
    stalls = (*verdict.stalls, *verdict.excused)
    yield f"{planted.what}\n{planted.endpoint}"
    yield f"{planted.cause.value}\n{_site(site)}"
    yield "\n".join(_found(stall) for stall in stalls)
    yield "\n".join(f"{stall.duration_s:.2f} s" for stall in stalls)
    yield "\n".join(str(stall.victims) for stall in stalls)
    yield Text("yes", "green") if verdict.right else Text("no", "red")


def _lines(judgement: Judgement, load: Load) -> Iterator[Text]:
    right = sum(verdict.right for verdict in judgement.verdicts)
    total = len(judgement.verdicts)
    yield Text(f"\n{right} of {total} named right", "green" if right == total else "red")
    for verdict in judgement.verdicts:
        if not verdict.right:
            yield Text(f"  {verdict.planted.endpoint}: {verdict.fault}", "red")
    accused = len(judgement.accusations)
    yield Text(f"{_counted(accused, 'accusation')} on healthy endpoints", "red" if accused else "green")
    for stall in judgement.accusations:
        yield Text(f"  {_found(stall)}, {endpoint_of(stall) or 'no request'}", "red")
    yield Text(f"{load.requests} healthy requests; the slowest took {load.slowest_s:.2f} s, behind a blocker", "dim")
    yield from _remarks(judgement)


def _remarks(judgement: Judgement) -> Iterator[Text]:
    """What else the reports say, none of it against the application."""
    for found, times in Counter(_found(stall) for stall in judgement.others).items():
        yield Text(f"also reported: {found}, {_counted(times, 'time')}", "dim")
    starved = _starved([stall for verdict in judgement.verdicts for stall in verdict.excused])
    if starved:
        yield Text(f"{_counted(starved, 'call')} got no CPU: run the demo again when this machine is less busy")


def _starved(stalls: Sequence[Stall]) -> int:
    return sum(stall.cause is Cause.STARVED for stall in stalls)


def _site(site: Site) -> str:
    return f"{site.file.name}:{site.line}"


def _found(stall: Stall) -> str:
    return f"{stall.cause.value} {'nobody' if stall.culprit is None else place(stall.culprit)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
