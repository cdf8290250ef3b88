from __future__ import annotations

import asyncio
import hashlib
import importlib
import logging
import multiprocessing
import os
import socket
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import anyio
import httpx
import pytest
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from loophound import BlockingCall, BlockingCallError, BlockingCallMiddleware, OffloadMiddleware, allow_blocking
from loophound.calls.patching import patches
from loophound.errors import ConfigError
from tests.calls.apps import application, ask, flagged

with warnings.catch_warnings():  # newer versions of Starlette would rather have httpx2
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

# A process with all the tests in it has far more objects to go through than an application.
pytestmark = pytest.mark.allow_blocking(reason="stand-ins are put around calls, and taken away again, while loops run")
SHORT_S = 0.005


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    real = (time.sleep, open, os.stat, socket.socket.__dict__.get("recv"), threading.Event.wait)
    yield
    assert not patches.users
    assert (time.sleep, open, os.stat, socket.socket.__dict__.get("recv"), threading.Event.wait) == real
    assert type(time.sleep) is type(len)


async def sleeps() -> None:
    time.sleep(SHORT_S)


def test_the_record() -> None:
    [call] = flagged(sleeps)
    assert (call.call, call.cause, call.target) == ("time.sleep", "sleep", "0.005 s")
    assert call.caller is not None
    assert (call.caller.file, call.caller.line) == (__file__, sleeps.__code__.co_firstlineno + 1)
    assert (call.caller.function, call.caller.code) == ("sleeps", "time.sleep(SHORT_S)")
    assert call.duration_s is not None
    assert call.duration_s >= SHORT_S
    assert call.request is not None
    assert (call.request.method, call.request.path, call.request.client) == ("GET", "/", "1.2.3.4:5")
    assert call.task is not None
    assert call.remedy == "write `await asyncio.sleep(...)`"
    assert [frame.function for frame in call.stack if frame.app][-2:] == ["application.<locals>.app", "sleeps"] or [
        frame.function for frame in call.stack if frame.app
    ][-2:] == ["app", "sleeps"]
    assert not any("observing" in frame.file for frame in call.stack)
    assert BlockingCall.from_dict(call.to_dict()) == call


def test_quick_calls_are_silent_by_default() -> None:
    async def quick() -> None:
        os.stat(__file__)
        time.sleep(0)

    assert flagged(quick, minimum_ms=50) == []


def test_a_minimum_lets_long_calls_pass_through_to_the_flag() -> None:
    assert [call.call for call in flagged(sleeps, minimum_ms=1)] == ["time.sleep"]


def test_a_task_that_the_request_starts_belongs_to_it() -> None:
    async def parent() -> None:
        await asyncio.create_task(sleeps(), name="child")

    [call] = flagged(parent)
    assert call.task is not None
    assert call.task.name == "child"
    assert call.request is not None


def test_other_threads_are_left_alone() -> None:
    async def threads() -> None:
        await asyncio.to_thread(time.sleep, SHORT_S)

    assert flagged(threads) == []


def test_outside_of_a_request_nothing_is_flagged() -> None:
    seen: list[BlockingCall] = []

    async def main() -> None:
        app = BlockingCallMiddleware(application(sleeps), callback=seen.append, minimum_ms=0)
        await ask(app)
        time.sleep(SHORT_S)
        await app.aclose()

    asyncio.run(main())
    assert len(seen) == 1


def test_the_outermost_call_counts() -> None:
    async def reads() -> None:
        Path(__file__).read_text()

    assert [call.call for call in flagged(reads)] == ["pathlib.Path.read_text"]


def test_a_call_that_raises_is_flagged_and_its_exception_is_the_users() -> None:
    async def misses() -> None:
        with pytest.raises(FileNotFoundError):
            open("/there/is/no/such/file")  # noqa: SIM115

    assert [call.call for call in flagged(misses)] == ["open"]


def test_calls_that_look_like_others() -> None:
    database = sqlite3.connect(":memory:")
    between, held = multiprocessing.Lock(), multiprocessing.Lock()
    held.acquire()

    async def several() -> None:
        with database:  # commits at its end
            pass
        hashlib.new("sha256", bytes(2 << 20))
        hashlib.new("sha256", b"small")
        with between:
            pass
        held.acquire(timeout=0.01)

    names = [call.call for call in flagged(several)]
    database.close()
    assert names == ["sqlite3.Connection.commit", "hashlib.new", "multiprocessing.Lock.acquire"]


