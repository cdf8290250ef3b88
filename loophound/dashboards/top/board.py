"""The state of one server, made from the messages of its feed. Bounded, and without a clock of its own."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from loophound.dashboards.top.state import (
    Executor,
    LoopFigures,
    Requests,
    Route,
    TaskLine,
    Worker,
    number,
    place_of,
    whole,
)
from loophound.dashboards.top.tallies import Culprit, FlaggedCall
from loophound.detector.records import Stall

MOST_CULPRITS = 1000
MOST_CALLS = 1000
MOST_STALLS = 1000  # records kept in full, for details and reports
MOST_WORKERS = 256
MOST_ONGOING = 256  # stalls that are told to go on
LAST_WORDS_S = 2.0  # by then the process has told of the end of a stall

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself."""

    name: str  # its process ID, as text
    app: str
    command: str
    addresses: tuple[str, ...]
    version: str
    started_at: str
    started_s: float
    threshold_s: float


class Board:
    """`feed()` takes a message and the reader's time; the rest is there to be read.

    Times are seconds of the reader's clock: those of the feed are converted by the server's `now`.
    """

    def __init__(self) -> None:
        self.server: Server | None = None
        self.unread = 0  # messages that could not be read
        self._reset()

    def _reset(self) -> None:
        self.processes: dict[int, Worker] = {}  # by process ID
        self.culprits: OrderedDict[str, Culprit] = OrderedDict()
        self.calls: OrderedDict[tuple[str, str, int], FlaggedCall] = OrderedDict()
        self.stalls: OrderedDict[str, Stall] = OrderedDict()
        self._ongoing: dict[str, Stall] = {}  # of the stalls
        self._call_ids: OrderedDict[str, None] = OrderedDict()  # a feed that is joined again repeats the latest
        self.lost = 0  # lines that the feed dropped because we were slow
        self.heard_s: float | None = None
        self._clock_s = 0.0  # what to add to seconds since the epoch
        self._counted_until_s = 0.0  # stalls that ended before stand in the sums that we were given

    def feed(self, message: Message, now_s: float) -> None:
        """Take one message. Types that are not known are passed over, broken ones are counted."""
        self.heard_s = now_s
        try:
            take = _TAKES.get(message.get("type"))  # type: ignore[arg-type] # any value may stand there
            if take is not None:
                take(self, message, now_s)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            self.unread += 1

    def clear(self) -> None:
        """Forget stalls and calls; what is counted from now on is new."""
        self.culprits.clear()
        self.calls.clear()
        self.stalls.clear()
        self._ongoing.clear()

    def frozen(self) -> Board:
        """The state as it is now. Records never change, so that they are shared, not copied."""
        records = [*self.stalls.values(), *(record for group in self.culprits.values() for record in group.records)]
        return copy.deepcopy(self, {id(record): record for record in records})

    # What the views read

    @property
    def workers(self) -> list[Worker]:
        """By their numbers; while one is replaced, the old process and the new one have the same."""
        return sorted(self.processes.values(), key=lambda worker: (worker.number, worker.since_s))

    def loops(self) -> list[LoopFigures]:
        return [loop for worker in self.workers for loop in worker.loops.values()]

    def requests(self) -> Requests | None:
        """Of all workers; latencies are those of the slowest."""
        known = [worker.requests for worker in self.workers if worker.requests is not None]
        if not known:
            return None
        return Requests(
            sum(one.total for one in known),
            sum(one.per_s for one in known),
            sum(one.in_flight for one in known),
            worst(one.p50_s for one in known),
            worst(one.p99_s for one in known),
        )

    def routes(self) -> list[Route]:
        merged: dict[str, Route] = {}
        for worker in self.workers:
            for route in worker.routes:
                known = merged.get(route.route)
                merged[route.route] = route if known is None else _merge(known, route)
        return list(merged.values())

    def tasks(self) -> list[TaskLine]:
        return [task for worker in self.workers for task in worker.task_lines]

    def executors(self) -> list[Executor]:
        return [executor for worker in self.workers for executor in worker.executors]

    def wall(self, at: str) -> float:
        """A time of the feed on the reader's clock. Raises ValueError when it is none."""
        return datetime.fromisoformat(at).timestamp() + self._clock_s

    # What the feed says

    def _hello(self, message: Message, now_s: float) -> None:
        told = (str(message.get("server")), str(message.get("started_at")))
        if self.server is None or told != (self.server.name, self.server.started_at):
            self._reset()
        self.heard_s = now_s
        self._clock_s = now_s - datetime.fromisoformat(message["now"]).timestamp()
        self.server = Server(
            name=told[0],
            app=str(message.get("app") or "?"),
            command=str(message.get("command") or ""),
            addresses=tuple(str(address) for address in message.get("addresses") or ()),
            version=str(message.get("version") or ""),
            started_at=told[1],
            started_s=self.wall(message["started_at"]),
            threshold_s=number(message.get("threshold_s")) or 0.1,
        )

    def _disconnected(self, message: Message, now_s: float) -> None:
        # Those that are there still will be told of again; those that end while we do not listen will not.
        self.processes.clear()

    def _worker(self, message: Message, now_s: float) -> None:
        why = message.get("why")
        at_s = self.wall(message["at"]) if message.get("at") else now_s
        worker = self._worker_of(message, now_s)
        worker.become(str(message["state"]), None if why is None else str(why), min(at_s, now_s))
        if worker.gone:
            self._end_ongoing(worker.pid, None)
        self._replace(worker.number)

    def _replace(self, number: int) -> None:
        """A process that is gone leaves its place to the one that has its number."""
        ours = [worker for worker in self.processes.values() if worker.number == number]
        living = [worker for worker in ours if not worker.gone]
        gone = sorted((worker for worker in ours if worker.gone), key=lambda worker: worker.since_s)
        for worker in gone[: None if living else -1]:
            del self.processes[worker.pid]
            for successor in living[-1:]:
                successor.former_pid, successor.former_why = worker.pid, worker.why

    def _snapshot(self, message: Message, now_s: float) -> None:
        worker = self._worker_of(message, now_s)
        if not worker.gone:  # else these are its last words, which came late
            worker.measure(message, now_s)

    def _state(self, message: Message, now_s: float) -> None:
        worker = self._worker_of(message, now_s)
        if not worker.gone:
            loop = worker.loop(str(message["thread"]))
            loop.tell(message, now_s)
            if self._ongoing and not loop.state.is_trouble and loop.told_for_s >= LAST_WORDS_S:
                self._end_ongoing(worker.pid, loop.thread)

    def _end_ongoing(self, pid: int, thread: str | None) -> None:
        """What was told to go on there does not any more, and nobody has told of its end, or not by itself: its
        process was killed, or the end was told as a part of another stall's.
        """
        for id, stall in list(self._ongoing.items()):
            if stall.pid != pid or thread not in (None, stall.thread):
                continue
            del self._ongoing[id]
            ended = replace(stall, ongoing=False)
            self.stalls[id] = ended
            culprit = self.culprits.get(stall.fingerprint)
            if culprit is not None:
                culprit.records = [ended if record.id == id else record for record in culprit.records]

    def _history(self, message: Message, now_s: float) -> None:
        loop = self._worker_of(message, now_s).loop(str(message["thread"]))
        step_s = number(message.get("step_s")) or 1.0
        loop.lags.begin(now_s, step_s, [number(value) for value in message.get("lag_s") or ()])
        loop.busy.begin(now_s, step_s, [number(value) for value in message.get("utilisation") or ()])

    def _worker_of(self, message: Message, now_s: float) -> Worker:
        """Whom a message is about."""
        number, pid = int(message["worker"]), int(message["pid"])
        worker = self.processes.get(pid)
        if worker is None:
            if len(self.processes) >= MOST_WORKERS:
                raise ValueError("more workers than there can be")
            worker = self.processes[pid] = Worker(number, pid, "ready", since_s=now_s)
            self._replace(number)
        return worker

    def _stall(self, message: Message, now_s: float) -> None:
        stall = Stall.from_dict(message["stall"])
        begun_s = self.wall(stall.at)
        former = self.stalls.pop(stall.id, None)
        self.stalls[stall.id] = stall
        self._ongoing.pop(stall.id, None)
        if stall.ongoing:
            self._ongoing[stall.id] = stall
        while len(self._ongoing) > MOST_ONGOING:
            del self._ongoing[next(iter(self._ongoing))]
        while len(self.stalls) > MOST_STALLS:
            self.stalls.popitem(last=False)
        culprit = self.culprits.get(stall.fingerprint)
        if former is not None and former.fingerprint != stall.fingerprint and former.fingerprint in self.culprits:
            mistaken = self.culprits[former.fingerprint]
            mistaken.forget(former)  # its end taught more of who it was
            if not mistaken.count:
                del self.culprits[former.fingerprint]
            former = None
        if culprit is None:
            culprit = self.culprits[stall.fingerprint] = Culprit(stall.fingerprint, stall.cause.value, None)
        ended_s = begun_s + stall.duration_s
        counted = not stall.ongoing and culprit.given and ended_s <= self._counted_until_s
        culprit.add(stall, former, min(now_s, begun_s), counted=counted and former is None)
        self.culprits.move_to_end(stall.fingerprint)
        while len(self.culprits) > MOST_CULPRITS:
            self.culprits.popitem(last=False)

    def _groups(self, message: Message, now_s: float) -> None:
        for entry in message["groups"]:
            fingerprint = str(entry["fingerprint"])
            known = self.culprits.get(fingerprint)
            culprit = Culprit(fingerprint, str(entry["cause"]), place_of(entry.get("culprit")))
            culprit.given = True
            culprit.records = [] if known is None else known.records
            culprit.count, culprit.victims = whole(entry.get("count")), whole(entry.get("victims"))
            culprit.total_s, culprit.worst_s = number(entry.get("total_s")) or 0.0, number(entry.get("worst_s")) or 0.0
            culprit.first_s, culprit.last_s = self.wall(entry["first_seen"]), self.wall(entry["last_seen"])
            self.culprits[fingerprint] = culprit
        self._counted_until_s = now_s

    def _call(self, message: Message, now_s: float) -> None:
        record = message["call"]
        id = str(record["id"])
        if id in self._call_ids:
            return
        self._call_ids[id] = None
        while len(self._call_ids) > MOST_CALLS:
            self._call_ids.popitem(last=False)
        caller = place_of(record.get("caller"))
        key = (str(record["call"]), caller.file if caller else "", caller.line if caller else 0)
        known = self.calls.setdefault(key, FlaggedCall(key[0], caller))
        known.add(record, self.wall(record["at"]) if record.get("at") else now_s)
        self.calls.move_to_end(key)
        while len(self.calls) > MOST_CALLS:
            self.calls.popitem(last=False)

    def _dropped(self, message: Message, now_s: float) -> None:
        self.lost += whole(message.get("lines"))


_TAKES: dict[str, Callable[[Board, Message, float], None]] = {
    "hello": Board._hello,
    "disconnected": Board._disconnected,
    "worker": Board._worker,
    "snapshot": Board._snapshot,
    "state": Board._state,
    "history": Board._history,
    "stall": Board._stall,
    "groups": Board._groups,
    "call": Board._call,
    "dropped": Board._dropped,
}


def worst(values: Iterator[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _merge(one: Route, other: Route) -> Route:
    return Route(
        one.route,
        one.count + other.count,
        worst(iter((one.p50_s, other.p50_s))),
        worst(iter((one.p99_s, other.p99_s))),
        worst(iter((one.max_s, other.max_s))),
        one.held_s + other.held_s,
        one.stalls + other.stalls,
    )
