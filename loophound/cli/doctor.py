"""`loophound doctor`: block a loop for real in each way, and see whether it is named."""

from __future__ import annotations

import asyncio
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loophound.demo import trials
from loophound.demo.trials import Trial
from loophound.detector.adapters.kernel import ThreadProbe
from loophound.detector.detector import Detector
from loophound.detector.records import Stall

PAUSE_S = 0.2  # between two trials: each stands alone, and its record is in

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# Where each trial's function blocks; a loop in Python may be caught on any of its lines.
CULPRITS = {"sleep": "sleep", "compute_here": "compute", "match_here": "match", "acquire": "acquire"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial on one loop, and what was reported of it."""

    loop: str
    trial: Trial
    stalls: tuple[Stall, ...]

    @property
    def problem(self) -> str | None:
        """What is wrong with the report; None when it is right."""
        if not self.stalls:
            return "not seen"
        if len(self.stalls) > 1:
            return f"reported {len(self.stalls)} times"
        stall = self.stalls[0]
        culprit = stall.culprit
        if stall.cause is not self.trial.cause:
            return f"named {stall.cause}, not {self.trial.cause}"
        if culprit is None or culprit.file != trials.__file__:
            return f"blamed {culprit.file}:{culprit.line}" if culprit else "no line named"
        wanted = CULPRITS[self.trial.block.__name__]
        return None if culprit.function == wanted else f"blamed {culprit.function}, not {wanted}"


@click.command("doctor", short_help="Prove on this machine that detection works.")
def command() -> None:
    """Block a loop for real in each way, check that each is named, and tell what evidence there is.

    Exits 0 when every trial was named right, else 1.
    """
    console = Console()
    stalls: list[Stall] = []
    detector = Detector(on_stall=stalls.append)
    detector.start()
    try:
        observing = detector.wait_for_observer()
        outcomes = [outcome for name, factory in loop_factories() for outcome in try_all(name, factory, stalls)]
    finally:
        detector.stop()
    console.print(evidence_table(detector, observing))
    console.print(trial_table(outcomes))
    failed = sum(1 for outcome in outcomes if outcome.problem)
    if failed:
        console.print(
            f"{failed} of {len(outcomes)} trials were not named right: reports may be wrong here.", style="red"
        )
        raise click.exceptions.Exit(1)
    console.print(f"Detection works: {len(outcomes)} of {len(outcomes)} trials were named right.")


def loop_factories() -> list[tuple[str, LoopFactory]]:
    factories: list[tuple[str, LoopFactory]] = [("asyncio", asyncio.new_event_loop)]
    try:
        import uvloop
    except ImportError:
        return factories
    return [*factories, ("uvloop", uvloop.new_event_loop)]


def try_all(name: str, factory: LoopFactory, stalls: list[Stall]) -> list[Outcome]:
    outcomes = []

    async def run() -> None:
        for trial in trials.trials():
            await asyncio.sleep(PAUSE_S)
            stalls.clear()
            trial.block()
            await asyncio.sleep(PAUSE_S)
            outcomes.append(Outcome(name, trial, tuple(stall for stall in stalls if not stall.ongoing)))

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    return outcomes


def evidence_table(detector: Detector, observing: bool) -> Table:
    table = Table(
        "evidence", "here", "what it is for", title=f"{interpreter()} on {platform.system()} {platform.machine()}"
    )
    problem = detector.observer_problem or (None if observing else "it did not start within 5 s")
    probe = ThreadProbe(threading.get_native_id())
    _, runqueue_ns = probe.cpu_and_runqueue_ns()
    probe.close()
    sources = (
        ("observer process", problem is None, problem or "reads stacks from outside while a C call holds the GIL"),
        ("thread CPU clock", hasattr(time, "pthread_getcpuclockid"), "tells computing from waiting"),
        ("run-queue time", runqueue_ns is not None, "clears the program when the machine had no CPU to give"),
        ("system call", _sees_system_calls(), "tells sleep, lock and IO apart, and names what was waited for"),
    )
    for name, present, purpose in sources:
        table.add_row(name, Text("yes", "green") if present else Text("no", "red"), purpose)
    return table


def trial_table(outcomes: list[Outcome]) -> Table:
    table = Table("loop", "blocked by", "named", "captured by", "seconds", "verdict")
    for outcome in outcomes:
        stall = outcome.stalls[0] if outcome.stalls else None
        named = f"{stall.cause} in {stall.culprit.function if stall.culprit else 'nobody'}" if stall else "-"
        table.add_row(
            outcome.loop,
            outcome.trial.what,
            named,
            (stall.evidence.captured_by or "-") if stall else "-",
            f"{stall.duration_s:.2f}" if stall else "-",
            Text(outcome.problem, "red") if outcome.problem else Text("right", "green"),
        )
    return table


def interpreter() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _sees_system_calls() -> bool:
    """Look at a thread that certainly stands in a system call."""
    started, release = threading.Event(), threading.Event()
    native_id = 0

    def wait() -> None:
        nonlocal native_id
        native_id = threading.get_native_id()
        started.set()
        release.wait()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    started.wait()
    probe = ThreadProbe(native_id)
    try:
        deadline_s = time.monotonic() + 1.0
        while time.monotonic() < deadline_s:
            if probe.waiting() is not None:
                return True
            time.sleep(0.001)
        return False
    finally:
        probe.close()
        release.set()
        thread.join()
