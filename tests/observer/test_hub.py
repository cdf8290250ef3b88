"""What late joiners are told, and what readers lose."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from loophound.observer import lines
from loophound.observer.hub import HISTORY_STEPS, MOST_GROUPS, MOST_RECENT, MOST_RECENT_BYTES, Hub
from loophound.observer.lines import Lines, line_of
from tests.dashboards.feed import fake

Message = dict[str, Any]


class Reader:
    """A reader of the feed, and the observer's end of it."""

    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.writing: list[bool] = []
        self.lines = Lines(ours, self.writing.append)
        self._buffer = b""

    def take(self) -> list[Message]:
        """What has come by now."""
        self.theirs.setblocking(False)
        while True:
            self.lines.flush()
            try:
                self._buffer += self.theirs.recv(1 << 20)
            except BlockingIOError:
                break
        *whole, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in whole]

    def close(self) -> None:
        self.theirs.close()
        self.lines.connection.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def joined(hub: Hub) -> list[Message]:
    late = Reader()
    hub.join(late.lines)
    told = late.take()
    late.close()
    hub.part(late.lines)
    return told


def test_a_reader_hears_what_is_said(reader: Reader) -> None:
    hub = Hub(fake.hello())
    hub.join(reader.lines)
    assert [m["type"] for m in reader.take()] == ["hello", "groups"]
    said = [fake.worker(), fake.state(), fake.snapshot()]
    for message in said:
        hub.publish(message)
    assert reader.take() == said


def test_a_subscriber_hears_it_too() -> None:
    hub, heard = Hub(fake.hello()), []
    hub.subscribers.append(heard.append)
    hub.publish(fake.worker())
    assert [m["type"] for m in heard] == ["worker"]


def test_a_late_joiner_is_told_how_things_stand() -> None:
    hub = Hub(fake.hello())
    ongoing, ended = fake.stalled(id="a", ongoing=True), fake.stalled(id="a")
    for message in (fake.worker(0), fake.worker(0, "stopping"), fake.snapshot(0), fake.state(0), ongoing, ended):
        hub.publish(message)
    hub.publish({"type": "call", "worker": 0, "call": {"id": "c"}})
    told = joined(hub)
    assert [m["type"] for m in told] == [
        "hello", "worker", "groups", "stall", "call", "history", "snapshot", "state",
    ]  # fmt: skip
    assert told[1]["state"] == "stopping"
    assert told[3] == ended
    [group] = told[2]["groups"]
    assert (group["count"], group["total_s"], group["culprit"]["line"]) == (1, 0.312, 44)


def test_a_stall_that_goes_on_is_told_but_not_counted() -> None:
    hub = Hub(fake.hello())
    hub.publish(fake.stalled(id="a", ongoing=True))
    told = {m["type"]: m for m in joined(hub)}
    assert told["stall"]["stall"]["ongoing"]
    assert told["groups"]["groups"] == []


def test_the_latest_stalls_are_kept_within_bounds() -> None:
    hub = Hub(fake.hello())
    for number in range(MOST_RECENT + 20):
        hub.publish(fake.stalled(id=str(number)))
    kept = [m["stall"]["id"] for m in joined(hub) if m["type"] == "stall"]
    assert kept == [str(number) for number in range(20, MOST_RECENT + 20)]
    for number in range(10):
        hub.publish(fake.stalled(id=f"large {number}", remedy="x" * 300_000))
    stalls = [m for m in joined(hub) if m["type"] == "stall"]
    assert sum(len(line_of(m)) for m in stalls) <= MOST_RECENT_BYTES
    assert stalls[-1]["stall"]["id"] == "large 9"


def test_groups_are_bounded_and_the_dearest_stay() -> None:
    hub = Hub(fake.hello())
    hub.publish(fake.stalled(id="dear", fingerprint="dear", duration_s=99.0))
    for number in range(MOST_GROUPS + 10):
        hub.publish(fake.stalled(id=str(number), fingerprint=str(number)))
    groups = joined(hub)[1]["groups"]
    assert len(groups) == MOST_GROUPS
    assert groups[0]["fingerprint"] == "dear"


def test_history_has_the_worst_of_each_second() -> None:
    hub = Hub(fake.hello())
    hub.publish(fake.state(0, lag_s=0.2))
    hub.publish(fake.state(0, lag_s=0.01))
    hub.step()
    hub.publish(fake.blocked(0, 1.5))
    hub.step()
    history = next(m for m in joined(hub) if m["type"] == "history")
    assert history["lag_s"] == [0.2, 1.5]
    assert history["utilisation"] == [0.0, 1.0]
    for _ in range(2 * HISTORY_STEPS):
        hub.step()
    history = next(m for m in joined(hub) if m["type"] == "history")
    assert len(history["lag_s"]) == HISTORY_STEPS


def test_a_worker_that_has_gone_leaves_its_name_alone() -> None:
    hub = Hub(fake.hello())
    for message in (fake.worker(0), fake.snapshot(0), fake.state(0), fake.worker(0, "gone", why="killed by SIGKILL")):
        hub.publish(message)
    assert [m["type"] for m in joined(hub)] == ["hello", "worker", "groups"]


# Readers that are slow


def test_who_does_not_read_loses_lines_and_is_told_how_many(reader: Reader) -> None:
    line = line_of(fake.stalled(remedy="x" * 100_000))
    for _ in range(100):
        reader.lines.put(line)
    assert reader.writing[-1] is True
    lost = reader.lines.lost
    assert 40 < lost < 80  # about 4 MiB wait
    assert len(reader.take()) == 100 - lost
    assert reader.writing[-1] is False
    reader.lines.put(line_of(fake.worker()))
    told = reader.take()
    assert [m["type"] for m in told] == ["dropped", "worker"]
    assert told[0]["lines"] == lost


def test_who_takes_nothing_for_long_is_stuck(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**9
    monkeypatch.setattr(lines.time, "monotonic_ns", lambda: now_ns)
    for _ in range(20):
        reader.lines.put(line_of(fake.stalled(remedy="x" * 100_000)))
    assert not reader.lines.stuck
    now_ns += lines.PATIENCE_NS + 1
    assert reader.lines.stuck
    reader.take()
    assert not reader.lines.stuck


def test_who_has_gone_is_gone(reader: Reader) -> None:
    reader.theirs.close()
    reader.lines.put(b"{}\n")
    assert reader.lines.gone