def test_imports_of_the_application_and_not_those_of_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lazy_a", "lazy_b", "lazy_c"):
        (tmp_path / f"{name}.py").touch()
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "lazy_library.py").write_text("def connect():\n    import lazy_c\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(library)
    connect = importlib.import_module("lazy_library").connect

    async def imports() -> None:
        import lazy_a  # type: ignore[import-not-found] # noqa: F401

        importlib.import_module("lazy_b")
        connect()

    assert [(call.call, call.target) for call in flagged(imports)] == [("import", "lazy_a"), ("import", "lazy_b")]


def test_a_side_loop_is_there_to_be_blocked() -> None:
    seen: list[BlockingCall] = []

    async def main() -> None:
        inner = BlockingCallMiddleware(application(sleeps), action="callback", callback=seen.append, minimum_ms=0)
        app = OffloadMiddleware(inner, rules=["/"])
        outer = BlockingCallMiddleware(app, action="callback", callback=seen.append, minimum_ms=0)
        await ask(outer)
        await inner.aclose()
        await outer.aclose()
        await app.aclose()

    asyncio.run(main())
    assert seen == []


# Actions


def test_raise_comes_before_the_call() -> None:
    ran: list[str] = []

    async def refused() -> None:
        began = time.monotonic()
        with pytest.raises(
            BlockingCallError, match=r"time.sleep\(\) would block the event loop, at test_middleware.py"
        ):
            time.sleep(3600)
        ran.append("on" if time.monotonic() - began < 3600 else "late")

    [call] = flagged(refused, action="raise")
    assert ran == ["on"]
    assert call.duration_s is None


def test_raise_lets_what_does_not_wait_pass() -> None:
    async def innocent() -> None:
        lock = threading.Lock()
        with lock:
            lock.acquire(blocking=False)
        time.sleep(0)
        await asyncio.to_thread(time.sleep, SHORT_S)

    assert flagged(innocent, action="raise") == []


def test_the_header_tells_time_and_number() -> None:
    async def main() -> list[Any]:
        async def twice() -> None:
            time.sleep(SHORT_S)
            time.sleep(SHORT_S)

        app = BlockingCallMiddleware(application(twice), action="header")
        try:
            return await ask(app)
        finally:
            await app.aclose()

    [(name, value)] = asyncio.run(main())[0]["headers"]
    assert name == b"server-timing"
    kind, duration, description = value.decode().split(";")
    assert (kind, description) == ("blocking", 'desc="2 calls"')
    assert float(duration.removeprefix("dur=")) >= 2 * SHORT_S * 1000


def test_the_log_has_a_line_and_counts_repeats(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "loophound.calls"):
        flagged(sleeps, requests=5, action="log", callback=None, minimum_ms=1)
    lines = [record.getMessage() for record in caplog.records if record.name == "loophound.calls"]
    assert len(lines) == 3
    assert lines[0].startswith("CALL time.sleep (0.005 s) · ")
    assert "test_middleware.py" in lines[0]
    assert "GET /" in lines[0]
    assert lines[2].endswith("4 times by now")


def test_a_callback_that_raises_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    def bad(call: BlockingCall) -> None:
        raise RuntimeError("mine")

    assert flagged(sleeps, callback=bad) == []
    assert "bad failed: RuntimeError: mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"action": "shout"}, "action is one or several of log, raise, header, callback; got 'shout'"),
        ({"action": "callback"}, "wants a callback"),
        ({"action": ()}, "action is one or several"),
        ({"minimum_ms": -1}, "0 or more; got -1"),
        ({"allow": "app:load"}, "allow is a list"),
    ],
)
def test_options_that_cannot_be_right(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BlockingCallMiddleware(application(sleeps), **options)


# Allowances


def test_a_block_may_be_allowed() -> None:
    async def allowed() -> None:
        with allow_blocking("a test"):
            time.sleep(SHORT_S)
        time.sleep(SHORT_S)

    [call] = flagged(allowed)
    assert call.caller is not None
    assert call.caller.line == allowed.__code__.co_firstlineno + 3


@pytest.mark.parametrize(
    "allow",
    [["tests.calls.test_middleware:sleeps"], [{"code": "tests.calls.test_middleware", "reason": "a test"}]],
)
def test_code_may_be_allowed_by_its_name(allow: list[Any]) -> None:
    assert flagged(sleeps, allow=allow) == []


def test_the_projects_allowances_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.loophound]\nallow = [{ code = "tests.calls.test_middleware:sleeps", reason = "x" }]\n'
    )
    monkeypatch.chdir(tmp_path)
    assert flagged(sleeps) == []


