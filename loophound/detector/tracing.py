"""What the detector asks of whoever traces requests."""

from __future__ import annotations

from contextvars import Context
from typing import Any, Protocol

from loophound.detector.records import BlockingCall, Place, Stall


class Tracing(Protocol):
    """Who is told of stalls with the contexts of their tasks, for the tracing spans in them."""

    def began(self, place: Place | None, context: Context) -> None: ...

    def ended(self, stall: Stall, context: Context | None) -> None: ...

    def called(self, call: BlockingCall) -> None: ...

    def measured(self, snapshot: dict[str, Any]) -> None: ...
