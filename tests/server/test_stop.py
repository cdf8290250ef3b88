"""Start, lifespan and stop, of real servers and of real processes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server import Server
from loophound.server.hooks import current_scope
from tests.server import apps
from tests.server.wire import PATIENCE_S, start, wait_until


class Life:
    """An application with a lifespan that can be told to fail."""

    def __init__(self, startup: Any = None, shutdown: Any = None) -> None:
        self.startup = startup or {"type": "lifespan.startup.complete"}
        self.shutdown = shutdown or {"type": "lifespan.shutdown.complete"}
        self.saw: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.saw.append(dict(scope["state"]))
            scope["state"]["mine"] = 1
            await apps.respond(send)
            return
        for message in (self.startup, self.shutdown):
            self.saw.append((await receive())["type"])
            scope["state"]["db"] = "open"
            if isinstance(message, BaseException):
                raise message
            await send(message)


def test_lifespan_and_its_state(serve: Any) -> None:
    life = Life()
    running = serve(life, lifespan="on")
    running.get()
    running.get()
    running.stop()
    # The state is copied for each request: what one writes, the next does not see.
    assert life.saw == ["lifespan.startup", {"db": "open"}, {"db": "open"}, "lifespan.shutdown"]


def test_lifespan_off(serve: Any) -> None:
    life = Life()
    assert serve(life, lifespan="off").get().status == 200
    assert life.saw == [{}]


@pytest.mark.parametrize(
    ("startup", "text"),
    [
        ({"type": "lifespan.startup.failed", "message": "no database"}, "failed to start: no database"),
        ({"type": "lifespan.startup.failed"}, "failed to start"),
        (ValueError("boom"), "ValueError: boom"),
        (SystemExit(4), r"SystemExit\(4\)"),
        ({"type": "lifespan.startup.done"}, "'lifespan.startup.done' was sent while the lifespan was starting"),
    ],
)
def test_failed_startup(startup: Any, text: str) -> None:
    with pytest.raises(StartupError, match=text):
        start(Life(startup), "asyncio", lifespan="on")


def test_failed_startup_logs_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "see the log"})
        raise ValueError("the cause")

    with pytest.raises(StartupError, match="see the log"):
        start(app, "asyncio")
    assert "ValueError: the cause" in caplog.text


def test_lifespan_on_wants_one() -> None:
    with pytest.raises(StartupError, match="AssertionError"):
        start(apps.hello, "asyncio", lifespan="on")


@pytest.mark.parametrize("shutdown", [{"type": "lifespan.shutdown.failed", "message": "leak"}, ValueError("leak")])
def test_failed_shutdown_is_logged(serve: Any, caplog: pytest.LogCaptureFixture, shutdown: Any) -> None:
    serve(Life(shutdown=shutdown)).stop()
    assert "leak" in caplog.text


def test_stop_closes_idle_connections_and_the_listener(serve: Any) -> None:
    running = serve(apps.hello)
    address = ("127.0.0.1", running.port)
    silent, idle = running.connect(), running.connect()
    assert idle.get().response().status == 200
    running.server.should_exit = True
    assert silent.closed()
    assert idle.closed()
    running.thread.join(PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_stop_lets_requests_and_background_work_end(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    witness = apps.Witness()
    caplog.set_level(logging.INFO)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/after":
            await apps.respond(send)
        witness.saw.append(scope["path"])
        await witness.until_go()
        if scope["path"] == "/before":
            await apps.respond(send)
        witness.saw.append("done")

    running = serve(app, timeout_graceful_shutdown=PATIENCE_S)
    after, before = running.connect().get(b"/after"), running.connect().get(b"/before")
    assert after.response().status == 200
    after.close()  # its work goes on, although the connection has gone
    wait_until(lambda: len(witness.saw) == 2)
    running.server.should_exit = True
    wait_until(lambda: "Waiting for 2 requests" in caplog.text)
    witness.go.set()
    response = before.response()
    assert (response.status, response.header("connection")) == (200, "close")
    assert before.closed()
    running.thread.join(PATIENCE_S)
    assert witness.saw.count("done") == 2


def test_stop_tells_endless_streams_and_leaves_finite_ones(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        headers = [(b"content-length", b"2")] if scope["path"] == "/finite" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if headers:
            await witness.until_go()
        else:
            assert (await receive())["type"] == "http.request"
            assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"b"})

    running = serve(app, timeout_graceful_shutdown=PATIENCE_S)
    endless, finite = running.connect().get(), running.connect().get(b"/finite")
    endless.read_until(b"a\r\n")
    finite.read_until(b"\r\n\r\na")
    running.server.should_exit = True
    assert endless.rest() == b"1\r\nb\r\n0\r\n\r\n"
    witness.go.set()
    assert finite.rest() == b"b"


def test_a_stream_that_returns_when_told_is_no_error(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    running = serve(app, timeout_graceful_shutdown=PATIENCE_S)
    client = running.connect().get()
    client.read_until(b"a\r\n")
    running.server.should_exit = True
    assert client.rest() == b""  # no last chunk: the client can tell that there was more to come
    assert "ERROR" not in caplog.text


def test_stop_cancels_what_outlasts_the_grace(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    witness = apps.Witness()
    caplog.set_level(logging.INFO)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await witness.until_go()

    running = serve(app, timeout_graceful_shutdown=0.05)
    client = running.connect().get()
    assert witness.at_work.wait(5)
    running.server.should_exit = True
    assert client.response().status == 503
    running.thread.join(PATIENCE_S)
    assert "1 requests did not end within 0.05 seconds: cancelled" in caplog.text


def test_collector_settings_are_put_back(serve: Any) -> None:
    before = gc.get_threshold()
    first, second = serve(apps.hello), serve(apps.hello)
    first.stop()
    assert gc.get_threshold() != before
    assert gc.get_freeze_count() > 0
    second.stop()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


class Watcher:
    """Hooks that remember; `exchanges` is asked from the test's thread."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[str] = []
        self.served: Any = None

    def loop_starting(self, loop: Any) -> None:
        self.calls.append("starting")

    def loop_started(self, loop: Any, served: Any) -> None:
        self.calls.append("started")
        self.exchanges = served.exchanges
        if self.error:
            raise self.error

    def each_exchange(self) -> list[Any]:
        return list(dict.fromkeys(self.exchanges()))

    def loop_stopping(self, loop: Any) -> None:
        self.calls.append("stopping")