def test_an_allowance_that_cannot_be_right() -> None:
    with pytest.raises(ConfigError, match="BlockingCallMiddleware, allow: code is"):
        BlockingCallMiddleware(application(sleeps), allow=["not a name"])


# Beginning and end


def test_it_works_under_trio() -> None:
    seen: list[BlockingCall] = []

    async def main() -> None:
        app = BlockingCallMiddleware(application(sleeps), action="callback", callback=seen.append, minimum_ms=0)
        await ask(app)
        await app.aclose()

    anyio.run(main, backend="trio")
    [call] = seen
    assert (call.call, call.task) == ("time.sleep", None)
    assert call.caller is not None
    assert call.caller.function == "sleeps"


def test_two_applications_and_a_nested_one() -> None:
    seen: dict[str, list[BlockingCall]] = {"inner": [], "outer": [], "other": []}

    def around(app: Any, name: str) -> BlockingCallMiddleware:
        return BlockingCallMiddleware(app, action="callback", callback=seen[name].append, minimum_ms=0)

    async def main() -> None:
        inner = around(application(sleeps), "inner")
        outer = around(inner, "outer")
        other = around(application(sleeps), "other")
        await ask(outer)
        await ask(other)
        await outer.aclose()
        assert patches.users  # the others still use it
        await ask(other)
        await other.aclose()
        await inner.aclose()

    asyncio.run(main())
    assert {name: len(calls) for name, calls in seen.items()} == {"inner": 1, "outer": 1, "other": 2}


def test_the_object_takes_its_eyes_along() -> None:
    app = BlockingCallMiddleware(application(sleeps))
    asyncio.run(ask(app))
    assert patches.users
    del app


def test_lifespan_begins_and_ends_it() -> None:
    seen: list[BlockingCall] = []

    async def endpoint(request: Request) -> PlainTextResponse:
        sleep(SHORT_S)
        return PlainTextResponse("done")

    app = BlockingCallMiddleware(
        Starlette(routes=[Route("/x", endpoint)]), action=("callback", "header"), callback=seen.append
    )
    with TestClient(app) as client:
        response = client.get("/x")
    assert response.headers["server-timing"].startswith("blocking;dur=")
    assert [call.call for call in seen] == ["time.sleep"]
    assert not patches.users

    async def main() -> str:
        async with LifespanManager(app) as manager:
            transport = httpx.ASGITransport(app=manager.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return (await client.get("/x")).headers["server-timing"]

    assert "1 call" in asyncio.run(main())
    assert [call.call for call in seen] == ["time.sleep", "time.sleep"]


def test_a_start_that_is_given_up_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a server that waits so long for the lifespan and no longer."""
    app = BlockingCallMiddleware(Starlette())
    begun, given_up, over = threading.Event(), threading.Event(), threading.Event()
    start = app.flagger.start

    def start_slowly(root: Any) -> None:
        begun.set()
        given_up.wait(10)
        start(root)
        over.set()

    monkeypatch.setattr(app.flagger, "start", start_slowly)

    async def main() -> None:
        lifespan = asyncio.create_task(app({"type": "lifespan"}, nobody, nobody))
        await asyncio.to_thread(begun.wait)
        lifespan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lifespan
        given_up.set()
        await asyncio.to_thread(over.wait)

    async def nobody(*_: Any) -> Any:
        raise AssertionError

    asyncio.run(main())
    deadline_s = time.monotonic() + 10
    while patches.users and time.monotonic() < deadline_s:
        sleep(SHORT_S)
    assert not patches.users


def test_as_middleware_of_starlette() -> None:
    seen: list[BlockingCall] = []

    async def endpoint(request: Request) -> PlainTextResponse:
        sleep(SHORT_S)
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/x/{id}", endpoint)])
    app.add_middleware(BlockingCallMiddleware, action="callback", callback=seen.append)
    with TestClient(app) as client:
        client.get("/x/1")
    assert [call.call for call in seen] == ["time.sleep"]


def test_an_application_without_a_lifespan() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"  # raises for a lifespan, as applications without one do
        await application(sleeps)(scope, receive, send)

    with pytest.raises(AssertionError), TestClient(BlockingCallMiddleware(app)):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_left_alone() -> None:
    async def forks() -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                time.sleep(0.001)
                os.write(writing, b"ok")
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        assert os.read(reading, 2) == b"ok"

    if sys.version_info >= (3, 12):
        pytest.skip("Python warns of forks in processes with threads")
    assert [call.call for call in flagged(forks, minimum_ms=1)] == []
