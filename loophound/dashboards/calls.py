"""Flagged calls in words: a line each in the log or on the terminal, repeats counted and not told."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import IO

from loophound.dashboards.wording import duration, place, safe
from loophound.detector.records import BlockingCall
from loophound.json_lines import line as json_line

LOGGER = "loophound.calls"
MOST_PLACES = 1_000


def line(call: BlockingCall) -> str:
    """`CALL requests.get · 312 ms · main.py:44 in show · GET /show/7 · use httpx.AsyncClient …`."""
    took = "refused" if call.duration_s is None else duration(call.duration_s)
    if call.duration_s is not None and call.duration_s < 0.0095:
        took = f"{call.duration_s * 1000:.1f} ms"
    return " · ".join(
        filter(
            None,
            [
                f"CALL {safe(call.call)}" + (f" ({safe(call.target, 80)})" if call.target else ""),
                took,
                place(call.caller) if call.caller is not None else None,
                safe(f"{call.request.method} {call.request.path}") if call.request is not None else None,
                safe(call.remedy, 300) if call.remedy is not None else None,
            ],
        )
    )


class Repeats:
    """Tells the 1st, 2nd, 4th, 8th, … of the same call in the same function; bounded, the oldest is forgotten."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, int] = OrderedDict()

    def add(self, call: BlockingCall) -> int:
        """How often it was seen by now, 0 where it is not to be told."""
        times = self._times[call.fingerprint] = self._times.pop(call.fingerprint, 0) + 1
        if len(self._times) > MOST_PLACES:
            self._times.popitem(last=False)
        return times if times & (times - 1) == 0 else 0


class CallLog:
    """Writes flagged calls to a logger, as warnings."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._repeats = Repeats()

    def __call__(self, call: BlockingCall) -> None:
        times = self._repeats.add(call)
        if times:
            self._logger.warning("%s", told(call, times))


class CallLines:
    """Writes them to a stream, as `loophound serve` does; never raises for its stream."""

    def __init__(self, stream: IO[str], as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._repeats = Repeats()

    def __call__(self, call: BlockingCall) -> None:
        times = self._repeats.add(call)
        if not times and not self._as_json:  # who reads JSON counts by itself
            return
        text = json_line("warning", LOGGER, line(call), call=call.to_dict()) if self._as_json else told(call, times)
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            return


def told(call: BlockingCall, times: int) -> str:
    return line(call) if times == 1 else f"{line(call)} · {times} times by now"
