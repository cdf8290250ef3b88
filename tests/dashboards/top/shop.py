"""A shop on a bad day, as messages of the feed.

    python -m tests.dashboards.top.shop PATH [STALLS [TASKS]]

serves it at PATH: worker 1 is blocked for three seconds in every ten, and all figures move.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

from loophound.detector.records import Cause, Evidence, OtherThread, Place, ProfileLine, Request, StackFrame
from tests.dashboards.feed.fake import (
    FakeFeed,
    Message,
    hello,
    history,
    iso,
    loop,
    route,
    snapshot,
    stalled,
    state,
    task,
    worker,
)  # fmt: skip

SERVICES = Path(__file__).parents[3] / "examples" / "shop" / "services.py"
MAIN = SERVICES.with_name("main.py")
ADDRESSES = ["http://127.0.0.1:8000"]


def line_of(text: str, file: Path = SERVICES) -> int:
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


def place(text: str, function: str, file: Path = SERVICES) -> Place:
    code = next(line.strip() for line in file.read_text().splitlines() if text in line)
    return Place(str(file), line_of(text, file), function, code)


CULPRITS: tuple[tuple[Cause, Place | None, Request | None, float, int], ...] = (
    (Cause.SLEEP, place("sleep(", "charge_card"), Request(None, "POST", "/orders/7/payment",
     "/orders/{order}/payment", None), 0.31, 37),
    (Cause.NATIVE, place("match(", "is_address"), Request(None, "GET", "/addresses/aaaaaaaaaaaa@",
     "/addresses/{address}", None), 2.84, 112),
    (Cause.IO, place("recv", "ask_warehouse"), Request(None, "GET", "/items/3/stock", "/items/{item_id}/stock", None),
     0.42, 9),
    (Cause.CPU, place("execute(DAY", "total_of_day"), Request(None, "GET", "/reports/monday", "/reports/{day}", None),
     0.65, 4),
    (Cause.CONTENTION, None, None, 0.21, 3),
    (Cause.STARVED, None, None, 0.14, 0),
)  # fmt: skip


def stall_of(number: int, *, id: str = "", duration_s: float | None = None, at_s: float | None = None,
             **changes: Any) -> Message:  # fmt: skip
    cause, culprit, request, usual_s, victims = CULPRITS[number % len(CULPRITS)]
    stack = [StackFrame("/usr/lib/python3.11/asyncio/events.py", 80, "Handle._run", app=False)]
    stack += [StackFrame("/srv/venv/lib/python3.11/site-packages/fastapi/routing.py", 212, "app", app=False)]
    if culprit is not None:
        stack += [StackFrame(str(MAIN), 31, "pay", app=True)]
        stack += [StackFrame(culprit.file, culprit.line, culprit.function, app=True)]
    profile: tuple[ProfileLine, ...] = ()
    if culprit is not None:
        profile = (ProfileLine(culprit.file, culprit.line, culprit.function, 0.83),
                   ProfileLine(str(MAIN), 31, "pay", 0.17))  # fmt: skip
    message = stalled(
        id=id or f"stall-{number}", cause=cause, culprit=culprit, request=request, victims=victims,
        duration_s=usual_s if duration_s is None else duration_s, innocent=culprit is None, stack=tuple(stack),
        profile=profile, fingerprint=f"{cause.value}-{number}",
        evidence=Evidence(cpu_share=0.01, captured_by="observer"),
        other_thread=OtherThread("backup", "/srv/shop/backup.py", 12, "pack") if cause is Cause.CONTENTION else None,
        remedy="write `await asyncio.sleep(...)` instead of `time.sleep(...)`" if culprit else None, **changes,
    )  # fmt: skip
    if at_s is not None:
        message["stall"]["at"] = iso(at_s)
    return message


def call(name: str = "time.sleep", caller: Place | None = None, **changes: Any) -> Message:
    caller = caller or place("sleep(", "charge_card")
    at = {"file": caller.file, "line": caller.line, "function": caller.function}
    record = {
        "schema": "loophound.call/1", "id": "c1", "at": iso(), "pid": 71, "worker": 0, "call": name, "caller": at,
        "stack": [{**at, "app": True}], "request": None, "task": None, "duration_s": 0.004,
        "remedy": "await asyncio.sleep(...)", **changes,
    }  # fmt: skip
    return {"type": "call", "worker": 0, "call": record}


def groups(*numbers: int, count: int = 12, **changes: Any) -> Message:
    told = []
    for number in numbers:
        cause, culprit, _, worst_s, victims = CULPRITS[number % len(CULPRITS)]
        told.append({
            "fingerprint": f"{cause.value}-{number}", "cause": cause.value,
            "culprit": None if culprit is None else {"file": culprit.file, "line": culprit.line,
                                                     "function": culprit.function, "code": culprit.code},
            "count": count, "total_s": worst_s * count * 0.8, "worst_s": worst_s, "victims": victims * count // 2,
            "first_seen": iso(time.time() - 600), "last_seen": iso(time.time() - 7 * number - 2), **changes,
        })  # fmt: skip
    return {"type": "groups", "groups": told}


def blocked(number: int, for_s: float) -> Message:
    at = place("match(", "is_address")
    line = {"file": at.file, "line": at.line, "function": at.function, "code": at.code}
    request = {"id": None, "method": "GET", "path": "/addresses/aaaaaaaaaaaa@", "route": None, "client": None}
    return state(number, "blocked", for_s=for_s, lag_s=for_s, line=line, request=request)


def past_of(number: int) -> Message:
    """Two minutes with a few stalls in them."""
    lags = [0.0004 + 0.0008 * abs(math.sin(n * 1.7 + number)) + 0.004 * (n % 7 == 0) for n in range(120)]
    for n, lag_s in ((12, 0.31), (13, 0.03), (47, 0.65), (70, 0.042), (88, 2.84), (89, 2.84), (90, 2.84), (104, 0.31)):
        lags[(n + number * 17) % 120] = lag_s
    return history(number) | {"lag_s": lags, "utilisation": [0.3] * 120}


def figures_of(number: int, tick: float, tasks: int = 40) -> Message:
    wave = math.sin(tick / 3 + number)
    shown = [
        task(n, name=f"Task-{812 + n}", coro=("run_asgi", "Shop.watch_stock", "Cache.expire", "pay")[n % 4],
             state=("waiting", "waiting", "ready", "running")[n % 4 if n < 8 else 0], age_s=0.3 * 1.4 ** (n % 25),
             where=("queues.py:158 in get", "main.py:28 in wait_for_news", "services.py:22 in charge_card")[n % 3])
        for n in range(min(tasks, 200))
    ]  # fmt: skip
    routes = [
        route("POST /orders/{order}/payment", held_s=9.3, stalls=30, p50_s=0.302, p99_s=0.341, max_s=0.52, count=31),
        route("GET /addresses/{address}", held_s=5.6, stalls=2, p50_s=0.0021, p99_s=2.84, max_s=2.9, count=4120),
        route("GET /items/{item_id}/stock", held_s=1.26, stalls=3, p50_s=0.4, p99_s=0.43, max_s=0.43, count=3),
        route("GET /items/{item_id}", held_s=0.0, stalls=0, p50_s=0.0011, p99_s=0.0093, max_s=0.31, count=182_311),
        route("GET /", held_s=0.0, stalls=0, p50_s=0.0009, p99_s=0.0071, max_s=0.3, count=20_040),
    ]
    pool = {"name": "thread", "kind": "thread", "queued": max(0, int(wave * 6)), "running": 4, "rejected": 3,
            "calls": 4120, "wait_mean_s": 0.021, "wait_p50_s": 0.02, "wait_p99_s": 0.2,
            "wait_max_s": 0.21, "run_mean_s": 0.05, "run_p50_s": 0.05, "run_p99_s": 0.4, "run_max_s": 0.5}  # fmt: skip
    return snapshot(
        number, uptime_s=723.0 + tick, loops=[loop(number, lag_p50_s=0.0004, lag_p99_s=0.0042, lag_max_s=2.84,
                                                   recent_utilisation=0.42 + 0.2 * wave)],
        requests={"total": 206_505, "per_s": 602.0 + 80 * wave, "in_flight": 16, "p50_s": 0.0011, "p99_s": 0.0093},
        routes=routes, tasks={"total": tasks, "shown": shown},
        executors=[pool, pool | {"name": "process", "kind": "process", "queued": 0, "running": 1, "rejected": 0}],
    )  # fmt: skip


def opening(stalls: int = 6) -> list[Message]:
    """What a late joiner gets."""
    greeting = hello(addresses=ADDRESSES, started_at=iso(time.time() - 723), app="shop.main:app")
    past = [stall_of(n, at_s=time.time() - 4.0 - 9 * n) for n in range(min(stalls, 100))]
    return [greeting, worker(0), worker(1), groups(*range(stalls)), *past, past_of(0), past_of(1),
            call(), call("requests.get", place("recv", "ask_warehouse"), duration_s=0.4, id="c2"),
            call("open", place("socketpair()", "ask_warehouse"), duration_s=0.0002, id="c3")]  # fmt: skip


def main() -> None:
    stalls, tasks = (int(word) for word in (*sys.argv[2:], "6", "40")[:2])
    began_s = time.monotonic()
    with FakeFeed(sys.argv[1], opening(stalls)) as feed:
        for tick in range(1 << 30):
            passed_s = time.monotonic() - began_s
            hung_s = passed_s % 10 - 6
            lag_s = 0.0004 + 0.0006 * abs(math.sin(tick))
            feed.send(state(0, lag_s=lag_s), blocked(1, hung_s) if 0 < hung_s < 3 else state(1, lag_s=lag_s))
            if tick % 4 == 0:
                feed.send(figures_of(0, passed_s, tasks), figures_of(1, passed_s, tasks))
            if tick % 40 == 37:
                feed.send(stall_of(1, id=f"live-{tick}", duration_s=3.0, at_s=time.time() - 3.1))
            time.sleep(0.25)


if __name__ == "__main__":
    main()
