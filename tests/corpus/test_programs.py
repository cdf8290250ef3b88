"""Programs of their own under `loophound exec`: what is done to a whole process, and what debuggers do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loophound.detector.records import Cause, Stall

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc"),
]

SETTLED_S = 0.6  # by then the observer looks
PATIENCE_S = 60.0

PROLOGUE = """
import asyncio, os, re, signal, sys, threading, time

def say(word):
    os.write(1, (word + "\\n").encode())

def run(main):
    import uvloop
    time.sleep(SETTLED)
    factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())

def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Program:
    """A script under `loophound exec`, which talks by lines."""

    def __init__(self, folder: Path, loop: str, body: str, *, nice: int = 0, cpu: int | None = None) -> None:
        self.record = folder / "stalls.jsonl"
        self.path = folder / "program.py"
        self.path.write_text(PROLOGUE.replace("SETTLED", str(SETTLED_S)) + textwrap.dedent(body))

        def prepare() -> None:
            os.nice(nice)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        self.process = subprocess.Popen(
            [sys.executable, "-m", "loophound", "exec", "--record", str(self.record), str(self.path), loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=prepare if nice or cpu is not None else None,
        )

    def hears(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # a debugger has its own to say
            if line.rstrip().endswith(word):
                return
        raise AssertionError(f"it ended without {word!r}: {self.process.communicate()[1]}")

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> list[Stall]:
        """Wait for it; gives what was recorded, without what was only announced."""
        _, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, err
        assert "Traceback" not in err
        return [stall for stall in self.recorded() if not stall.ongoing]

    def recorded(self) -> list[Stall]:
        lines = self.record.read_text(encoding="utf-8").splitlines() if self.record.exists() else []
        return [Stall.from_dict(json.loads(line)) for line in lines]

    def line(self, marker: str) -> int:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# {marker}"))


def accused(stalls: list[Stall]) -> list[Stall]:
    return [stall for stall in stalls if not stall.innocent]


def stop_for(program: Program, seconds: float) -> None:
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    program.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("work", ["await asyncio.sleep(0.01)", "burn(0.02); await asyncio.sleep(0)"])
def test_a_stopped_process(tmp_path: Path, loop: str, work: str) -> None:
    program = Program(
        tmp_path,
        loop,
        f"""
        async def main():
            say("runs")
            line = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            while not line.done():
                {work}
        run(main)
        """,
    )
    program.hears("runs")
    time.sleep(0.3)
    stop_for(program, 0.6)
    time.sleep(0.3)
    program.say("end")
    stalls = program.end()
    assert accused(stalls) == []
    assert Cause.SUSPENDED in {stall.cause for stall in stalls}


def test_a_process_that_gets_no_cpu(tmp_path: Path, loop: str) -> None:
    """On one CPU with two others that matter more."""
    cpu = max(os.sched_getaffinity(0))
    burners = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {cpu})
        )
        for _ in range(2)
    ]
    try:
        program = Program(
            tmp_path,
            loop,
            """
            async def main():
                for _ in range(4):
                    burn(0.01)
                    await asyncio.sleep(0.001)
            run(main)
            """,
            nice=10,
            cpu=cpu,
        )
        stalls = program.end()
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert accused(stalls) == []
    assert {stall.cause for stall in stalls} <= {Cause.STARVED, Cause.SUSPENDED}


DEBUGGED = """
async def main():
    await asyncio.sleep(0.05)
    BREAK
    await asyncio.sleep(0.05)
    say("went on")
run(main)
"""


@pytest.mark.parametrize("stop", ["breakpoint()", "import pdb; pdb.set_trace()", "import ipdb; ipdb.set_trace()"])
def test_a_breakpoint(tmp_path: Path, loop: str, stop: str) -> None:
    if "ipdb" in stop:
        pytest.importorskip("ipdb", reason="ipdb is not installed")
    program = Program(tmp_path, loop, DEBUGGED.replace("BREAK", stop))
    time.sleep(SETTLED_S + 1.5)
    program.say("c")
    program.hears("went on")
    assert accused(program.end()) == []


