"""Run scenarios and print what was wrong.

    python -m tests.corpus [--loop asyncio] [--times 5] [--exec] [--json FILE] [NAME ...]

Exits 0 when all was right. A name may be the beginning of several.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import uvloop

from loophound.detector.detector import Detector
from loophound.detector.records import Stall
from tests.corpus.crowd import MUCH, Machine, wait_for_room
from tests.corpus.judge import OF_THE_MACHINE, describe, problems
from tests.corpus.scenario import SCENARIOS, THRESHOLD_S, Scenario
from tests.corpus.scenarios import calm, computing, loading, sleeps, waits

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SETTLING_S = 10.0
# A scenario that the machine disturbed is tried again, and so is one that starts processes, which may take as long as
# a stall without much of the machine being used by others; how often is told.
TRIES = 4
PATIENCE_S = 5.0
UNDECIDED = "undecided, others had the machine at each try"
# Those that need a big heap come last: what others allocate would be collected with it.
ORDER = (sleeps, waits, computing, calm, loading)


def main() -> int:
    options = parse_options()
    chosen = choose(options.names)
    wrong = 0
    results: dict[str, list[str]] = {}
    for round_ in range(options.times):
        for loop in options.loop or LOOPS:
            run = each_alone(loop, chosen) if options.exec else in_one_process(loop, chosen)
            for scenario, found, tries in run:
                results.setdefault(f"{loop}-{scenario.name}", []).extend(found)
                wrong += any(not problem.startswith(UNDECIDED) for problem in found)
                if found or tries > 1 or options.verbose:
                    notes = f" (try {tries})" if tries > 1 else ""
                    say(f"{round_ + 1} {loop:8}{scenario.name}{notes}: {' | '.join(found) or 'right'}")
        say(f"round {round_ + 1}: {wrong} wrong so far, {len(chosen)} scenarios")
    if options.json:
        Path(options.json).write_text(json.dumps(results), encoding="utf-8")
    return int(wrong > 0)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description="Run the corpus of scenarios.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--loop", action="append", choices=list(LOOPS))
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--exec", action="store_true", help="each as a program under `loophound exec`")
    parser.add_argument("--json", metavar="FILE", help="write what was wrong, by loop and scenario")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def choose(names: Iterable[str]) -> list[Scenario]:
    """In the order in which they run."""
    files = [module.__file__ for module in ORDER]
    ordered = sorted(SCENARIOS.values(), key=lambda s: files.index(s.file))
    beginnings = tuple(names)
    return [s for s in ordered if not beginnings or s.name.startswith(beginnings)]


def in_one_process(loop: str, scenarios: Iterable[Scenario]) -> Iterator[tuple[Scenario, list[str], int]]:
    """One detector for all: most of the time of a short program goes into starting."""
    told: list[Stall] = []
    gc.disable()
    with Detector(THRESHOLD_S, on_stall=told.append) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        for scenario in scenarios:
            if scenario.prepare is not None:
                scenario.prepare()
            attempt = 0
            while attempt := attempt + 1:
                told.clear()
                before = Machine.now()
                run_once(loop, scenario)
                detector.settle(SETTLING_S)
                found = problems(scenario, told)
                disturbed = bool(found) and was_disturbed(told, before)
                if not found or not (disturbed or scenario.starts_processes):
                    break
                if attempt == TRIES:
                    found = [f"{UNDECIDED}: {problem}" for problem in found] if disturbed else found
                    break
                wait_for_room(PATIENCE_S)
            yield scenario, found, attempt


def each_alone(loop: str, scenarios: Iterable[Scenario]) -> Iterator[tuple[Scenario, list[str], int]]:
    with tempfile.TemporaryDirectory() as folder:
        for number, scenario in enumerate(scenarios):
            record = Path(folder, f"{number}.jsonl")
            program = ["exec", f"--detect-blocking={THRESHOLD_S * 1000:g}", "--record", str(record)]
            program += ["-m", "tests.corpus.alone", loop, scenario.name]
            done = subprocess.run([sys.executable, "-m", "loophound", *program], stderr=subprocess.PIPE, text=True)
            lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
            found = problems(scenario, [Stall.from_dict(json.loads(line)) for line in lines])
            if done.returncode:
                found.append(f"exit code {done.returncode}: {done.stderr[-500:]}")
            yield scenario, found, 1


def was_disturbed(told: Iterable[Stall], before: Machine) -> bool:
    """Whether the machine had a part in it: by the records themselves, or by its own account."""
    return any(stall.cause in OF_THE_MACHINE for stall in told) or Machine.now().others_since(before) >= MUCH


def run_once(loop: str, scenario: Scenario) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario.main())
    time.sleep(0.01)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["choose", "describe", "in_one_process", "main"]