def test_hooks_name_the_requests(serve: Any) -> None:
    witness = apps.Witness()
    watcher = Watcher()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        witness.saw.append(scope)
        if scope["path"] == "/wait":
            await witness.until_go()
        await apps.respond(send)

    running = serve(app, hooks=watcher)
    client = running.connect()
    assert client.get(b"/first").response().status == 200
    last = watcher.each_exchange()[0]
    assert last.scope["path"] == "/first"
    wait_until(lambda: last.ended_ns)
    assert 0 < last.began_ns <= last.ended_ns
    client.get(b"/wait").get(b"/queued")
    assert witness.at_work.wait(5)
    wait_until(lambda: any(exchange.scope["path"] == "/queued" for exchange in watcher.each_exchange()))
    current, queued = watcher.each_exchange()[:2]
    assert current.scope is witness.saw[1]
    assert current.coroutine_id == id(current.task.get_coro())
    assert current.ended_ns == 0
    assert (queued.scope["path"], queued.task, queued.coroutine_id) == ("/queued", None, 0)
    witness.go.set()
    assert client.response().status == 200
    running.stop()
    assert watcher.calls == ["starting", "started", "stopping"]


def test_a_hook_that_raises_is_unplugged(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    watcher = Watcher(ValueError("bad hook"))
    running = serve(apps.hello, hooks=watcher)
    assert running.get().status == 200
    running.stop()
    assert watcher.calls == ["starting", "started"]
    assert "bad hook" in caplog.text


def test_hooks_hear_of_a_server_that_cannot_start() -> None:
    watcher = Watcher()
    with pytest.raises(StartupError):
        start("nowhere", "asyncio", hooks=watcher)
    assert watcher.calls == ["starting", "stopping"]


def test_without_hooks_no_exchange_is_set(serve: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        seen.append(current_scope.get(None))
        await apps.respond(send)

    serve(app).get()
    assert seen == [None]


def test_signal_handlers_are_put_back_in_a_running_loop_and_told() -> None:
    came: list[int] = []

    async def main() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        server = Server(Config(app=apps.hello, port=0, access_log=False))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        assert signal.getsignal(signal.SIGTERM) is not before[1]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, PATIENCE_S)
        assert server.should_exit
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    own = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, own)
    assert came == [signal.SIGTERM]


