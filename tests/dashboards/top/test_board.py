"""Messages in, state out: on a clock that the test turns."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loophound.dashboards.top.board import MOST_CALLS, MOST_CULPRITS, MOST_STALLS, Board
from loophound.dashboards.top.state import LoopState
from tests.dashboards.feed.fake import Message, blocked, hello, history, iso, snapshot, stalled, state, worker
from tests.dashboards.top.shop import call, groups, opening, stall_of

NOW_S = 5000.0


def board(*messages: Message, now_s: float = NOW_S) -> Board:
    made = Board()
    for message in messages:
        made.feed(message, now_s)
    assert made.unread == 0
    return made


def test_the_clock_goes_on_without_a_word_from_the_feed() -> None:
    [loop] = board(hello(), worker(), blocked(0, 1.4)).loops()
    assert loop.lasting_s(NOW_S) == pytest.approx(1.4)
    assert loop.lasting_s(NOW_S + 3) == pytest.approx(4.4)
    assert loop.lag_now_s(NOW_S + 3) == pytest.approx(4.4)
    assert loop.line is not None
    assert (loop.state, loop.line.line) == (LoopState.BLOCKED, 44)


def test_a_loop_that_answers_has_the_lag_that_was_told() -> None:
    [loop] = board(hello(), worker(), state(0, lag_s=0.002, for_s=40.0)).loops()
    assert loop.lag_now_s(NOW_S + 3) == 0.002


def test_a_stall_that_was_announced_counts_once() -> None:
    made = board(hello(), stalled(id="a", ongoing=True, duration_s=1.0))
    [culprit] = made.culprits.values()
    assert (culprit.count, culprit.total_s, culprit.ongoing) == (1, 1.0, True)
    made.feed(stalled(id="a", duration_s=3.5), NOW_S)
    assert (culprit.count, culprit.total_s, culprit.worst_s, culprit.ongoing) == (1, 3.5, 3.5, False)
    assert (culprit.victims, len(culprit.records)) == (37, 1)


@pytest.mark.parametrize("end", [worker(1, "gone", why="it was killed by SIGKILL"), state(1, for_s=2.5)])
def test_a_stall_whose_end_nobody_tells_ends_with_its_loop(end: Message) -> None:
    made = board(hello(), worker(1), stalled(1, id="a", ongoing=True, duration_s=1.0), state(1, for_s=0.5), state(0))
    [culprit] = made.culprits.values()
    assert culprit.ongoing
    made.feed(end, NOW_S)
    assert (culprit.count, culprit.total_s, culprit.ongoing, made.stalls["a"].ongoing) == (1, 1.0, False, False)
    made.feed(stalled(1, id="a", duration_s=3.5), NOW_S)  # it was told late
    assert (culprit.count, culprit.total_s, culprit.ongoing) == (1, 3.5, False)


def test_an_end_that_names_another_culprit_moves_the_stall() -> None:
    made = board(hello(), stalled(id="a", ongoing=True), stalled(id="a", fingerprint="other", duration_s=2.0))
    told = {name: (culprit.count, culprit.total_s) for name, culprit in made.culprits.items()}
    assert told == {"other": (1, 2.0)}  # nobody stands there for nothing


def test_the_recent_stalls_of_a_late_joiner_stand_in_its_sums_already() -> None:
    past = [stall_of(0, id=str(n), at_s=time.time() - 60 + n) for n in range(5)]
    made = board(hello(), groups(0, count=12), *past)
    [culprit] = made.culprits.values()
    assert (culprit.count, len(culprit.records)) == (12, 5)
    made.feed(stall_of(0, id="new", at_s=time.time() + 5), NOW_S + 6)
    assert culprit.count == 13
    assert culprit.last_s == pytest.approx(NOW_S + 5, abs=1)


def test_times_of_the_feed_are_told_by_the_readers_clock() -> None:
    then_s = time.time() - 86400  # the server's clock is a day behind
    made = board(hello(now=iso(then_s), started_at=iso(then_s - 60)), stall_of(0, at_s=then_s - 10))
    assert made.server is not None
    assert made.server.started_s == pytest.approx(NOW_S - 60, abs=0.01)
    [culprit] = made.culprits.values()
    assert culprit.last_s == pytest.approx(NOW_S - 10, abs=0.01)


def test_a_worker_that_was_killed_and_replaced() -> None:
    made = board(hello(), worker(1), state(1), snapshot(1))
    made.feed(worker(1, "gone", why="it was killed by SIGKILL"), NOW_S)
    assert (made.workers[0].gone, made.loops()[0].state, made.requests()) == (True, LoopState.GONE, None)
    made.feed(snapshot(1), NOW_S)  # its last words come late
    made.feed(state(1), NOW_S)
    assert (made.workers[0].gone, made.requests()) == (True, None)
    made.feed(worker(1, "starting", pid=99), NOW_S + 1)
    [one] = made.workers
    assert (one.pid, one.state, one.former_pid, one.former_why) == (99, "starting", 72, "it was killed by SIGKILL")
    assert one.loops == {}


def test_while_a_worker_is_replaced_both_processes_show() -> None:
    made = board(hello(), worker(1), state(1), worker(1, "ready", pid=99), worker(1, "stopping"), state(1, pid=99))
    assert [(one.number, one.pid, one.state) for one in made.workers] == [(1, 72, "stopping"), (1, 99, "ready")]
    made.feed(worker(1, "gone", why="replaced"), NOW_S)
    [one] = made.workers
    assert (one.pid, one.former_pid, one.former_why) == (99, 72, "replaced")
    assert one.loops["MainThread"].state is LoopState.OK


def test_loops_that_have_ended_make_room() -> None:
    made = board(hello(), worker())
    for number in range(100):
        made.feed(state(0, thread=f"Thread-{number}"), NOW_S)
        made.feed(state(0, "gone", thread=f"Thread-{number}"), NOW_S)
    assert (len(made.loops()), made.unread) == (1, 0)


def test_the_same_server_again_keeps_what_is_known() -> None:
    greeting = hello()
    made = board(greeting, worker(), stall_of(0), greeting)
    assert len(made.workers) == 1
    for message in ({"type": "disconnected"}, greeting):
        made.feed(message, NOW_S)
    assert made.workers == []
    assert [culprit.count for culprit in made.culprits.values()] == [1]


def test_a_server_that_was_started_again_begins_anew() -> None:
    made = board(hello(), worker(), worker(1), stall_of(0), hello(server="99", started_at=iso()), worker(pid=99))
    assert (list(made.culprits), [one.pid for one in made.workers]) == ([], [99])


def test_two_workers_are_merged() -> None:
    made = board(hello(), worker(0), worker(1), snapshot(0), snapshot(1))
    requests = made.requests()
    assert requests is not None
    assert (requests.per_s, requests.in_flight, requests.p99_s) == (241.0, 6, 0.03)
    routes = {route.route: route for route in made.routes()}
    assert (routes["GET /show/{id}"].count, routes["GET /show/{id}"].held_s) == (240, 2.6)
    assert (len(made.tasks()), len(made.executors())) == (6, 2)


def test_history_and_dropped_lines() -> None:
    made = board(hello(), worker(), history(0), {"type": "dropped", "lines": 7}, {"type": "dropped", "lines": 1})
    assert (made.lost, made.loops()[0].lags.values(NOW_S)) == (8, [0.0003] * 120)


def test_calls_are_counted_by_call_and_line() -> None:
    made = board(hello(), call(), call(), call(duration_s=0.5, id="c2"), call("open", id="c3"))
    told = {one.call: (one.count, one.worst_s) for one in made.calls.values()}
    assert told == {"time.sleep": (2, 0.5), "open": (1, 0.004)}


def test_memory_is_bounded() -> None:
    made = board(hello())
    for number in range(3 * MOST_STALLS):
        made.feed(stalled(id=str(number), fingerprint=str(number)), NOW_S)
        made.feed(call(f"call{number}", id=str(number)), NOW_S)
    assert (len(made.stalls), len(made.culprits), len(made.calls)) == (MOST_STALLS, MOST_CULPRITS, MOST_CALLS)
    for number in range(500):
        made.feed(worker(number, pid=1000 + number), NOW_S)
    assert len(made.workers) == 256


def test_clearing_forgets_stalls_and_calls() -> None:
    made = board(*opening())
    made.clear()
    assert (len(made.culprits), len(made.calls), len(made.stalls), len(made.workers)) == (0, 0, 0, 2)
    made.feed(stall_of(0, id="new"), NOW_S)
    assert [culprit.count for culprit in made.culprits.values()] == [1]


def test_a_frozen_board_stands_still_and_shares_the_records() -> None:
    made = board(*opening(), state(0), state(1))
    still = made.frozen()
    made.feed(stall_of(0, id="new"), NOW_S)
    made.feed(blocked(0), NOW_S)
    assert (len(still.stalls), still.loops()[0].state) == (len(made.stalls) - 1, LoopState.OK)
    assert all(still.stalls[name] is made.stalls[name] for name in still.stalls)


def test_unknown_messages_and_fields_are_passed_over() -> None:
    made = board(hello(future=1), {"type": "weather"}, {"no": "type"}, worker(), state(0, "dancing", mood="good"))
    assert made.loops()[0].state is LoopState.UNKNOWN


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WHOLE = [*opening(), state(0), blocked(1), snapshot(0), {"type": "dropped", "lines": 3}]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other loads take the CPU
@given(st.data())
def test_broken_messages_are_counted_and_never_raise(data: Any) -> None:
    message = dict(data.draw(st.sampled_from(WHOLE)))
    name = data.draw(st.sampled_from([key for key in message if key != "type"]))
    message[name] = data.draw(VALUES)
    if data.draw(st.booleans()):
        del message[name]
    made = Board()
    made.feed(hello(), NOW_S)
    made.feed(message, NOW_S)
    made.feed(worker(), NOW_S)
    assert made.unread <= 1
    assert 71 in made.processes
