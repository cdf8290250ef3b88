"""The observer's feed, as it is: a program blocks, and somebody reads from outside meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from loophound.dashboards.feed import FeedReader
from tests.observer.feeding import PATIENCE_S, Program, observers_of, program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")

IDLE = """
    async def main():
        await asyncio.sleep(60)
"""
HELD = """
    async def main():
        await asyncio.sleep(0.5)
        await asyncio.create_task(app({"type": "http", "method": "GET", "path": "/held", "headers": []}))
        await asyncio.sleep(60)

    async def app(scope):
        hold_the_gil(3)
"""


def eventually(check: object, patience_s: float = PATIENCE_S) -> bool:
    deadline_s = time.monotonic() + patience_s
    assert callable(check)
    while not check():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def test_the_feed_goes_on_while_the_gil_is_held(tmp_path: Path) -> None:
    with program(HELD, tmp_path / "feed") as running:
        running.go()
        first = running.state("blocked")
        running.until(lambda m: m["type"] == "stall" and not m["stall"]["ongoing"] and m["stall"]["duration_s"] > 2)
        states = [m for m in running.said if m["type"] == "state"]
        blocked = [m for m in states if m["state"] == "blocked"]
        lengths = [m["for_s"] for m in blocked]
        assert lengths == sorted(lengths)
        assert lengths[-1] - first["for_s"] > 1
        assert len(blocked) >= 4  # of twelve, on a quiet machine
        lines = [m["line"] for m in blocked if m["line"] is not None]
        assert lines
        assert {line["function"] for line in lines} == {"hold_the_gil"}
        assert {m["request"]["path"] for m in blocked if m["request"] is not None} == {"/held"}
        of_main = [m["stall"] for m in running.said if m["type"] == "stall" and m["stall"]["cause"] != "starved"]
        [ongoing, ended] = [stall for stall in of_main if stall["duration_s"] > 0.9]
        assert (ongoing["id"], ongoing["ongoing"], ended["ongoing"]) == (ended["id"], True, False)
        assert ongoing["culprit"]["function"] == "hold_the_gil"
        assert ongoing["request"]["path"] == "/held"


@pytest.mark.once
def test_a_state_names_the_thread_that_keeps_the_loop_from_running(tmp_path: Path) -> None:
    body = """
    import re

    def computes():
        for _ in range(200):
            re.match("(a|aa)+b", "a" * 34)

    async def main():
        threading.Thread(target=computes, daemon=True).start()
        # It may get here while the thread still compiles. With nothing to do it would be kept from nothing.
        while True:
            await asyncio.sleep(0.01)
    """
    with program(body, tmp_path / "feed") as running:
        running.go()
        state = running.until(lambda m: m["type"] == "state" and m["other_thread"])
        assert (state["state"], state["line"], state["request"]) == ("blocked", None, None)
        assert state["other_thread"]["function"] == "computes"


@pytest.mark.once
def test_a_state_names_the_thread_that_had_the_gil_before_the_loop_wanted_it(tmp_path: Path) -> None:
    body = """
    def holds():
        while True:
            time.sleep(0.3)
            hold_the_gil(3)

    async def main():
        threading.Thread(target=holds, daemon=True).start()
        while True:
            await asyncio.sleep(2.3)  # two seconds of the three it has nothing to do
    """
    with program(body, tmp_path / "feed") as running:
        running.go()
        # While it waits for events nothing is kept from it. On a crowded machine it may take several rounds: who wants
        # the GIL is seen to want a CPU then.
        state = running.until(lambda m: m["type"] == "state" and m["other_thread"] and m["for_s"] > 1.9)
        assert (state["state"], state["line"]) == ("blocked", None)
        assert state["other_thread"]["function"] == "hold_the_gil"


def test_the_feed_goes_on_while_the_process_is_stopped(tmp_path: Path) -> None:
    with program(IDLE, tmp_path / "feed") as running:
        running.go()
        running.state("ok")
        os.kill(running.process.pid, signal.SIGSTOP)
        first = running.state("stopped")
        later = running.until(lambda m: m["type"] == "state" and m["for_s"] > first["for_s"] + 0.3)
        assert later["state"] == "stopped"
        os.kill(running.process.pid, signal.SIGCONT)
        running.state("ok")


def test_a_state_names_the_request_once_the_process_has_told_of_it(tmp_path: Path) -> None:
    body = """
    from loophound.server.hooks import current_scope

    async def main():
        await asyncio.sleep(0.5)
        current_scope.set({"type": "http", "method": "GET", "path": "/show/7", "headers": []})
        await asyncio.create_task(blocks())
        await asyncio.sleep(60)

    async def blocks():
        time.sleep(4)
    """
    with program(body, tmp_path / "feed") as running:
        running.go()
        state = running.until(lambda m: m["type"] == "state" and m["request"])
        assert state["state"] == "blocked"
        assert state["request"]["path"] == "/show/7"
        assert running.state("ok")["request"] is None


def test_a_state_names_the_request_of_a_stall_too_short_to_be_announced(tmp_path: Path) -> None:
    body = """
    from loophound.server.hooks import current_scope

    async def main():
        await asyncio.sleep(0.5)
        current_scope.set({"type": "http", "method": "GET", "path": "/short", "headers": []})
        while True:
            await asyncio.create_task(blocks())
            await asyncio.sleep(0.3)

    async def blocks():
        time.sleep(0.7)
    """
    with program(body, tmp_path / "feed") as running:
        running.go()
        state = running.until(lambda m: m["type"] == "state" and m["request"])
        assert state["for_s"] < 1
        assert state["request"]["path"] == "/short"
        assert not [m for m in running.said if m["type"] == "begun"]


def test_a_late_joiner_is_told_how_things_stand(tmp_path: Path) -> None:
    body = """
    async def main():
        await asyncio.sleep(0.5)
        time.sleep(0.3)
        await asyncio.sleep(60)
    """
    with program(body, tmp_path / "feed") as running:
        running.go()
        running.until(lambda m: m["type"] == "stall")
        running.until(lambda m: m["type"] == "snapshot" and m["loops"])
        running.until(lambda m: m["type"] == "snapshot" and m["loops"])
        with FeedReader(tmp_path / "feed") as late:
            joined = Program(running.process, late)
            joined.until(lambda m: m["type"] == "state")
        kinds = [m["type"] for m in joined.said]
        assert kinds[:3] == ["hello", "worker", "groups"]
        told = {m["type"]: m for m in joined.said}
        assert told["hello"]["app"] == "program:app"
        assert told["worker"]["state"] == "ready"
        assert told["groups"]["groups"][0]["count"] == 1
        assert told["stall"]["stall"]["cause"] == "sleep"
        assert len(told["history"]["lag_s"]) == len(told["history"]["utilisation"]) >= 1
        assert max(told["history"]["lag_s"]) > 0.1
        assert told["snapshot"]["loops"][0]["schema"] == "loophound.snapshot/1"


@pytest.mark.once
def test_the_socket_is_this_users_alone_and_goes_with_the_program(tmp_path: Path) -> None:
    with program(IDLE, tmp_path / "feed") as running:
        assert stat.S_IMODE((tmp_path / "feed").stat().st_mode) == 0o600
        [observer] = observers_of(running.process.pid)
        running.process.kill()
        running.until(lambda m: m["type"] == "worker" and m["state"] == "gone")
        assert eventually(lambda: not Path(f"/proc/{observer}").exists())
        assert not (tmp_path / "feed").exists()


@pytest.mark.once
def test_an_observer_that_was_killed_is_started_again_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with program(IDLE, tmp_path / "feed") as running:
        running.go()
        running.state("ok")
        [observer] = observers_of(running.process.pid)
        os.kill(observer, signal.SIGKILL)
        running.until(lambda m: m["type"] == "connected")
        running.until(lambda m: m["type"] == "worker" and m["state"] == "ready")
        running.state("ok")
        assert "has ended unexpectedly: it is started again" in capfd.readouterr().err
        [observer] = observers_of(running.process.pid)
        os.kill(observer, signal.SIGKILL)
        told = ""

        def said() -> bool:
            nonlocal told
            told += capfd.readouterr().err
            return "is not started any more" in told

        assert eventually(said)
        assert observers_of(running.process.pid) == []
        assert running.process.poll() is None


@pytest.mark.once
def test_a_reader_that_never_reads_is_dropped(tmp_path: Path) -> None:
    """What it costs the others: nothing; they hear everything meanwhile."""
    body = """
    from tests.stalls import stall

    async def main():
        for number in range(400):
            detector._feeding.show(stall(id=str(number), remedy="x" * 20_000))
            await asyncio.sleep(0.002)
        await asyncio.sleep(60)
    """
    with program(body, tmp_path / "feed") as running, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / "feed"))
        running.go()
        running.until(lambda m: m["type"] == "stall" and m["stall"]["id"] == "399")
        assert not [m for m in running.said if m["type"] == "dropped"]
        # Five seconds without taking a byte, and it is let go.
        running.until(lambda m: m["type"] == "readers" and m["dropped"] == 1)
        silent.settimeout(PATIENCE_S)
        while silent.recv(1 << 20):
            pass
