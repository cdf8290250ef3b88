"""What is said in the feed, and what a late joiner is told first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from loophound.observer.lines import Lines, line_of
from loophound.times import now_iso

Message = dict[str, Any]
Subscriber = Callable[[Message], None]

MOST_RECENT = 100  # stalls, and as many flagged calls
MOST_RECENT_BYTES = 1 << 20
MOST_GROUPS = 256
HISTORY_STEP_S = 1.0
HISTORY_STEPS = 120
MOST_WORKERS = 256  # those that have gone included


class Hub:
    """Hands each message to readers and subscribers, and remembers what matters."""

    def __init__(self, hello: Message) -> None:
        self.hello = hello
        self.readers: list[Lines] = []
        self.subscribers: list[Subscriber] = []
        self.lost = 0  # lines, by readers that have gone
        self.dropped_readers = 0  # those that did not read
        self._workers: dict[int, Message] = {}  # by pid
        self._snapshots: dict[int, Message] = {}
        self._states: dict[tuple[int, str, str], Message] = {}
        self._histories: dict[tuple[int, str, str], History] = {}
        self._recent = Recent()
        self._groups = Groups()

    def publish(self, message: Message) -> None:
        self._keep(message)
        if self.readers:
            line = line_of(message)
            for reader in self.readers:
                reader.put(line)
        for subscriber in self.subscribers:
            subscriber(message)

    def join(self, reader: Lines) -> None:
        """Tell a late joiner how things stand; from now on it hears everything."""
        for line in self._opening():
            reader.put(line)
        self.readers.append(reader)

    def has_gone(self, pid: int) -> bool:
        """Whether it was said that this worker is no more."""
        return bool(self._workers.get(pid, {}).get("state") == "gone")

    def part(self, reader: Lines) -> None:
        self.readers.remove(reader)
        self.lost += reader.lost

    def _opening(self) -> list[bytes]:
        messages = [
            {**self.hello, "now": now_iso()},
            *self._workers.values(),
            {"type": "groups", "groups": self._groups.all()},
        ]
        later = [*(history.to_message() for history in self._histories.values()), *self._snapshots.values()]
        return [*map(line_of, messages), *self._recent.lines(), *map(line_of, [*later, *self._states.values()])]

    def _keep(self, message: Message) -> None:
        match message["type"]:
            case "hello":
                self.hello = message
            case "worker":
                self._keep_worker(message)
            case "snapshot":
                self._snapshots[message["pid"]] = message
                for loop in message["loops"]:
                    self._history(message, loop["thread"], loop["loop"]).saw_snapshot(loop)
            case "state":
                self._states[message["pid"], message["thread"], message["loop"]] = message
                self._history(message, message["thread"], message["loop"]).saw_state(message)
            case "stall":
                self._recent.add(message, message["stall"]["id"], message["stall"]["ongoing"])
                if not message["stall"]["ongoing"]:
                    self._groups.add(message["stall"])
            case "call":
                self._recent.add(message, None, False)

    def _keep_worker(self, message: Message) -> None:
        pid = message["pid"]
        self._workers.pop(pid, None)
        self._workers[pid] = message
        if len(self._workers) > MOST_WORKERS:
            gone = (pid for pid, worker in self._workers.items() if worker["state"] == "gone")
            del self._workers[next(gone, next(iter(self._workers)))]
        if message["state"] == "gone":
            self._snapshots.pop(pid, None)
            self._states = {key: state for key, state in self._states.items() if key[0] != pid}
            self._histories = {key: history for key, history in self._histories.items() if key[0] != pid}

    def _history(self, message: Message, thread: str, loop: str) -> History:
        key = (message["pid"], thread, loop)
        if key not in self._histories:
            self._histories[key] = History(message["worker"], *key)
        return self._histories[key]

    def step(self) -> None:
        """A second has passed."""
        for history in self._histories.values():
            history.step()


class History:
    """Lag and utilisation of one loop, by the second."""

    def __init__(self, worker: int, pid: int, thread: str, loop: str) -> None:
        self._about = {"worker": worker, "pid": pid, "thread": thread, "loop": loop}
        self._lag_s: deque[float] = deque(maxlen=HISTORY_STEPS)
        self._utilisation: deque[float] = deque(maxlen=HISTORY_STEPS)
        self._largest_s = 0.0
        self._last = 0.0
        self._standing = False

    def saw_snapshot(self, loop: Message) -> None:
        self._largest_s = max(self._largest_s, loop.get("recent_lag_s", 0.0))
        self._last = loop.get("recent_utilisation", 0.0)

    def saw_state(self, state: Message) -> None:
        self._largest_s = max(self._largest_s, state["lag_s"])
        self._standing = state["state"] == "blocked"

    def step(self) -> None:
        self._lag_s.append(round(self._largest_s, 6))
        self._utilisation.append(1.0 if self._standing else self._last)
        self._largest_s = 0.0

    def to_message(self) -> Message:
        return {
            "type": "history",
            **self._about,
            "step_s": HISTORY_STEP_S,
            "lag_s": [*self._lag_s],
            "utilisation": [*self._utilisation],
        }


class Recent:
    """The latest stalls and flagged calls, as lines: a hundred of each, and a megabyte at most.

    Of a stall that has ended the record that it goes on is not kept.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str | None, bytes]] = deque()  # type, id of an ongoing stall, line
        self._counts = {"stall": 0, "call": 0}
        self._bytes = 0

    def add(self, message: Message, id: str | None, ongoing: bool) -> None:
        kind = message["type"]
        if id is not None:
            for entry in self._lines:
                if entry[1] == id:
                    self._drop(entry)
                    break
        line = line_of(message)
        self._lines.append((kind, id if ongoing else None, line))
        self._counts[kind] += 1
        self._bytes += len(line)
        while self._counts[kind] > MOST_RECENT:
            self._drop(next(entry for entry in self._lines if entry[0] == kind))
        while self._bytes > MOST_RECENT_BYTES and len(self._lines) > 1:
            self._drop(self._lines[0])

    def _drop(self, entry: tuple[str, str | None, bytes]) -> None:
        self._lines.remove(entry)
        self._counts[entry[0]] -= 1
        self._bytes -= len(entry[2])

    def lines(self) -> list[bytes]:
        return [line for _, _, line in self._lines]


class Groups:
    """Sums of the stalls by fingerprint, as the feed tells them."""

    def __init__(self) -> None:
        self._groups: dict[str, Message] = {}

    def add(self, stall: Message) -> None:
        fingerprint = stall["fingerprint"]
        group = self._groups.get(fingerprint)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:  # the one that cost least makes room
                del self._groups[min(self._groups, key=lambda name: float(self._groups[name]["total_s"]))]
            group = self._groups[fingerprint] = {
                "fingerprint": fingerprint,
                "cause": stall["cause"],
                "culprit": stall["culprit"],
                "count": 0,
                "total_s": 0.0,
                "worst_s": 0.0,
                "victims": 0,
                "first_seen": stall["at"],
                "last_seen": stall["at"],
            }
        group["count"] += 1
        group["total_s"] = round(group["total_s"] + stall["duration_s"], 6)
        group["worst_s"] = max(group["worst_s"], stall["duration_s"])
        group["victims"] += stall["victims"]
        group["last_seen"] = stall["at"]

    def all(self) -> list[Message]:
        return sorted(self._groups.values(), key=lambda group: -float(group["total_s"]))
