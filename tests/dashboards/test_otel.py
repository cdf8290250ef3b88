"""Stalls as OpenTelemetry gets them, by its in-memory exporters."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from loophound.dashboards import otel
from loophound.dashboards.otel import OpenTelemetry
from loophound.detector.adapters.work import Keeping
from loophound.detector.detector import Detector
from loophound.detector.records import Cause
from tests.dashboards.feed import fake
from tests.stalls import CULPRIT, blocking_call, stall

Found = dict[str, Any]


class Telemetry:
    """Providers of a test's own: the API's global ones can be set once in a process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.metering = MeterProvider([self.reader])
        monkeypatch.setattr(otel.trace, "get_tracer", self.tracing.get_tracer)
        monkeypatch.setattr(otel.metrics, "get_meter", self.metering.get_meter)
        self.face = OpenTelemetry()
        self.tracer = self.tracing.get_tracer("the program's")

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self) -> Found:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    telemetry = Telemetry(monkeypatch)
    yield telemetry
    telemetry.tracing.shutdown()
    telemetry.metering.shutdown()


def test_a_stall_is_an_event_of_the_span_in_its_context(telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("GET /show/{id}"):
        context = contextvars.copy_context()
        telemetry.face.began(CULPRIT, context)
        telemetry.face.ended(stall(), context)
    begun, ended = telemetry.spans()["GET /show/{id}"].events
    assert begun.name == ended.name == "loophound.stall"
    assert begun.attributes is not None
    assert ended.attributes is not None
    assert begun.attributes["loophound.stall.ongoing"] is True
    assert begun.attributes["code.line.number"] == 44
    assert dict(ended.attributes) == {
        "loophound.stall.id": "1", "loophound.stall.cause": "io", "loophound.stall.duration": 0.312,
        "loophound.stall.ongoing": False, "loophound.stall.victims": 37,
        "loophound.stall.remedy": "use httpx.AsyncClient", "code.file.path": "/srv/app/main.py",
        "code.line.number": 44, "code.function.name": "show",
    }  # fmt: skip
    assert ended.timestamp == round(datetime.fromisoformat(stall().at).timestamp() * 1e9)


def test_of_a_span_that_has_ended_it_is_a_child(telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("GET /show/{id}") as request:
        context = contextvars.copy_context()
    telemetry.face.began(CULPRIT, context)
    telemetry.face.ended(stall(), context)
    spans = telemetry.spans()
    assert spans["GET /show/{id}"].events == ()
    late = spans["loophound.stall"]
    assert late.parent is not None
    assert late.parent.span_id == request.get_span_context().span_id
    assert late.context.trace_id == request.get_span_context().trace_id
    assert late.start_time is not None
    assert late.end_time is not None
    assert late.end_time - late.start_time == 312_000_000
    assert late.attributes is not None
    assert late.attributes["loophound.stall.cause"] == "io"


def test_without_a_span_there_is_none(telemetry: Telemetry) -> None:
    telemetry.face.began(None, contextvars.Context())
    telemetry.face.ended(stall(), contextvars.Context())
    telemetry.face.ended(stall(), None)
    assert telemetry.spans() == {}


def test_stalls_and_calls_are_counted_by_cause(telemetry: Telemetry) -> None:
    telemetry.face.ended(stall(ongoing=True), None)
    telemetry.face.ended(stall(), None)
    telemetry.face.ended(stall(cause=Cause.CPU, duration_s=2.0), None)
    telemetry.face.called(blocking_call())
    points = telemetry.points()
    stalls = {point.attributes["cause"]: (point.count, point.sum) for point in points["loophound.stall.duration"]}
    assert stalls == {"io": (1, 0.312), "cpu": (1, 2.0)}
    assert [point.value for point in points["loophound.calls"]] == [1]


def test_each_second_has_its_lag_and_utilisation(telemetry: Telemetry) -> None:
    for lag_s in (0.01, 0.5):
        telemetry.face.measured(fake.snapshot(loops=[fake.loop(recent_lag_s=lag_s, recent_utilisation=0.25)]))
    points = telemetry.points()
    [lag] = points["loophound.loop.lag"]
    assert (lag.count, lag.max, lag.attributes["thread"]) == (2, 0.5, "MainThread")
    counts = dict(zip(lag.explicit_bounds, lag.bucket_counts, strict=False))
    assert {border: count for border, count in counts.items() if count} == {0.01: 1, 0.5: 1}
    assert [point.value for point in points["loophound.loop.utilisation"]] == [0.25]
    assert {point.attributes["what"]: point.value for point in points["loophound.dropped"]} == {
        "stalls": 0, "samples": 0, "snapshots": 0,
    }  # fmt: skip


# With a loop that is blocked


def blocks() -> None:
    time.sleep(0.4)


def test_a_task_that_blocks_has_it_in_its_span(telemetry: Telemetry) -> None:
    async def request() -> None:
        with telemetry.tracer.start_as_current_span("request"):
            await asyncio.sleep(0)
            blocks()

    async def main() -> None:
        await asyncio.sleep(0.1)
        with telemetry.tracer.start_as_current_span("somebody else's"):
            await asyncio.create_task(request(), context=contextvars.Context())
        await asyncio.sleep(0.5)

    with Detector(0.1, tracing=telemetry.face) as detector:
        assert detector.wait_for_observer()
        asyncio.run(main())
    assert not Keeping.contexts
    spans = telemetry.spans()
    [begun, *_] = spans["request"].events  # while it lasted; by its end the span had ended
    assert begun.attributes is not None
    assert begun.attributes["code.function.name"] == "blocks"
    late = spans["loophound.stall"]
    assert late.parent is not None
    assert late.parent.span_id == spans["request"].context.span_id
    assert late.attributes is not None
    assert late.attributes["loophound.stall.cause"] in ("sleep", "starved")
    assert spans["somebody else's"].events == ()


def test_a_span_that_goes_on_has_both_events(telemetry: Telemetry) -> None:
    async def main() -> None:
        await asyncio.sleep(0.1)
        with telemetry.tracer.start_as_current_span("request"):
            blocks()
            await asyncio.sleep(1)

    with Detector(0.1, tracing=telemetry.face) as detector:
        assert detector.wait_for_observer()
        asyncio.run(main())
    events = telemetry.spans()["request"].events
    ongoing = [event.attributes["loophound.stall.ongoing"] for event in events if event.attributes is not None]
    assert ongoing[0] is True
    assert False in ongoing
    assert trace.get_current_span() is trace.INVALID_SPAN
