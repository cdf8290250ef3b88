"""The feed's figures as Prometheus has them; each has the number of its worker as a label.

What a process counts begins anew with it, which Prometheus understands; stalls and calls are
counted here, and outlive the workers.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Message = dict[str, Any]

STALL_BORDERS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
WORKER_STATES = ("starting", "ready", "stopping")


class StallTimes:
    """How long stalls of one cause have lasted."""

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * (len(STALL_BORDERS_S) + 1)

    def add(self, duration_s: float) -> None:
        self.sum_s += duration_s
        self._counts[bisect_left(STALL_BORDERS_S, duration_s)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as HistogramMetricFamily takes them."""
        total, cumulated = 0, []
        for border, count in zip([*map(str, STALL_BORDERS_S), "+Inf"], self._counts, strict=True):
            total += count
            cumulated.append((border, float(total)))
        return cumulated


class Figures(Collector):
    """Fed on the observer's thread, collected on the server's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hello: Message = {}
        self._workers: dict[str, Message] = {}  # the latest process of each worker
        self._snapshots: dict[str, Message] = {}
        self._states: dict[tuple[str, str, str], Message] = {}
        self._stalls: dict[tuple[str, str], StallTimes] = {}  # by worker and cause
        self._calls: Counter[tuple[str, str]] = Counter()  # by worker and cause
        self._readers: Message = {"connected": 0, "dropped": 0}

    def feed(self, message: Message) -> None:
        with self._lock:
            self._take(message)

    def _take(self, message: Message) -> None:
        kind = message["type"]
        worker = str(message.get("worker", 0))
        if kind == "hello":
            self._hello = message
        elif kind == "readers":
            self._readers = message
        elif kind == "worker":
            self._take_worker(worker, message)
        elif kind == "stall":
            stall = message["stall"]
            if not stall["ongoing"]:
                self._stalls.setdefault((worker, stall["cause"]), StallTimes()).add(stall["duration_s"])
        elif kind == "call":
            self._calls[worker, message["call"]["cause"]] += 1
        elif self._workers.get(worker, {}).get("pid") == message.get("pid"):  # not of one that is being replaced
            if kind == "snapshot":
                self._snapshots[worker] = message
                running = {(loop["thread"], loop["loop"]) for loop in message["loops"]}
                stale = [key for key in self._states if key[0] == worker and key[1:] not in running]
                for key in stale:
                    del self._states[key]
            elif kind == "state":
                self._states[worker, message["thread"], message["loop"]] = message

    def _take_worker(self, worker: str, message: Message) -> None:
        if message["state"] != "gone":
            self._workers[worker] = message
        elif self._workers.get(worker, {}).get("pid") == message["pid"]:
            del self._workers[worker]
            self._snapshots.pop(worker, None)
            self._states = {key: state for key, state in self._states.items() if key[0] != worker}

    # What Prometheus reads

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            families = [*self._of_server(), *self._of_loops(), *self._of_records(), *self._of_requests()]
        yield from families

    def _of_server(self) -> Iterator[Metric]:
        about = {"version": self._hello.get("version"), "app": self._hello.get("app")}
        yield InfoMetricFamily(
            "loophound", "What runs here.", value={name: str(value) for name, value in about.items() if value}
        )
        workers = GaugeMetricFamily("loophound_workers", "Worker processes, by state.", labels=["state"])
        states = Counter(message["state"] for message in self._workers.values())
        for state in WORKER_STATES:
            workers.add_metric([state], states[state])
        yield workers
        yield GaugeMetricFamily("loophound_feed_readers", "Readers of the live feed.", self._readers["connected"])
        yield CounterMetricFamily(
            "loophound_feed_readers_dropped", "Readers of the feed that did not read.", self._readers["dropped"]
        )

    def _of_loops(self) -> Iterator[Metric]:
        labels = ["worker", "thread"]
        lag = HistogramMetricFamily("loophound_loop_lag_seconds", "How late the event loop answers.", labels=labels)
        busy = GaugeMetricFamily(
            "loophound_loop_utilisation_ratio", "Share of the last second in which the loop was busy.", labels=labels
        )
        blocked = GaugeMetricFamily(
            "loophound_loop_blocked_seconds", "For how long the loop has stood still by now.", labels=labels
        )
        for worker, snapshot in self._snapshots.items():
            for loop in latest_by_thread(snapshot["loops"]):
                told = loop.get("lag_histogram")
                if told is not None:
                    lag.add_metric([worker, loop["thread"]], cumulative(told, loop["beats"]), told["sum_s"])
                busy.add_metric([worker, loop["thread"]], loop["recent_utilisation"])
        for (worker, thread, _), state in latest_state(self._states).items():
            standing = state["state"] in ("blocked", "starved", "stopped")
            blocked.add_metric([worker, thread], state["for_s"] if standing else 0.0)
        yield from (lag, busy, blocked)

    def _of_records(self) -> Iterator[Metric]:
        labels = ["worker", "cause"]
        stalls = HistogramMetricFamily("loophound_stall_seconds", "Stalls of the event loop, by cause.", labels=labels)
        for (worker, cause), times in self._stalls.items():
            stalls.add_metric([worker, cause], times.buckets(), times.sum_s)
        yield stalls
        calls = CounterMetricFamily("loophound_calls", "Flagged synchronous calls, by cause.", labels=labels)
        for (worker, cause), count in self._calls.items():
            calls.add_metric([worker, cause], count)
        yield calls
        dropped = CounterMetricFamily(
            "loophound_dropped", "Records that could not be handed on in time.", labels=["worker", "what"]
        )
        for worker, snapshot in self._snapshots.items():
            for what, count in snapshot["dropped"].items():
                dropped.add_metric([worker, what], count)
        yield dropped

    def _of_requests(self) -> Iterator[Metric]:
        times = HistogramMetricFamily("loophound_request_seconds", "How long requests took.", labels=["worker"])
        in_flight = GaugeMetricFamily("loophound_requests_in_flight", "Requests at work.", labels=["worker"])
        tasks = GaugeMetricFamily("loophound_tasks", "Tasks on the event loop.", labels=["worker"])
        queued, running, rejected = (
            GaugeMetricFamily("loophound_executor_queued", "Calls that wait.", labels=["worker", "executor"]),
            GaugeMetricFamily("loophound_executor_running", "Calls at work.", labels=["worker", "executor"]),
            CounterMetricFamily("loophound_executor_rejected", "Calls refused.", labels=["worker", "executor"]),
        )
        for worker, snapshot in self._snapshots.items():
            requests = snapshot.get("requests")
            if requests is not None:
                told = requests.get("histogram")
                if told is not None:
                    times.add_metric([worker], cumulative(told, requests["total"]), told["sum_s"])
                in_flight.add_metric([worker], requests["in_flight"])
            if snapshot.get("tasks") is not None:
                tasks.add_metric([worker], snapshot["tasks"]["total"])
            for name, entries in by_name(snapshot.get("executors", ())).items():
                queued.add_metric([worker, name], sum(entry["queued"] for entry in entries))
                running.add_metric([worker, name], sum(entry["running"] for entry in entries))
                rejected.add_metric([worker, name], sum(entry["rejected"] for entry in entries))
        yield from (times, in_flight, tasks, queued, running, rejected)


def cumulative(told: Message, total: int) -> list[tuple[str, float]]:
    """The feed's histogram as HistogramMetricFamily takes it."""
    total = max([total, *told["counts"]])
    borders = zip(map(str, told["le_s"]), map(float, told["counts"]), strict=True)
    return [*borders, ("+Inf", float(total))]


def latest_by_thread(loops: list[Message]) -> list[Message]:
    """A thread may have run loops of several kinds, one after another: the last one counts."""
    return [*{loop["thread"]: loop for loop in loops}.values()]


def latest_state(states: dict[tuple[str, str, str], Message]) -> dict[tuple[str, str, str], Message]:
    """The same, of states."""
    by_thread = {key[:2]: key for key in states}
    return {key: states[key] for key in by_thread.values()}


def by_name(executors: list[Message] | tuple[()]) -> dict[str, list[Message]]:
    """Several middlewares may each have an executor of the same name."""
    named: dict[str, list[Message]] = {}
    for entry in executors:
        named.setdefault(entry["name"], []).append(entry)
    return named
