from __future__ import annotations

from typing import Any

import pytest

from loophound.dashboards.metrics.health import Health
from tests.dashboards.feed import fake


def fed(*messages: dict[str, Any], limit_s: float = 10.0, at_s: float = 100.0) -> Health:
    health = Health(limit_s)
    for message in messages:
        health.feed(message, at_s)
    return health


def test_a_loop_that_turns_is_well() -> None:
    answer = fed(fake.worker(), fake.state()).alive(100.1)
    assert answer.well
    assert answer.to_dict() == {"status": "ok", "standing": []}


@pytest.mark.parametrize("state", ["blocked", "starved", "stopped"])
def test_a_loop_that_stands_still_for_longer_than_the_limit_is_unwell(state: str) -> None:
    health = fed(fake.worker(), fake.state(0, state, for_s=10.2))
    answer = health.alive(100.0)
    assert not answer.well
    assert answer.to_dict() == {"status": "blocked", "standing": [{"worker": 0, "state": state, "for_s": 10.2}]}
    assert not health.ready(100.0).well


def test_up_to_the_limit_it_is_well() -> None:
    assert fed(fake.worker(), fake.blocked(0, 9.7)).alive(100.0).well


def test_the_time_since_the_last_word_counts() -> None:
    """The observer may be late with the next one."""
    health = fed(fake.worker(), fake.blocked(0, 9.7))
    assert health.alive(100.2).well
    assert not health.alive(100.4).well


def test_one_worker_of_two_is_enough_to_be_ready_but_not_to_be_well() -> None:
    health = fed(fake.worker(0), fake.worker(1), fake.state(0), fake.blocked(1, 11.0))
    assert not health.alive(100.0).well
    assert health.ready(100.0).well


def test_starting_and_stopping_are_well_and_not_ready() -> None:
    for state in ("starting", "stopping"):
        health = fed(fake.worker(0, state), fake.state())
        assert health.alive(100.0).well
        assert health.ready(100.0).to_dict()["status"] == state
        assert not health.ready(100.0).well
    assert not Health(10.0).ready(0.0).well


def test_a_server_that_imports_its_application_keeps_nobody_waiting() -> None:
    assert fed(fake.worker(0, "starting"), fake.blocked(0, 60.0, serving=False)).alive(100.0).well


def test_a_breakpoint_is_no_illness() -> None:
    assert fed(fake.worker(), fake.blocked(0, 60.0, debugged=True)).alive(100.0).well


def test_a_worker_that_was_killed_is_forgotten() -> None:
    health = fed(fake.worker(1), fake.worker(0), fake.blocked(0, 60.0), fake.worker(0, "gone"))
    assert health.alive(100.0).well
    assert health.ready(100.0).well


def test_a_loop_that_has_ended_is_forgotten() -> None:
    health = fed(fake.worker(), fake.blocked(0, 60.0))
    health.feed(fake.state(0, thread="Thread-1"), 103.0)
    assert health.alive(103.0).well
