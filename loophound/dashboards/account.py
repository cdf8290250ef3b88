"""What a report says of one stall, piece by piece; the layouts of terminal.py only arrange it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loophound.dashboards.stacks import shorten
from loophound.dashboards.wording import count, duration, full_place, place, request, safe
from loophound.detector.records import Cause, Evidence, OtherThread, Place, Stall
from loophound.source import SourceLines

NOBODY = "no line of the loop's code is to blame"
_LISTED_LINES = 3
_WORTH_TELLING_S = 0.01  # less was nobody's trouble
_WORTH_TELLING_SHARE = 0.05
_INTERRUPTED = {
    "signal": "interrupted by a signal at the stall limit",
    "exception": "interrupted by an exception at the stall limit",
    "ended": "ended with the process",
    "failed": "past the stall limit, and not to be interrupted there",
}
_CONTEXT_LINES = 2  # on each side of the culprit's


@dataclass(frozen=True, slots=True)
class Account:
    """The pieces of a report, each ready to print; empty where there is nothing to say."""

    headline: str
    blame: str
    source: tuple[tuple[int, str], ...]  # line numbers and texts around the culprit
    marked: int  # number of the culprit's line
    file: str  # the culprit's, empty without one
    stack: tuple[str, ...]
    profile: str
    evidence: str
    victims: str
    remedy: str


def account(stall: Stall, sources: SourceLines) -> Account:
    culprit = stall.culprit
    return Account(
        headline=headline(stall),
        blame=blame(stall),
        source=tuple(_source(culprit, sources)) if culprit else (),
        marked=culprit.line if culprit else 0,
        file=safe(culprit.file) if culprit else "",
        stack=tuple(shorten(stall.stack)),
        profile=_profile(stall),
        evidence=", ".join(_evidence(stall.evidence, stall.cause)),
        victims=_victims(stall),
        remedy=safe(stall.remedy, 500) if stall.remedy else "",
    )


def _victims(stall: Stall) -> str:
    if not stall.victims:
        return ""
    known = [delay for delay in stall.delays if delay.delay_s]
    longest = f", up to {duration(known[0].delay_s)} ({safe(known[0].path)})" if known and known[0].delay_s else ""
    return f"{count(stall.victims, 'other request', 'other requests')} waited{longest}"


def headline(stall: Stall) -> str:
    """`BLOCKED 312 ms · io · main.py:44 in show · GET /show/7`, and at the end the worker, where there are several."""
    took = f"for {stall.duration_s:.1f} s and going on …" if stall.ongoing else duration(stall.duration_s)
    who = f"worker {stall.worker}" if stall.worker else ""
    return " · ".join(filter(None, [f"BLOCKED {took}", stall.cause.value, subject(stall), request(stall), who]))


def subject(stall: Stall) -> str:
    """Who a report is about, in a few words."""
    if stall.culprit is not None:
        return place(stall.culprit)
    if stall.other_thread is not None:
        return f"{_thread(stall.other_thread)} at {place(stall.other_thread)}"
    return _SUBJECTS.get(stall.cause, "no line known")


_SUBJECTS = {
    Cause.CONTENTION: "another thread",
    Cause.FLOOD: "many short callbacks",
    Cause.STARVED: "the machine",
    Cause.SUSPENDED: "stopped process",
    Cause.GC: "garbage collection",
}


def blame(stall: Stall) -> str:
    """A sentence where the culprit's line alone would mislead; empty where it tells all."""
    if stall.cause is Cause.GC:
        return _collection(stall)
    explain = _INNOCENT.get(stall.cause)
    if explain is not None:
        return f"{explain(stall)}; {NOBODY}"
    return NOBODY if stall.innocent else ""


def _contention(stall: Stall) -> str:
    other = stall.other_thread
    if other is None:
        return "another thread held the GIL"
    return f"{_thread(other)} held the GIL at {full_place(other)}"


def _thread(other: OtherThread) -> str:
    """It has no name where it was seen from outside alone and had ended when it could be asked."""
    return f"thread {safe(other.name, 60)}" if other.name else "another thread"


def _starved(stall: Stall) -> str:
    waited = stall.evidence.runqueue_s
    return "the machine gave the thread no CPU" + (f" for {duration(waited)}" if waited else "")


_INNOCENT: dict[Cause, Callable[[Stall], str]] = {
    Cause.CONTENTION: _contention,
    Cause.FLOOD: lambda stall: "many short callbacks ran one after the other, none of them long",
    Cause.STARVED: _starved,
    Cause.SUSPENDED: lambda stall: "the process was stopped, by a signal, a debugger or a sleeping machine",
}


def _collection(stall: Stall) -> str:
    seen = stall.evidence
    parts = [
        f"generation {seen.gc_generation}" if seen.gc_generation is not None else "",
        count(seen.gc_collected, "object", "objects") if seen.gc_collected is not None else "",
        duration(seen.gc_s) if seen.gc_s is not None else "",
    ]
    details = ", ".join(filter(None, parts))
    ran = "a garbage collection ran" + (f" ({details})" if details else "")
    return f"{ran}; {f'{place(stall.culprit)} triggered it' if stall.culprit else NOBODY}"


def _source(culprit: Place, sources: SourceLines) -> list[tuple[int, str]]:
    lines = sources.lines(culprit.file, culprit.line - _CONTEXT_LINES, culprit.line + _CONTEXT_LINES)
    now = dict(lines).get(culprit.line)
    if now is None:
        lines = []
    if culprit.code is not None and (now is None or now.strip() != culprit.code.strip()):
        # No source, or one that was edited since it was imported: only the record is right.
        lines = [(culprit.line, culprit.code)]
    return [(number, safe(text.expandtabs(4).rstrip())) for number, text in lines]


def _profile(stall: Stall) -> str:
    """Where the time went, when it went to several lines."""
    told = [line for line in stall.profile if line.share >= _WORTH_TELLING_SHARE]
    if len(told) < 2:
        return ""
    lines = sorted(told, key=lambda line: -line.share)[:_LISTED_LINES]
    return ", ".join(f"{line.share:.0%} {place(line)}" for line in lines)


def _evidence(seen: Evidence, cause: Cause) -> list[str]:
    said = []
    if seen.cpu_share is not None:
        said.append(f"on the CPU {seen.cpu_share:.0%} of the time")
    if seen.syscall is not None:
        target = f" on {safe(seen.target)}" if seen.target else ""
        said.append(f"in system call {safe(seen.syscall)}{target}")
    elif seen.target is not None:
        said.append(f"on {safe(seen.target)}")
    if seen.runqueue_s is not None and seen.runqueue_s >= _WORTH_TELLING_S:
        said.append(f"waited {duration(seen.runqueue_s)} for a CPU")
    if seen.gc_s:
        said.append(f"collected garbage for {duration(seen.gc_s)}")
    if seen.gil_held or (seen.gil_held is not None and cause is Cause.NATIVE):
        said.append("GIL held" if seen.gil_held else "GIL released")
    if seen.interrupted is not None:
        said.append(_INTERRUPTED.get(seen.interrupted, safe(seen.interrupted)))
    if seen.captured_by is not None:
        said.append(f"captured by the {safe(seen.captured_by)}")
    return said
