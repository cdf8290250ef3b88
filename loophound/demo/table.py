"""The verdict of a demo run, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loophound.demo.judge import Judgement, Verdict, endpoint_of, place
from loophound.demo.traffic import Load
from loophound.detector.records import Stall


def render(judgement: Judgement, load: Load) -> RenderableType:
    table = Table(title="Planted, and found", title_style="bold", title_justify="left")
    for heading in ("endpoint", "planted", "at", "expected"):
        table.add_column(heading, overflow="fold")
    table.add_column("found", overflow="fold")
    table.add_column("victims", justify="right")
    table.add_column("named right", overflow="fold")
    for verdict in judgement.verdicts:
        table.add_row(*_row(verdict))
    return Group(table, *_lines(judgement, load))


def _row(verdict: Verdict) -> Iterator[RenderableType]:
    planted, site = verdict.planted, verdict.site
    yield str(planted.endpoint)
    yield planted.what
    yield f"{site.function}:{site.line}"
    yield planted.cause.value
    yield "\n".join(_found(stall) for stall in verdict.stalls) or "-"
    yield "\n".join(str(stall.victims) for stall in verdict.stalls)
    yield Text("yes", "green") if verdict.fault is None else Text(f"no: {verdict.fault}", "red")


def _lines(judgement: Judgement, load: Load) -> Iterator[Text]:
    right = sum(verdict.right for verdict in judgement.verdicts)
    total = len(judgement.verdicts)
    yield Text(f"{right} of {total} named right", "green" if right == total else "red")
    accused = len(judgement.accusations)
    yield Text(
        f"{accused} accusation{'' if accused == 1 else 's'} on healthy endpoints, "
        f"in {load.requests} requests to them (the slowest took {load.slowest_s:.2f} s)",
        "red" if accused else "green",
    )
    for stall in judgement.accusations:
        yield Text(f"  accused: {_found(stall)}, {endpoint_of(stall) or 'no request'}", "red")
    for stall in judgement.others:
        yield Text(f"  nobody in the application: {_found(stall)}", "dim")


def _found(stall: Stall) -> str:
    culprit = "nobody" if stall.culprit is None else place(stall.culprit)
    return f"{culprit} {stall.cause.value} {stall.duration_s:.2f} s"
