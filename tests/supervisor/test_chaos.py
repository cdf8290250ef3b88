"""The short form of tests/supervisor/chaos.py, and restarts at load."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.supervisor.chaos import LINES, Chaos, outcome
from tests.supervisor.running import Load, Supervised, wait_until


@pytest.mark.once
def test_chaos(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, seed=7)
    try:
        chaos.run(15.0)
        assert {what: found for what, found in outcome(chaos).items() if found} == {}, chaos.server.log
        assert chaos.answers > 100
        assert chaos.lines_in_ledger() & set(LINES.values())
    finally:
        chaos.close()


@pytest.mark.once
def test_twenty_restarts_at_load_drop_nothing(supervised: Callable[..., Supervised]) -> None:
    server = supervised("--workers=2", "--hang-watch=off")
    server.wait_for("Worker . serves", 2)
    with Load(server.port, 8) as load, Load(server.port, 4, "/sleep") as slow:
        for turn in range(10):  # of two workers each
            server.send(signal.SIGHUP)
            server.wait_for("Worker . serves", 4 + 2 * turn)
        wait_until(lambda: slow.answers.total() >= 4)
    assert load.errors == slow.errors == []
    assert load.connections == 8
