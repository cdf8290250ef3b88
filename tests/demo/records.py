"""Records written by hand, as a run of the demo would leave them."""

from __future__ import annotations

import itertools
from typing import Any

from loophound.demo.plan import PLANTED, Planted, Site, planted_sites
from loophound.detector.records import Stall

SITES = planted_sites()
_ids = itertools.count(1)


def planted(name: str) -> Planted:
    return next(entry for entry in PLANTED if entry.name == name)


def record(name: str, **changes: Any) -> dict[str, Any]:
    """A right record of the planted blocker `name`, with `changes`."""
    entry, site = planted(name), SITES[name]
    return {
        "schema": "loophound.stall/1", "id": f"stall-{next(_ids)}", "at": "2026-11-22T04:30:14.032Z",
        "pid": 71, "worker": 0, "loop": "uvloop.Loop", "thread": "MainThread",
        "duration_s": 0.35, "duration_error_s": 0.01, "threshold_s": 0.1, "ongoing": False,
        "cause": entry.cause.value, "innocent": False, "culprit": place(site), "blocking": place(site),
        "other_thread": None, "stack": [], "profile": [], "samples": 14,
        "task": {"name": "Task-9", "coro": site.function},
        "request": request(entry.endpoint.method, entry.endpoint.path),
        "evidence": {"cpu_share": 0.01}, "victims": 7, "fingerprint": "c0ffee12", "remedy": None,
        **changes,
    }  # fmt: skip


def stall(name: str, **changes: Any) -> Stall:
    return Stall.from_dict(record(name, **changes))


def place(site: Site, line: int = 0, file: str = "") -> dict[str, Any]:
    return {
        "file": file or str(site.file),
        "line": line or site.line,
        "function": site.function,
        "code": None,
    }


def request(method: str, path: str) -> dict[str, Any]:
    return {"id": None, "method": method, "path": path, "route": None, "client": None}


def right_run() -> list[Stall]:
    """Each planted blocker reported as often as it blocks, all of it right."""
    return [stall(entry.name) for entry in PLANTED for _ in range(entry.stalls)]
