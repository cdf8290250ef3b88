"""One observer for several workers, which attach at a socket."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from loophound.dashboards.feed import FeedReader
from loophound.observer import supervise
from loophound.observer.hosting import Hosting
from tests.observer.feeding import PATIENCE_S, Program, observers_of

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc"),
]

WORKER = """
import asyncio, ctypes, sys, time
from loophound.detector.detector import Detector

def hold_the_gil(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))

async def main():
    print("ready", flush=True)
    await asyncio.sleep(0.2)
    {body}
    await asyncio.sleep(60)

with Detector(0.1, observer=sys.argv[1], worker=int(sys.argv[2])) as detector:
    detector.wait_for_observer()
    asyncio.run(main())
"""

Answer = dict[str, Any]


@pytest.fixture
def at_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def observer(tmp_path: Path, at_end: ExitStack) -> supervise.Observer:
    hosting = at_end.enter_context(Hosting(feed=tmp_path / "feed", about={"app": "x:app"}))
    return at_end.enter_context(supervise.start(hosting, tmp_path / "attach"))


def worker(at_end: ExitStack, observer: supervise.Observer, number: int, body: str = "pass") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER.format(body=body), str(observer.attach_at), str(number)],
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    at_end.callback(end)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def eventually(observer: supervise.Observer, wanted: Callable[[list[Answer]], object]) -> list[Answer]:
    deadline_s = time.monotonic() + PATIENCE_S
    while not wanted(workers := observer.workers()):
        assert time.monotonic() < deadline_s, workers
        time.sleep(0.05)
    return workers


def states(workers: list[Answer]) -> dict[int, list[str]]:
    return {each["worker"]: [loop["state"] for loop in each["loops"]] for each in workers}


def test_each_worker_is_watched_for_itself(observer: supervise.Observer, at_end: ExitStack) -> None:
    healthy = worker(at_end, observer, 1)
    hung = worker(at_end, observer, 2, "hold_the_gil(30)")
    stopped = worker(at_end, observer, 3)
    os.kill(stopped.pid, signal.SIGSTOP)
    wanted = {1: ["ok"], 2: ["blocked"], 3: ["stopped"]}
    workers = eventually(observer, lambda workers: states(workers) == wanted)
    assert {each["pid"] for each in workers} == {healthy.pid, hung.pid, stopped.pid}
    [loop] = next(each for each in workers if each["worker"] == 2)["loops"]
    assert loop["line"]["function"] == "hold_the_gil"
    assert loop["for_s"] >= 0.1


def test_a_worker_that_hangs_is_diagnosed(observer: supervise.Observer, at_end: ExitStack) -> None:
    hung = worker(at_end, observer, 2, "hold_the_gil(30)")
    eventually(observer, lambda workers: states(workers) == {2: ["blocked"]})
    found = observer.diagnose(hung.pid)
    assert found is not None
    [stall] = found["stalls"]
    assert (stall["worker"], stall["pid"], stall["ongoing"]) == (2, hung.pid, True)
    assert stall["culprit"]["function"] == "hold_the_gil"
    main = next(thread for thread in found["threads"] if thread["native_id"] == hung.pid)
    assert main["kernel_state"] == "S"
    assert main["syscall"] in ("clock_nanosleep", "nanosleep")
    assert main["stack"][-1]["function"] == "hold_the_gil"
    assert len(found["threads"]) > 1


def test_nobody_is_diagnosed_who_is_not_there(observer: supervise.Observer) -> None:
    assert observer.workers() == []
    assert observer.diagnose(1) is None


def its_process() -> int:
    """The observer's; those of tests before this one may take a moment to end."""
    deadline_s = time.monotonic() + PATIENCE_S
    while len(found := observers_of(os.getpid(), of="listener")) != 1:
        assert time.monotonic() < deadline_s, found
        time.sleep(0.02)
    return found[0]


def kill(pid: int) -> None:
    """Wait for its end too: its sockets are closed some milliseconds after it has lost its command line."""
    with os.fdopen(os.pidfd_open(pid), "rb") as ending:
        os.kill(pid, signal.SIGKILL)
        assert select.select([ending], [], [], PATIENCE_S)[0]


def test_workers_attach_again_when_the_observer_was_killed(
    observer: supervise.Observer, at_end: ExitStack, capfd: pytest.CaptureFixture[str]
) -> None:
    worker(at_end, observer, 1)
    eventually(observer, lambda workers: states(workers) == {1: ["ok"]})
    assert observer.check()
    kill(its_process())
    assert observer.workers() == []
    assert observer.check()
    eventually(observer, lambda workers: states(workers) == {1: ["ok"]})
    kill(its_process())
    assert not observer.check()
    assert not observer.check()
    told = capfd.readouterr().err
    assert told.count("it is started again") == 1
    assert told.count("is not started any more") == 1


def test_the_feed_has_all_workers(observer: supervise.Observer, at_end: ExitStack, tmp_path: Path) -> None:
    first = worker(at_end, observer, 1, "time.sleep(0.4)")
    second = worker(at_end, observer, 2)
    reader = at_end.enter_context(FeedReader(tmp_path / "feed"))
    running = Program(first, reader)
    running.until(lambda m: m["type"] == "stall" and m["worker"] == 1 and m["stall"]["worker"] == 1)
    running.until(lambda m: m["type"] == "snapshot" and m["worker"] == 2 and m["pid"] == second.pid)
    observer.tell({"type": "worker", "worker": 2, "pid": second.pid, "state": "stopping", "at": "", "why": "asked"})
    assert running.until(lambda m: m["type"] == "worker" and m["state"] == "stopping")["why"] == "asked"
    second.kill()
    second.wait()
    time.sleep(0.5)  # by now the observer knows, and leaves it to the supervisor to say why
    why = "it was killed by SIGKILL"
    observer.tell({"type": "worker", "worker": 2, "pid": second.pid, "state": "gone", "at": "", "why": why})
    gone = running.until(lambda m: m["type"] == "worker" and m["state"] == "gone")
    assert (gone["worker"], gone["pid"], gone["why"]) == (2, second.pid, why)


def test_what_is_no_attachment_is_told_and_let_go(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Hosting(feed=tmp_path / "feed") as hosting,
        supervise.start(hosting, tmp_path / "attach") as observer,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger,
    ):
        stranger.connect(str(observer.attach_at))
        stranger.send(b"{}")
        stranger.settimeout(PATIENCE_S)
        assert stranger.recv(100) == b""
        assert observer.workers() == []
    assert "cannot watch a process" in capfd.readouterr().err


def test_nothing_stays_of_a_supervisor_that_was_killed(tmp_path: Path, at_end: ExitStack) -> None:
    source = """
import sys, time
from pathlib import Path
from loophound.observer import supervise
from loophound.observer.hosting import Hosting
observer = supervise.start(Hosting(feed=sys.argv[1] + "/feed"), Path(sys.argv[1] + "/attach"))
assert observer.workers(20) == []
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    at_end.callback(process.stdout.close)
    assert process.stdout.readline() == "ready\n"
    assert {path.name for path in tmp_path.iterdir()} == {"feed", "attach"}
    process.kill()
    process.wait()
    deadline_s = time.monotonic() + PATIENCE_S
    while list(tmp_path.iterdir()) or observers_of(process.pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
