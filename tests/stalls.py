"""Stalls and flagged calls written by hand."""

from __future__ import annotations

from typing import Any

from loophound.detector.records import BlockingCall, Cause, Evidence, Place, Request, StackFrame, Stall, Task

CULPRIT = Place("/srv/app/main.py", 44, "show", "row = requests.get(url)")

STACK = (
    StackFrame("/usr/lib/python3.11/asyncio/events.py", 80, "Handle._run", app=False),
    StackFrame("/srv/app/main.py", 44, "show", app=True),
    StackFrame("/srv/venv/lib/python3.11/site-packages/requests/api.py", 73, "get", app=False),
    StackFrame("/srv/venv/lib/python3.11/site-packages/requests/sessions.py", 589, "request", app=False),
    StackFrame("/srv/venv/lib/python3.11/site-packages/urllib3/connection.py", 464, "getresponse", app=False),
    StackFrame("/usr/lib/python3.11/socket.py", 706, "readinto", app=False),
)


def stall(**changes: Any) -> Stall:
    """A request that waited for a database; `changes` are fields of Stall."""
    fields: dict[str, Any] = {
        "id": "1", "at": "2026-11-22T04:30:14.032Z", "pid": 71, "worker": 0,
        "loop": "uvloop.Loop", "thread": "MainThread",
        "duration_s": 0.312, "duration_error_s": 0.01, "threshold_s": 0.1, "ongoing": False,
        "cause": Cause.IO, "innocent": False, "culprit": CULPRIT,
        "blocking": Place("/usr/lib/python3.11/socket.py", 706, "readinto"), "other_thread": None,
        "stack": STACK, "profile": (), "samples": 14, "task": Task("Task-812", "show"),
        "request": Request(None, "GET", "/show/7", "/show/{id}", "127.0.0.1:50312"),
        "evidence": Evidence(
            cpu_share=0.01, syscall="recvfrom", target="tcp 127.0.0.1:5432", runqueue_s=0.0, captured_by="observer"
        ),
        "victims": 37, "fingerprint": "c0ffee12", "remedy": "use httpx.AsyncClient",
    }  # fmt: skip
    return Stall(**{**fields, **changes})


def blocking_call(**changes: Any) -> BlockingCall:
    """The call that the same request was flagged for; `changes` are fields of BlockingCall."""
    fields: dict[str, Any] = {
        "id": "1", "at": "2026-11-22T04:30:14.032Z", "pid": 71, "worker": 0, "thread": "MainThread",
        "call": "requests.get", "cause": Cause.IO, "caller": CULPRIT, "stack": STACK,
        "task": Task("Task-812", "show"), "request": Request(None, "GET", "/show/7", "/show/{id}", "127.0.0.1:50312"),
        "duration_s": 0.312, "target": "tcp 127.0.0.1:5432", "fingerprint": "c0ffee12",
        "remedy": "use httpx.AsyncClient",
    }  # fmt: skip
    return BlockingCall(**{**fields, **changes})
