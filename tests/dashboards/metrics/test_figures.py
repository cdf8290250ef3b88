"""What Prometheus reads, by its own parsers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from loophound.dashboards.metrics.figures import Figures
from loophound.detector.records import Cause
from tests.dashboards.feed import fake

Labels = dict[str, str]

HISTOGRAM = {"le_s": [0.001, 0.1, 1.0], "counts": [5, 8, 9], "sum_s": 0.75}


def snapshot(worker: int = 0, **changes: Any) -> dict[str, Any]:
    requests = {"total": 9, "per_s": 1.0, "in_flight": 3, "p50_s": 0.1, "p99_s": 0.2, "histogram": HISTOGRAM}
    loops = [fake.loop(worker, beats=10, lag_histogram=HISTOGRAM)]
    dropped = {"stalls": 1, "samples": 2, "snapshots": 3}
    return fake.snapshot(worker, loops=loops, requests=requests, dropped=dropped, **changes)


def fed(*messages: dict[str, Any]) -> CollectorRegistry:
    figures = Figures()
    for message in messages:
        figures.feed(json.loads(json.dumps(message)))
    registry = CollectorRegistry()
    registry.register(figures)
    return registry


def everything() -> CollectorRegistry:
    return fed(
        fake.hello(app='odd "name"\\\n'), fake.worker(0), fake.worker(1), snapshot(0), snapshot(1), fake.state(0),
        fake.blocked(1, 1.5), fake.stalled(1, cause=Cause.IO, ongoing=True), fake.stalled(1, cause=Cause.IO),
        fake.stalled(1, cause=Cause.IO, duration_s=99.0), {"type": "call", "worker": 1, "call": {"cause": "sleep"}},
        {"type": "readers", "connected": 2, "dropped": 1},
    )  # fmt: skip


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_the_official_parsers_take_all_of_it(form: str) -> None:
    registry = everything()
    if form == "text":
        families = list(read_text(generate_latest(registry).decode()))
    else:
        families = list(read_openmetrics(generate_openmetrics(registry).decode()))
    names = {family.name for family in families}
    assert {
        "loophound", "loophound_workers", "loophound_loop_lag_seconds", "loophound_loop_utilisation_ratio",
        "loophound_loop_blocked_seconds", "loophound_stall_seconds", "loophound_calls", "loophound_dropped",
        "loophound_request_seconds", "loophound_requests_in_flight", "loophound_executor_queued",
    } <= {name.removesuffix("_info") for name in names}  # fmt: skip
    for family in families:
        assert family.documentation
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(keys) == len(set(keys)), f"{family.name} says something twice"
        if family.type == "histogram":
            hold_histogram(family)


def hold_histogram(family: Any) -> None:
    """Buckets must grow, and the last be the count."""
    series: dict[tuple[Any, ...], list[float]] = {}
    counts: dict[tuple[Any, ...], float] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            series.setdefault(labels, []).append(sample.value)
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    for labels, values in series.items():
        assert values == sorted(values)
        assert values[-1] == counts[labels]


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("loophound_info", {"version": "0.1.0", "app": 'odd "name"\\\n'}, 1),
        ("loophound_workers", {"state": "ready"}, 2),
        ("loophound_workers", {"state": "starting"}, 0),
        ("loophound_loop_lag_seconds_count", {"worker": "1", "thread": "MainThread"}, 10),
        ("loophound_loop_lag_seconds_bucket", {"worker": "1", "thread": "MainThread", "le": "0.1"}, 8),
        ("loophound_loop_utilisation_ratio", {"worker": "0", "thread": "MainThread"}, 0.35),
        ("loophound_loop_blocked_seconds", {"worker": "0", "thread": "MainThread"}, 0),
        ("loophound_loop_blocked_seconds", {"worker": "1", "thread": "MainThread"}, 1.5),
        ("loophound_stall_seconds_count", {"worker": "1", "cause": "io"}, 2),
        ("loophound_stall_seconds_sum", {"worker": "1", "cause": "io"}, 99.312),
        ("loophound_stall_seconds_bucket", {"worker": "1", "cause": "io", "le": "60.0"}, 1),
        ("loophound_calls_total", {"worker": "1", "cause": "sleep"}, 1),
        ("loophound_dropped_total", {"worker": "0", "what": "samples"}, 2),
        ("loophound_request_seconds_count", {"worker": "0"}, 9),
        ("loophound_requests_in_flight", {"worker": "0"}, 3),
        ("loophound_tasks", {"worker": "0"}, 3),
        ("loophound_executor_queued", {"worker": "0", "executor": "thread"}, 2),
        ("loophound_executor_rejected_total", {"worker": "0", "executor": "thread"}, 1),
        ("loophound_feed_readers", {}, 2),
        ("loophound_feed_readers_dropped_total", {}, 1),
    ],
)
def test_the_figures(name: str, labels: Labels, value: float) -> None:
    assert everything().get_sample_value(name, labels) == pytest.approx(value)


def test_a_worker_that_is_replaced_has_one_series() -> None:
    """For a while there are two processes of one number: the younger one counts."""
    registry = fed(
        fake.worker(0), snapshot(0), fake.worker(0, "starting", pid=90), snapshot(0),
        snapshot(0, pid=90, tasks={"total": 77, "shown": []}), snapshot(0), fake.worker(0, "gone"),
    )  # fmt: skip
    assert registry.get_sample_value("loophound_tasks", {"worker": "0"}) == 77
    assert registry.get_sample_value("loophound_workers", {"state": "starting"}) == 1
    list(read_text(generate_latest(registry).decode()))


def test_a_worker_that_has_gone_leaves_its_stalls() -> None:
    registry = fed(fake.worker(0), snapshot(0), fake.state(0), fake.stalled(0, cause=Cause.CPU), fake.worker(0, "gone"))
    assert registry.get_sample_value("loophound_tasks", {"worker": "0"}) is None
    assert registry.get_sample_value("loophound_loop_blocked_seconds", {"worker": "0", "thread": "MainThread"}) is None
    assert registry.get_sample_value("loophound_stall_seconds_count", {"worker": "0", "cause": "cpu"}) == 1


def test_a_thread_that_runs_another_loop_has_one_series() -> None:
    loops = [fake.loop(0, loop="a", recent_utilisation=0.1), fake.loop(0, loop="b", recent_utilisation=0.9)]
    registry = fed(
        fake.worker(0), fake.state(0, loop="a"), fake.blocked(0, 2.0, loop="b"), fake.snapshot(0, loops=loops)
    )
    labels = {"worker": "0", "thread": "MainThread"}
    assert registry.get_sample_value("loophound_loop_utilisation_ratio", labels) == 0.9
    assert registry.get_sample_value("loophound_loop_blocked_seconds", labels) == 2.0
    list(read_text(generate_latest(registry).decode()))


def test_before_anything_was_said_there_is_something_to_read() -> None:
    assert b"loophound_feed_readers 0.0" in generate_latest(fed())