def test_given_sockets_are_served() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server = Server(Config(app=apps.hello, access_log=False))
            serving = asyncio.create_task(server.serve([sock]))
            while not server.started:
                await asyncio.sleep(0.001)
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"hello")
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(main())


PROGRAM = """
import asyncio, sys, time
from loophound.config import Config
from loophound.server import Server

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/hang":
        print("at work", flush=True)
        try:
            await asyncio.sleep(60)
        finally:
            print("cancelled", flush=True)
    if scope["path"] == "/block":
        print("at work", flush=True)
        time.sleep(60)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})

Server(Config(app=app, port=0, loop=sys.argv[1])).run()
print("end", flush=True)
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, tmp_path: Path, loop: str) -> None:
        program = tmp_path / "program.py"
        program.write_text(textwrap.dedent(PROGRAM))
        self.process = subprocess.Popen(
            [sys.executable, str(program), loop], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.fullmatch(
            r"INFO:     Loophound running on http://127\.0\.0\.1:(\d+) \(Press CTRL\+C to quit\)\n", line
        )
        assert found, line
        # No waiting: whoever reads the line can connect.
        self.sock = socket.create_connection(("127.0.0.1", int(found[1])))
        self.sock.settimeout(PATIENCE_S)

    def get(self, path: str) -> None:
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def read_until(self, stream: IO[str] | None, text: str) -> None:
        assert stream is not None
        while text not in (line := stream.readline()):
            assert line, f"ended before {text!r}"

    def end(self) -> tuple[str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        self.sock.close()
        return out, err


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_stops_on_signals_and_writes_its_access_log(tmp_path: Path, loop: str, number: int) -> None:
    process = Process(tmp_path, loop)
    process.get("/x?y=1")
    assert process.sock.recv(65536).endswith(b"hello")
    process.process.send_signal(number)
    out, _ = process.end()
    assert process.process.returncode == 0
    assert re.fullmatch(r'INFO:     127\.0\.0\.1:\d+ - "GET /x\?y=1 HTTP/1\.1" 200 OK \d+\.\dms\nend\n', out), out


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_second_signal_ends_at_once(tmp_path: Path, loop: str) -> None:
    process = Process(tmp_path, loop)
    process.get("/hang")
    process.read_until(process.process.stdout, "at work")
    process.process.send_signal(signal.SIGTERM)
    process.read_until(process.process.stderr, "Waiting for 1 requests")
    process.process.send_signal(signal.SIGTERM)
    out, err = process.end()
    assert out.startswith("cancelled\n")
    assert out.endswith("end\n")
    assert "did not end at once: cancelled" in err


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_third_signal_ends_a_blocked_process(tmp_path: Path, loop: str) -> None:
    process = Process(tmp_path, loop)
    process.get("/block")
    process.read_until(process.process.stdout, "at work")
    for _ in range(3):
        process.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # signals of one kind merge until they are handled
            process.process.wait(0.1)
    process.end()
    assert process.process.returncode == -signal.SIGTERM
