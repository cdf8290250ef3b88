"""Loops that are blocked for real, for about a third of a second each.

Nothing is asserted of how fast anything is: only who is named, why, in which order, and
that a stall was at least as long as the code made it. The machine may be busy: what took
CPU time may be told as starved by it, where that is the truth.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from loophound.detector.detector import Detector
from loophound.detector.records import Cause, Stall
from tests.detector.conftest import Runner

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc"),
    pytest.mark.allow_blocking(reason="what blocks here is planted for a detector of the tests' own"),
]

BLOCKED_S = 0.3
PATIENCE_S = 5.0
TRIES = 3
NOT_THE_PROGRAM = {Cause.STARVED, Cause.SUSPENDED}
CATASTROPHE = "a" * 23 + "b"


def lines_of(marker: str) -> list[int]:
    """The lines of this file that end in the comment."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return [n for n, line in enumerate(lines, 1) if line.endswith(f"# {marker}")]


def stalls_of(
    run: Runner, main: Callable[[], Coroutine[Any, Any, Any]], enough: Callable[[list[Stall]], object] = lambda _: True
) -> list[Stall]:
    """What is told of a run, without what the machine did to it; of another run when that is not enough."""
    stalls: list[Stall] = []
    for _ in range(TRIES):
        told: list[Stall] = []
        with Detector(0.1, on_stall=told.append) as detector:
            assert detector.wait_for_observer(), detector.observer_problem
            run(main())
        stalls = [stall for stall in told if not stall.ongoing and stall.cause not in NOT_THE_PROGRAM]
        if enough(stalls):
            break
    return stalls