def test_waiting_for_a_debugger(tmp_path: Path, loop: str) -> None:
    pytest.importorskip("debugpy", reason="debugpy is not installed")
    waits = (
        "import debugpy; debugpy.listen(('127.0.0.1', 0)); "
        "threading.Timer(0.6, debugpy.wait_for_client.cancel).start(); debugpy.wait_for_client()"
    )
    body = DEBUGGED.replace("async def main():", "import debugpy, debugpy.server.api\nasync def main():")
    program = Program(tmp_path, loop, body.replace("BREAK", waits))
    program.hears("went on")
    stalls = accused(program.end())
    # To start debugpy's adapter is a wait for a child, and the program's own doing.
    assert all(stall.cause in (Cause.IO, Cause.IMPORT, Cause.LOCK, Cause.CPU) for stall in stalls)
    assert not [s for s in stalls if any(f.function == "wait_for_client" for f in s.stack)]


def told_meanwhile(program: Program, ended: Callable[[], bool]) -> list[Stall]:
    """What stood in the record file before the program said that it was over."""
    told: list[Stall] = []
    while not ended():
        told = program.recorded() or told
        time.sleep(0.05)
    return told


@pytest.mark.parametrize(
    ("block", "cause"),
    [
        ("re.match('(a+)+$', TEXT)", Cause.NATIVE),
        ("time.sleep(2.2)", Cause.SLEEP),
        ("burn(2.2)", Cause.CPU),
        ("__import__('ctypes').PyDLL(None).usleep(2_200_000)", Cause.SLEEP),
    ],
)
def test_a_long_stall_is_recorded_while_it_lasts(tmp_path: Path, loop: str, block: str, cause: Cause) -> None:
    over = tmp_path / "over"
    program = Program(
        tmp_path,
        loop,
        f"""
        TEXT = ""
        if "TEXT" in {block!r}:
            taken, length = 0.0, 16
            while taken < 0.2:
                length += 1
                began = time.perf_counter()
                re.match('(a+)+$', 'a' * length + 'b')
                taken = time.perf_counter() - began
            TEXT = 'a' * (length + 4) + 'b'

        def blocks():
            {block}  # here

        async def main():
            await asyncio.sleep(0.05)
            blocks()
            open({str(over)!r}, "w").close()
            await asyncio.sleep(0.05)
        run(main)
        """,
    )
    told = told_meanwhile(program, over.exists)
    [stall] = accused(program.end())
    assert (stall.cause, stall.culprit and stall.culprit.function) in ((cause, "blocks"), (Cause.CPU, "burn"))
    assert [(s.ongoing, s.id) for s in told[:1]] == [(True, stall.id)]
    assert stall.duration_s >= 1.5


def test_forked_children_start_clean(tmp_path: Path, loop: str) -> None:
    program = Program(
        tmp_path,
        loop,
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore")

        def child():
            async def blocks():
                time.sleep(0.3)
            asyncio.run(blocks())

        async def main():
            for method in ("fork", "spawn"):
                process = multiprocessing.get_context(method).Process(target=child if method == "fork" else print)
                process.start()
                await asyncio.to_thread(process.join)
                assert process.exitcode == 0
            blocked()

        def blocked():
            time.sleep(0.3)  # here

        if __name__ == "__main__":
            run(main)
        """,
    )
    stalls = [s for s in accused(program.end()) if s.cause is Cause.SLEEP]
    assert [s.culprit and s.culprit.line for s in stalls] == [program.line("here")]


def test_loops_that_come_and_go(tmp_path: Path, loop: str) -> None:
    """What happens between two runs keeps nobody waiting."""
    program = Program(
        tmp_path,
        loop,
        """
        time.sleep(SETTLED)
        for number in range(20):
            run_once = asyncio.new_event_loop()
            run_once.run_until_complete(asyncio.sleep(0.01))
            time.sleep(0.12)
            run_once.close()

        def sync():
            return asyncio.run(asyncio.sleep(0.01, "done"))

        assert sync() == "done"
        """.replace("SETTLED", str(SETTLED_S)),
    )
    assert accused(program.end()) == []
