"""Figures in few columns: `1.2k`, `8.4 ms`, `12 min 3 s`, `3 s ago`."""

from __future__ import annotations

import math

from loophound.dashboards.top.look import STRONG, Span
from loophound.dashboards.top.state import LoopFigures, LoopState
from loophound.dashboards.wording import place, safe


def short_time(seconds: float | None) -> str:
    """At most seven columns: `0.3 ms`, `312 ms`, `1.24 s`, `61.0 s`, `12 min`, `3.2 h`."""
    if seconds is None or math.isnan(seconds):
        return "-"
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """A time that goes on while it is read, in tenths: `1.4 s`, `2 min 05 s`."""
    if seconds < 60:
        return f"{math.floor(seconds * 10) / 10:.1f} s"
    return long_time(seconds)


def long_time(seconds: float) -> str:
    """`42 s`, `12 min 3 s`, `3 h 20 min`, `5 d 2 h`."""
    whole = max(0, math.floor(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(seconds: float) -> str:
    """`now`, `3 s ago`, `5 min ago`, `3 h ago`."""
    if seconds < 1:
        return "now"
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= length_s:
            return f"{math.floor(seconds / length_s)} {unit} ago"
    return "now"


def amount(number: float) -> str:
    """`7`, `1,204`, `12.3k`, `4.1M`."""
    if number < 10_000:
        return f"{number:,.0f}"
    return f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def per_second(number: float) -> str:
    return f"{number:.1f}" if 0 < number < 10 else amount(number)


def state_words(loop: LoopFigures, now_s: float) -> tuple[str, list[Span]]:
    """The state, and what is known of it: `BLOCKED 1.4 s`, `by app.py:44 in show · GET /x`."""
    lasting = clock(loop.lasting_s(now_s))
    if loop.state is LoopState.BLOCKED:
        spans: list[Span] = []
        if loop.line is not None:
            spans += [("by ", ""), (place(loop.line), STRONG)]
        elif loop.holder is not None:
            spans += [("by another thread, ", ""), (place(loop.holder), STRONG)]
        if loop.request is not None:
            asked = safe(f"{loop.request.method} {loop.request.path}")
            spans += [(" in " if spans else "in ", ""), (asked, STRONG)]
        return f"BLOCKED {lasting}", spans or [("by a line not yet known", "")]
    if loop.state is LoopState.STARVED:
        return f"STARVED {lasting}", [("the machine gives it no CPU", "")]
    if loop.state is LoopState.STOPPED:
        return f"STOPPED {lasting}", [("the process stands still", "")]
    return loop.state.value, []