def around(block: Callable[[], Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def main() -> None:
        await asyncio.sleep(0.05)
        block()
        await asyncio.sleep(0.05)

    return main


class Shared:
    """One detector for many tests: most of the time goes into starting the observer."""

    def __init__(self, run: Runner, detector: Detector, told: list[Stall]) -> None:
        self._run = run
        self._detector = detector
        self._told = told

    def stall(self, block: Callable[[], Any], cause: Cause, marker: str) -> Stall:
        """The stall of a run in which `block` was called on the loop. A machine that takes CPUs away can make
        another line of it slow, for which there are more tries, but never name another function.
        """
        seen = []
        for _ in range(TRIES):
            self._told.clear()
            self._run(around(block)())
            self._settle()
            for stall in self._final():
                assert stall.culprit is None or stall.culprit.function == block.__name__, stall
                if stall.cause is cause and stall.culprit is not None and stall.culprit.line in lines_of(marker):
                    assert stall.culprit.file == __file__
                    assert stall.culprit.code is not None
                    assert stall.culprit.code.endswith(f"# {marker}")
                    return stall
            seen += self._final()
        raise AssertionError(f"no stall by {cause} at {marker!r}, but {seen}")

    def _final(self) -> list[Stall]:
        return [stall for stall in self._told if not stall.ongoing]

    def _settle(self) -> None:
        """Wait until all that was seen has been told."""
        deadline = time.monotonic() + PATIENCE_S
        watchdog = self._detector._watchdog
        while (watchdog._watches or watchdog._newcomers) and time.monotonic() < deadline:
            time.sleep(0.005)
        told = threading.Event()
        self._detector._stream.put(told)  # type: ignore[arg-type]
        assert told.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def watching() -> Iterator[tuple[Detector, list[Stall]]]:
    told: list[Stall] = []
    with Detector(0.1, on_stall=told.append) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        explain = detector._stream._make

        def explain_or_signal(item: Any) -> Any:
            return item.set() or [] if isinstance(item, threading.Event) else explain(item)

        detector._stream._make = explain_or_signal
        yield detector, told


@pytest.fixture
def shared(run: Runner, watching: tuple[Detector, list[Stall]]) -> Shared:
    return Shared(run, *watching)


def assert_culprit(stall: Stall, marker: str, function: str) -> None:
    assert stall.culprit is not None, stall
    assert (stall.culprit.file, [stall.culprit.line]) == (__file__, lines_of(marker))
    assert stall.culprit.function == function
    assert stall.culprit.code is not None
    assert stall.culprit.code.endswith(f"# {marker}")


def sleeps() -> None:
    time.sleep(BLOCKED_S)  # sleeps here


def computes() -> int:
    total, until = 0, time.thread_time() + BLOCKED_S
    while time.thread_time() < until:  # computes here
        for _ in range(1000):  # computes here
            total = (total * 31 + 7) % 1_000_003 if total % 2 else (total * 17 + 3) % 1_000_033  # computes here
    return total


def backtracks() -> object:
    return re.match(r"(a+)+$", CATASTROPHE)  # backtracks here


def waits_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(BLOCKED_S, lock.release).start()
    lock.acquire()  # waits for a lock here


def receives() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timer = threading.Timer(BLOCKED_S, theirs.send, (b"x",))
        timer.start()
        ours.recv(1)  # receives here
        timer.join()


def runs_a_child() -> None:
    subprocess.run(["sleep", str(BLOCKED_S)], check=True)  # runs a child here


def test_time_sleep(shared: Shared) -> None:
    stall = shared.stall(sleeps, Cause.SLEEP, "sleeps here")
    assert stall.duration_s + stall.duration_error_s >= BLOCKED_S
    assert stall.evidence.syscall in ("clock_nanosleep", "nanosleep", "select", "pselect6")
    assert "asyncio.sleep" in (stall.remedy or "")
    assert stall.task is not None
    assert stall.task.coro == "around.<locals>.main"


def test_a_loop_in_python(shared: Shared) -> None:
    stall = shared.stall(computes, Cause.CPU, "computes here")
    assert stall.duration_s + stall.duration_error_s >= BLOCKED_S


def test_a_c_call_that_holds_the_gil_as_the_last_line_of_a_helper(shared: Shared) -> None:
    stall = shared.stall(backtracks, Cause.NATIVE, "backtracks here")
    assert stall.evidence.gil_held
    assert stall.evidence.captured_by == "observer"


def test_a_lock(shared: Shared) -> None:
    stall = shared.stall(waits_for_a_lock, Cause.LOCK, "waits for a lock here")
    assert stall.duration_s + stall.duration_error_s >= 0.2


def test_a_socket(shared: Shared) -> None:
    stall = shared.stall(receives, Cause.IO, "receives here")
    assert (stall.evidence.syscall, stall.evidence.target) == ("recvfrom", "unix")


def test_a_child(shared: Shared) -> None:
    stall = shared.stall(runs_a_child, Cause.IO, "runs a child here")
    assert "create_subprocess_exec" in (stall.remedy or "")


@pytest.fixture
def garbage() -> Iterator[list[Any]]:
    """Objects enough for slow collections, which must not happen on the way."""
    gc.disable()
    objects: list[Any] = [[number] for number in range(2_000_000)]
    yield objects
    objects.clear()
    gc.enable()


def test_a_collection(shared: Shared, garbage: list[Any]) -> None:
    def collects() -> None:
        for _ in range(3):
            gc.collect()  # collects here

    stall = shared.stall(collects, Cause.GC, "collects here")
    assert stall.evidence.gc_generation == 2
    assert stall.evidence.gc_s is not None
    assert stall.evidence.gc_s > 0


def test_a_first_import(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unique = id(tmp_path)
    names = [f"slow_tables_{unique}_{number}" for number in range(TRIES)]  # one for each try
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"import time\ntime.sleep({BLOCKED_S})\n")
    monkeypatch.syspath_prepend(tmp_path)

    def imports() -> None:
        __import__(names.pop())  # imports here

    shared.stall(imports, Cause.IMPORT, "imports here")


def test_another_thread_that_holds_the_gil(run: Runner) -> None:
    def hogs() -> None:
        re.match(r"(a+)+$", CATASTROPHE)  # hogs here

    async def main() -> None:
        await asyncio.sleep(0.05)
        thread = threading.Thread(target=hogs, name="hog")
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.001)

    def contention(stalls: list[Stall]) -> list[Stall]:
        return [stall for stall in stalls if stall.cause is Cause.CONTENTION and stall.other_thread]

    stalls = stalls_of(run, main, contention)
    stall = max(contention(stalls), key=lambda stall: stall.duration_s)
    assert stall.innocent
    assert stall.culprit is None
    assert stall.other_thread is not None
    assert (stall.other_thread.file, [stall.other_thread.line]) == (__file__, lines_of("hogs here"))
    assert not [stall for stall in stalls if not stall.innocent]


def test_two_culprits_back_to_back_in_one_turn_of_the_loop(run: Runner) -> None:
    async def first() -> None:
        sleeps()

    async def second() -> None:
        runs_a_child()

    async def main() -> None:
        await asyncio.sleep(0.05)
        await asyncio.gather(first(), second())
        await asyncio.sleep(0.05)

    stalls = stalls_of(run, main, lambda stalls: len(stalls) == 2)
    assert [(stall.cause, stall.culprit and stall.culprit.function) for stall in stalls] == [
        (Cause.SLEEP, "sleeps"),
        (Cause.IO, "runs_a_child"),
    ]
    assert stalls[0].at <= stalls[1].at


def test_two_loops_in_two_threads() -> None:
    def other() -> None:
        asyncio.run(around(sleeps)())

    def main() -> Coroutine[Any, Any, Any]:
        thread = threading.Thread(target=other, name="other")

        async def both() -> None:
            thread.start()
            await around(runs_a_child)()
            while thread.is_alive():
                await asyncio.sleep(0.01)

        return both()

    stalls = stalls_of(uvloop.run, main, lambda stalls: len(stalls) == 2)
    by_thread = {stall.thread: stall for stall in stalls}
    assert len(stalls) == 2
    assert by_thread["other"].loop.startswith("asyncio.")
    assert_culprit(by_thread["other"], "sleeps here", "sleeps")
    assert by_thread["MainThread"].loop == "uvloop.Loop"
    assert_culprit(by_thread["MainThread"], "runs a child here", "runs_a_child")


def test_a_loop_that_ends_right_after_it_was_blocked(run: Runner) -> None:
    async def main() -> None:
        await asyncio.sleep(0.05)
        sleeps()

    [stall] = stalls_of(run, main, lambda stalls: len(stalls) == 1)
    assert_culprit(stall, "sleeps here", "sleeps")
    assert stall.cause is Cause.SLEEP
    assert stall.duration_s + stall.duration_error_s >= BLOCKED_S


def test_a_quiet_loop_is_not_reported(run: Runner) -> None:
    assert stalls_of(run, lambda: asyncio.sleep(1)) == []


def test_what_runs_outside_of_the_loop_is_not_reported(run: Runner) -> None:
    named = [stall.culprit for stall in stalls_of(run, lambda: asyncio.to_thread(sleeps)) if stall.culprit]
    assert [place for place in named if place.file == __file__] == []
    with Detector(0.1) as detector:
        sleeps()
    assert detector.stalls == 0


# Programs of their own, which write what is told of them to a file


class Program:
    """A program under a detector that records to `path`."""

    def __init__(self, directory: Path, body: str, record: str | None = None) -> None:
        self.path = Path(record or directory / "stalls.jsonl")
        script = directory / "program.py"
        script.write_text(
            textwrap.dedent(
                """
                import asyncio, os, sys, time
                from loophound.detector.detector import Detector

                def say(word):
                    os.write(1, (word + "\\n").encode())

                def sleeps():
                    time.sleep(0.3)

                detector = Detector(0.1, record=RECORD)
                """
            ).replace("RECORD", repr(str(self.path)))
            + textwrap.dedent(body)
        )
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, bufsize=1,
        )  # fmt: skip

    def hears(self, word: str) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"{word}\n", (line, self.process.stderr and self.process.stderr.read())

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Wait for it; gives what it wrote on standard error."""
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return err

    def stalls(self) -> list[Stall]:
        return [Stall.from_dict(json.loads(line)) for line in self.path.read_text().splitlines()]


def test_a_stopped_process_is_not_accused(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        async def main():
            say("runs")
            reader = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            while not reader.done():
                await asyncio.sleep(0.01)

        with detector:
            detector.wait_for_observer()
            asyncio.run(main())
        """,
    )
    program.hears("runs")
    time.sleep(0.1)
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    program.process.send_signal(signal.SIGCONT)
    program.say("end")
    program.end()
    assert [stall for stall in program.stalls() if not stall.innocent] == []
    assert Cause.SUSPENDED in {stall.cause for stall in program.stalls()}


