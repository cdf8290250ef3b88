"""The policy alone: a clock that is a number, processes that are numbers."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from loophound.supervisor.facts import (
    AskedToLeave,
    BecameReady,
    Command,
    Dismiss,
    Ended,
    Fact,
    Finish,
    Hung,
    Kill,
    Order,
    Ordered,
    Say,
    Spawn,
    Spawned,
    Ticked,
    TurnedAgain,
    Urgency,
)
from loophound.supervisor.policy import HURRY_S, MOST_FAILED_STARTS, UNWIND_S, Fleet, Phase, Plan, how_ended


class Play:
    """A fleet whose Spawn commands are carried out at once; the first process has number 101."""

    def __init__(self, size: int = 2, *, ready: bool = True, **plan: Any) -> None:
        self.fleet = Fleet(Plan(**plan), size)
        self.now_s = 100.0
        self.last_pid = 100
        self.said: list[str] = []
        self.feed(Ticked(self.now_s))
        if ready:
            for pid in list(self.fleet.processes):
                self.feed(BecameReady(pid, self.now_s))

    def feed(self, fact: Fact) -> list[Command]:
        """What was ordered, without Say; a Spawn is followed by its Spawned."""
        ordered: list[Command] = []
        facts = [fact]
        while facts:
            for command in self.fleet.feed(facts.pop(0)):
                if isinstance(command, Say):
                    self.said.append(command.text)
                    continue
                ordered.append(command)
                if isinstance(command, Spawn):
                    self.last_pid += 1
                    facts.append(Spawned(command.worker, self.last_pid, self.now_s))
        return ordered

    def order(self, order: Order) -> list[Command]:
        return self.feed(Ordered(order, self.now_s))

    def end(self, pid: int, code: int, problem: str = "") -> list[Command]:
        return self.feed(Ended(pid, code, self.now_s, problem))

    def ready(self, pid: int) -> list[Command]:
        return self.feed(BecameReady(pid, self.now_s))

    def wait(self, seconds: float) -> list[Command]:
        self.now_s += seconds
        return self.feed(Ticked(self.now_s))

    def wait_as_told(self) -> list[Command]:
        """Until something will be due."""
        return self.wait(self.fleet.next_s() - self.now_s)

    def holders(self) -> dict[int, int | None]:
        return {worker: post.holder and post.holder.pid for worker, post in self.fleet.posts.items()}


def test_it_starts_as_many_as_asked_for_and_then_rests() -> None:
    play = Play(3)
    assert play.holders() == {1: 101, 2: 102, 3: 103}
    assert play.wait(1000) == []
    assert play.fleet.next_s() == math.inf


def test_replacing_goes_one_by_one_and_the_successor_is_ready_first() -> None:
    play = Play(2, grace_s=5.0)
    assert play.order(Order.REPLACE) == [Spawn(1)]
    assert play.wait(60) == []  # however long it takes to start, the old one serves
    assert play.ready(103) == [Dismiss(101, Urgency.RETIRE), Spawn(2)]
    assert play.end(101, 0) == []
    assert play.ready(104) == [Dismiss(102, Urgency.RETIRE)]
    assert play.holders() == {1: 103, 2: 104}


def test_who_does_not_leave_in_its_grace_is_killed() -> None:
    play = Play(1, grace_s=5.0)
    play.order(Order.REPLACE)
    play.ready(102)
    assert play.fleet.next_s() == play.now_s + 5 + UNWIND_S
    assert play.wait(5 + UNWIND_S - 0.1) == []
    assert play.wait(0.1) == [Kill(101)]
    assert play.wait(100) == []
    assert play.end(101, -9) == []


def test_without_a_limit_to_the_grace_nobody_is_killed() -> None:
    play = Play(1, grace_s=None)
    play.order(Order.REPLACE)
    play.ready(102)
    assert play.wait(1e6) == []


def test_a_second_replace_starts_those_again_that_read_the_old_files() -> None:
    play = Play(2)
    play.order(Order.REPLACE)
    assert play.order(Order.REPLACE) == [Kill(103), Spawn(1)]
    assert play.end(103, -9) == []
    play.ready(104)
    play.ready(105)
    assert play.holders() == {1: 104, 2: 105}


def test_a_successor_that_cannot_start_leaves_all_as_they_are() -> None:
    play = Play(2)
    play.order(Order.REPLACE)
    assert play.end(103, 3, "no module named main") == []
    assert play.wait(1000) == []
    assert play.holders() == {1: 101, 2: 102}
    assert "no module named main" in play.said[-2]


def test_an_application_that_can_never_start_ends_all() -> None:
    play = Play(2, ready=False)
    assert play.end(101, 3, "no app") == [Kill(102)]
    assert play.end(102, -9) == [Finish(3, "no app")]
    assert play.wait(10) == []


def test_a_configuration_that_cannot_be_right_keeps_its_code() -> None:
    play = Play(1, ready=False)
    assert play.end(101, 2, "--log-config is wrong") == [Finish(2, "--log-config is wrong")]


def test_starts_that_die_of_something_else_are_tried_some_times() -> None:
    play = Play(1, ready=False)
    for number in range(MOST_FAILED_STARTS - 1):
        ordered = play.end(101 + number, -11)
        ordered = ordered or play.wait_as_told()
        assert ordered == [Spawn(1)]
    assert play.end(play.last_pid, -11) == [Finish(3, "it was killed by SIGSEGV before it was ready")]


def test_a_crash_is_repaired_at_once_and_a_series_ever_later() -> None:
    play = Play(1)
    play.now_s += 100
    assert play.end(101, -9) == [Spawn(1)]
    waits = []
    for _ in range(9):
        play.ready(play.last_pid)
        play.end(play.last_pid, 1)
        waits.append(play.fleet.next_s() - play.now_s)
        assert play.wait(waits[-1] - 0.01) == []
        assert play.wait(0.02) == [Spawn(1)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == 30.0
    play.ready(play.last_pid)
    play.now_s += 100  # well again
    assert play.end(play.last_pid, 1) == [Spawn(1)]


def test_one_that_crashes_while_others_serve_never_ends_all() -> None:
    play = Play(2)
    play.end(101, -9)
    for _ in range(20):
        play.end(play.last_pid, 3, "no memory")
        assert play.wait_as_told() == [Spawn(1)]
    assert not play.fleet.stops


def test_a_hung_worker_is_killed_when_its_successor_serves() -> None:
    play = Play(2)
    assert play.feed(Hung(101, play.now_s)) == [Spawn(1)]
    assert play.feed(Hung(101, play.now_s)) == []
    assert play.feed(Hung(102, play.now_s)) == [Spawn(2)]  # nobody waits for his turn
    assert play.ready(104) == [Kill(102)]
    assert play.ready(103) == [Kill(101)]


def test_one_that_is_stopped_while_it_starts_is_started_anew() -> None:
    play = Play(1, ready=False)
    assert play.feed(Hung(101, play.now_s)) == [Kill(101)]
    assert play.end(101, -9) == [Spawn(1)]


def test_one_that_turns_again_may_end_in_peace() -> None:
    play = Play(1)
    play.feed(Hung(101, play.now_s))
    play.feed(TurnedAgain(101, play.now_s))
    assert play.ready(102) == [Dismiss(101, Urgency.RETIRE)]


def test_the_successor_of_a_hung_worker_is_tried_again() -> None:
    play = Play(1)
    play.feed(Hung(101, play.now_s))
    assert play.end(102, 3, "no database") in ([Spawn(1)], [])
    assert play.last_pid == 103
    play.end(103, 3, "no database")
    assert play.wait(30) == [Spawn(1)]
    assert play.ready(104) == [Kill(101)]


def test_a_hung_worker_that_dies_has_its_successor_already() -> None:
    play = Play(1)
    play.feed(Hung(101, play.now_s))
    assert play.end(101, -9) == []
    play.ready(102)
    assert play.holders() == {1: 102}


def test_workers_that_ask_are_replaced_in_turn() -> None:
    play = Play(2)
    assert play.feed(AskedToLeave(101, "1000 requests", play.now_s)) == [Spawn(1)]
    assert play.feed(AskedToLeave(102, "1000 requests", play.now_s)) == []
    assert play.feed(AskedToLeave(102, "1000 requests", play.now_s)) == []
    assert play.ready(103) == [Dismiss(101, Urgency.RETIRE), Spawn(2)]


def test_more_and_fewer() -> None:
    play = Play(1, most=2)
    assert play.order(Order.FEWER) == []
    assert play.order(Order.MORE) == [Spawn(2)]
    play.ready(102)
    assert play.order(Order.MORE) == []
    assert play.order(Order.FEWER) == [Dismiss(102, Urgency.RETIRE)]
    assert play.end(102, 0) == []
    assert play.order(Order.MORE) == [Spawn(2)]
    assert play.order(Order.FEWER) == [Kill(103)]  # it did not serve yet


def test_fewer_while_its_successor_starts() -> None:
    play = Play(2)
    play.feed(Hung(102, play.now_s))
    assert play.order(Order.FEWER) == [Dismiss(102, Urgency.RETIRE), Kill(103)]
    assert play.end(103, -9) == []


def test_stopping_once_twice_and_thrice() -> None:
    play = Play(2, grace_s=20.0, delay_s=5.0)
    assert play.order(Order.STOP) == [Dismiss(101, Urgency.STOP), Dismiss(102, Urgency.STOP)]
    assert play.fleet.next_s() == play.now_s + 25 + UNWIND_S
    assert play.end(101, 0) == []
    assert play.order(Order.STOP) == [Dismiss(102, Urgency.AT_ONCE)]
    assert play.fleet.next_s() == play.now_s + HURRY_S
    assert play.order(Order.STOP) == [Kill(102)]
    assert play.end(102, -9) == [Finish(0)]


def test_a_stop_kills_who_hangs_and_hurries_who_starts() -> None:
    play = Play(2)
    play.feed(Hung(101, play.now_s))
    assert play.order(Order.STOP) == [Kill(101), Dismiss(102, Urgency.STOP), Dismiss(103, Urgency.AT_ONCE)]
    for pid in (101, 102, 103):
        done = play.end(pid, -9)
    assert done == [Finish(0)]


@pytest.mark.parametrize("order", [Order.REPLACE, Order.MORE, Order.FEWER])
def test_after_a_stop_nothing_begins(order: Order) -> None:
    play = Play(2)
    play.order(Order.STOP)
    assert play.order(order) == []
    assert play.end(101, -9) == []


def test_reload_waits_for_a_change_and_keeps_what_serves() -> None:
    play = Play(1, ready=False, waits_for_change=True, hurried=True)
    assert play.end(101, 3, "SyntaxError at main.py:3") == []
    assert play.wait(1e6) == []
    assert play.order(Order.REPLACE) == [Spawn(1)]
    play.ready(102)
    assert play.order(Order.REPLACE) == [Spawn(1)]
    assert play.end(103, 3, "SyntaxError at main.py:4") == []
    assert play.holders() == {1: 102}
    assert "serves on" in play.said[-1]
    assert play.order(Order.REPLACE) == [Spawn(1)]
    assert play.ready(104) == [Dismiss(102, Urgency.RETIRE)]


def test_reload_ends_at_the_first_stop() -> None:
    play = Play(1, hurried=True)
    assert play.order(Order.STOP) == [Dismiss(101, Urgency.AT_ONCE)]


def test_levels_and_words() -> None:
    assert [how_ended(code) for code in (0, 3, -9, -99)] == [
        "ended with exit code 0", "ended with exit code 3", "was killed by SIGKILL", "was killed by signal 99",
    ]  # fmt: skip
    fleet = Fleet(Plan(), 1)
    fleet.feed(Ticked(0.0))
    fleet.feed(Spawned(1, 7, 0.0))
    fleet.feed(BecameReady(7, 0.0))
    said = [command for command in fleet.feed(Ended(7, -9, 50.0)) if isinstance(command, Say)]
    assert [(say.level, say.text) for say in said] == [(logging.ERROR, "Worker 1 (pid 7) was killed by SIGKILL")]
    assert fleet.processes.get(7) is None


def test_facts_of_strangers_change_nothing() -> None:
    play = Play(1)
    for fact in (BecameReady(7, 1.0), Ended(7, 0, 1.0), Hung(7, 1.0), TurnedAgain(101, 1.0), AskedToLeave(7, "", 1.0)):
        assert play.feed(fact) == []
    assert play.fleet.processes[101].phase is Phase.READY
