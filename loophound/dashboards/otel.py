"""Stalls, flagged calls and lag through OpenTelemetry's API, to whatever the program has set up.

A stall becomes an event of the span that was current in the task at that time: the request's own,
or one within it. An event is added while the loop is blocked, because the span may end with the
stall, and one with the duration afterwards; where the span has ended by then, a child span in its place.
"""

from __future__ import annotations

from contextvars import Context
from datetime import datetime
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import NonRecordingSpan, Span

import loophound
from loophound.detector.records import BlockingCall, Place, Stall

NAME = "loophound.stall"
# The SDK's own are made for milliseconds: its second one is at 5.
BOUNDARIES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
Attributes = dict[str, str | int | float | bool]


class OpenTelemetry:
    """Its methods are called on threads of the detector's, never on a loop's."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("loophound", loophound.__version__)
        meter = metrics.get_meter("loophound", loophound.__version__)
        self._stalls = meter.create_histogram(
            "loophound.stall.duration",
            unit="s",
            description="Stalls of the event loop, by cause.",
            explicit_bucket_boundaries_advisory=BOUNDARIES_S,
        )
        self._lag = meter.create_histogram(
            "loophound.loop.lag",
            unit="s",
            description="The event loop's largest lag in each second.",
            explicit_bucket_boundaries_advisory=BOUNDARIES_S,
        )
        self._calls = meter.create_counter(
            "loophound.calls", unit="{call}", description="Flagged synchronous calls, by cause."
        )
        meter.create_observable_gauge(
            "loophound.loop.utilisation",
            [self._observe_utilisation],
            unit="1",
            description="Share of the last second in which the event loop was busy.",
        )
        meter.create_observable_counter(
            "loophound.dropped",
            [self._observe_dropped],
            unit="{record}",
            description="Records that could not be handed on in time.",
        )
        self._snapshot: dict[str, Any] = {"loops": [], "dropped": {}}

    # Traces

    def began(self, place: Place | None, context: Context) -> None:
        """A stall that goes on: tell the span in which it happens."""
        span = span_of(context)
        if span.is_recording():
            span.add_event(NAME, {"loophound.stall.ongoing": True, **attributes_of_place(place)})

    def ended(self, stall: Stall, context: Context | None) -> None:
        """The stall is over, or told of because it lasts."""
        if stall.ongoing:
            return
        self._stalls.record(stall.duration_s, {"cause": stall.cause.value})
        if context is None:
            return
        span = span_of(context)
        began_ns = round(datetime.fromisoformat(stall.at).timestamp() * 1e9)
        attributes = attributes_of(stall)
        if span.is_recording():
            span.add_event(NAME, attributes, began_ns)
        elif span.get_span_context().is_valid:
            parent = trace.set_span_in_context(NonRecordingSpan(span.get_span_context()))
            late = self._tracer.start_span(NAME, parent, attributes=attributes, start_time=began_ns)
            late.end(began_ns + round(stall.duration_s * 1e9))

    # Metrics

    def called(self, call: BlockingCall) -> None:
        """A flagged call."""
        self._calls.add(1, {"cause": call.cause.value})

    def measured(self, snapshot: dict[str, Any]) -> None:
        """Each second, with the feed's snapshot."""
        self._snapshot = snapshot
        for loop in snapshot["loops"]:
            self._lag.record(loop["recent_lag_s"], {"thread": loop["thread"]})

    def _observe_utilisation(self, options: CallbackOptions) -> list[Observation]:
        return [Observation(loop["recent_utilisation"], {"thread": loop["thread"]}) for loop in self._snapshot["loops"]]

    def _observe_dropped(self, options: CallbackOptions) -> list[Observation]:
        return [Observation(count, {"what": what}) for what, count in self._snapshot["dropped"].items()]


def span_of(context: Context) -> Span:
    """The current span of a task, from a copy of its context: that of a running task cannot be entered."""
    return context.run(trace.get_current_span)


def attributes_of(stall: Stall) -> Attributes:
    attributes: Attributes = {
        "loophound.stall.id": stall.id,
        "loophound.stall.cause": stall.cause.value,
        "loophound.stall.duration": stall.duration_s,
        "loophound.stall.ongoing": False,
        "loophound.stall.victims": stall.victims,
        **attributes_of_place(stall.culprit),
    }
    if stall.remedy is not None:
        attributes["loophound.stall.remedy"] = stall.remedy
    return attributes


def attributes_of_place(place: Place | None) -> Attributes:
    """The semantic conventions for code."""
    if place is None:
        return {}
    return {"code.file.path": place.file, "code.line.number": place.line, "code.function.name": place.function}