def observer_of(pid: int) -> int:
    """The process that was handed the watched one's number in its arguments."""
    for name in os.listdir("/proc"):
        try:
            arguments = Path("/proc", name, "cmdline").read_bytes() if name.isdigit() else b""
        except OSError:
            continue
        if b"loophound.observer" in arguments and f'"pid": {pid},'.encode() in arguments and b"/sh" not in arguments:
            return int(name)
    raise AssertionError("there is no observer")


def test_detection_goes_on_when_the_observer_is_killed(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        async def main():
            await asyncio.sleep(0.05)
            sleeps()
            await asyncio.sleep(0.05)
            say("first")
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            sleeps()
            await asyncio.sleep(0.05)

        with detector:
            detector.wait_for_observer()
            asyncio.run(main())
        """,
    )
    program.hears("first")
    os.kill(observer_of(program.process.pid), signal.SIGKILL)
    program.say("go on")
    err = program.end()
    found = [stall for stall in program.stalls() if not stall.innocent]
    assert [(stall.cause, stall.culprit and stall.culprit.function) for stall in found] == [(Cause.SLEEP, "sleeps")] * 2
    assert "Traceback" not in err


def test_the_observer_ends_with_its_process(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        detector.start()
        detector.wait_for_observer()
        say("runs")
        sys.stdin.readline()
        os._exit(0)
        """,
    )
    program.hears("runs")
    observer = observer_of(program.process.pid)
    program.say("end")
    program.end()
    deadline = time.monotonic() + 10
    while Path("/proc", str(observer)).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path("/proc", str(observer)).exists()


