"""The looks at workers, with the kernel's answers made up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from loophound.config import Config
from loophound.supervisor import kernel
from loophound.supervisor.facts import AskedToLeave, Fact, Hung, TurnedAgain
from loophound.supervisor.vigil import Condition
from loophound.supervisor.watch import Watch


class Worker:
    """A process that is none."""

    worker, pid = 1, 71

    def __init__(self) -> None:
        self.pulse = self
        self.turned_ns, self.thread = 1, 71
        self.state, self.bytes, self.since_s, self.debugged = "S", 0, 1000.0, False
        self.who = "Worker 1 (pid 71)"


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    worker, clock, examined = Worker(), [1000.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(kernel, "state", lambda pid: worker.state)
    monkeypatch.setattr(kernel, "is_traced", lambda pid: False)
    monkeypatch.setattr(kernel, "starved_s", lambda pid, thread: 0.0)
    monkeypatch.setattr(kernel, "resident_bytes", lambda pid: worker.bytes)

    def examine(running: Any, condition: Condition, silent_s: float) -> bool:
        examined.append(condition)
        return worker.state == "R"  # where a debugger has it

    def examine_start(running: Any, took_s: float) -> bool:
        examined.append(took_s)
        return worker.debugged

    watch = Watch(
        Config(app="a:a", workers=1, timeout_worker=3, timeout_start=10, max_worker_memory=100), examine, examine_start
    )

    def after(seconds: float, *, turned: bool = False) -> list[Fact]:
        """Look each second, as a supervisor does; what the last of them gave."""
        found: list[Fact] = []
        for _ in range(int(seconds)):
            clock[0] += 1.0
            if turned:
                worker.turned_ns = int(clock[0] * 1e9)
            found += watch.look([worker])  # type: ignore[list-item]
        return found

    return worker, after, examined, clock, watch


def test_a_hang_is_examined_and_told_once(look: Any) -> None:
    _worker, after, examined, *_ = look
    assert after(5, turned=True) == []
    assert [type(fact) for fact in after(10)] == [Hung]
    assert examined == [Condition.HUNG]
    assert [type(fact) for fact in after(1, turned=True)] == [TurnedAgain]


def test_one_that_was_stopped_and_dies_is_not_called_hung(look: Any) -> None:
    worker, after, examined, *_ = look
    after(2, turned=True)
    worker.state = "T"
    assert [type(fact) for fact in after(5)] == [Hung]
    for state in ("D", "Z", ""):
        worker.state = state
        assert after(3) == []
    assert examined == [Condition.STOPPED]


def test_one_that_is_stopped_while_it_starts(look: Any) -> None:
    worker, after, _examined, *_ = look
    worker.turned_ns, worker.state = 0, "R"
    assert after(8) == []  # a start may take long
    worker.state = "T"
    assert [type(fact) for fact in after(4)] == [Hung]


def test_a_debugger_gives_it_its_whole_time_again(look: Any) -> None:
    worker, after, examined, *_ = look
    after(2, turned=True)
    worker.state = "R"
    assert after(10) == []
    assert len(examined) in (2, 3)


def test_what_nobody_could_see_does_not_count(look: Any) -> None:
    _worker, after, _examined, clock, _watch = look
    after(2, turned=True)
    clock[0] += 600.0  # the supervisor was stopped, and the worker too
    assert after(2) == []
    assert [type(fact) for fact in after(5)] == [Hung]


def test_memory_is_told_once(look: Any) -> None:
    worker, after, *_ = look
    worker.bytes = 101 * kernel.MEBIBYTE
    [fact] = after(3, turned=True)
    assert isinstance(fact, AskedToLeave)
    assert fact.why == "it holds 101 MB of memory, and --max-worker-memory allows 100"


def test_a_start_that_takes_long_is_examined_once_and_ended_when_its_time_is_over(look: Any) -> None:
    worker, after, examined, *_ = look
    worker.turned_ns = 0
    assert after(2) == []
    assert after(7) == []
    assert examined == [3.0]
    assert [type(fact) for fact in after(1)] == [Hung]


def test_a_start_in_a_debugger_may_take_for_ever(look: Any) -> None:
    worker, after, examined, *_ = look
    worker.turned_ns, worker.debugged = 0, True
    assert after(60) == []
    assert examined == [3.0]


def test_without_a_time_out_of_the_loop_a_start_still_has_one(look: Any) -> None:
    worker, after, examined, _, watch = look
    worker.turned_ns, watch.config.timeout_worker = 0, None
    assert [type(fact) for fact in after(10)] == [Hung]
    assert examined == []
