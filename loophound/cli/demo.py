"""`loophound demo`: a small application with planted blockers, under load."""

from __future__ import annotations

import click
from rich.console import Console

from loophound.demo.plan import PLANTED
from loophound.demo.run import require_extra, run_demo
from loophound.demo.table import render
from loophound.demo.traffic import CALLS, SHORTEST_RUN_S


@click.command("demo")
@click.option(
    "--seconds",
    type=click.FloatRange(min=SHORTEST_RUN_S),
    default=15.0,
    show_default=True,
    help="Spread the calls of the blockers over this many seconds.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of the demo server; 0 takes a free one.",
)
def command(seconds: float, port: int) -> None:
    """Serve a small shop with ten planted blockers, load it, and show who was named.

    The reports appear while the blockers block. Exits 0 only when all ten were named with
    the right line, cause and request, and no healthy endpoint was accused.
    """
    require_extra()
    console = Console()
    console.print(f"{len(PLANTED)} planted blockers, each called {CALLS} times within about {seconds:g} s.")
    judgement, load = run_demo(seconds, port)
    console.print(render(judgement, load))
    if not judgement.passed:
        raise click.exceptions.Exit(1)