def test_a_program_that_closed_its_standard_error(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        async def main():
            await asyncio.sleep(0.05)
            sleeps()
            await asyncio.sleep(0.05)

        def broken(stall):
            raise ValueError("so that there is something to say")

        sys.stderr.close()
        os.close(2)
        detector._faces.insert(0, broken)
        with detector:
            asyncio.run(main())
        """,
    )
    assert program.end() == ""
    assert [stall.cause for stall in program.stalls() if not stall.innocent] == [Cause.SLEEP]


def test_a_full_disk_is_told_once_and_costs_nothing_else(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        async def main():
            for _ in range(2):
                await asyncio.sleep(0.05)
                sleeps()
            await asyncio.sleep(0.05)
            say("went on")

        with detector:
            asyncio.run(main())
        say(str(detector.stalls))
        """,
        record="/dev/full",
    )
    program.hears("went on")
    program.hears("2")
    told = program.end().splitlines()
    assert len(told) == 1, told
    assert "No space left" in told[0]


def test_a_callback_in_c_has_no_frame_and_is_told_all_the_same(run: Runner) -> None:
    told: list[Stall] = []

    async def main() -> None:
        await asyncio.sleep(0.1)
        asyncio.get_running_loop().call_soon(time.sleep, 0.3)
        await asyncio.sleep(0.1)

    with Detector(0.1, on_stall=told.append) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        run(main())
    [stall] = [s for s in told if s.cause is Cause.SLEEP]
    assert (stall.culprit, stall.innocent) == (None, False)
    assert stall.duration_s >= 0.28
    assert stall.remedy is not None
    assert "function in C" in stall.remedy
