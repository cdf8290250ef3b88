"""The server inside a program that has a loop of its own, and what programs of uvicorn's users rely on."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import loophound
from loophound.config import Config
from loophound.errors import ConfigError, StartupError
from loophound.server import Server
from loophound.server.server import loop_factory
from tests.server import apps
from tests.server.wire import PATIENCE_S, Client, Running, wait_until

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def serving(server: Server) -> asyncio.Task[None]:
    """The server's task, once it has started."""
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    return task


async def ask(port: int, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def test_in_a_running_loop() -> None:
    async def main() -> None:
        server = Server(Config(apps.hello, port=0, access_log=False))
        task = await serving(server)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert b"hello" in await ask(port)
        assert not server.should_exit
        server.should_exit = True
        await task

    asyncio.run(main())


def test_force_exit_does_not_wait_for_requests() -> None:
    async def main() -> None:
        witness = apps.Witness()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await witness.until_go()

        server = Server(Config(app, port=0, access_log=False, lifespan="off", timeout_graceful_shutdown=None))
        task = await serving(server)
        asking = asyncio.create_task(ask(server.servers[0].sockets[0].getsockname()[1]))
        while not witness.at_work.is_set():
            await asyncio.sleep(0.005)
        server.force_exit = True
        assert server.should_exit
        await asyncio.wait_for(task, PATIENCE_S)
        assert b" 503 " in await asking

    asyncio.run(main())


def test_sockets_of_the_program(serve: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        server = Server(Config(apps.hello, access_log=False, limit_max_requests=1, log_level="critical"))

        async def main() -> bytes:
            task = asyncio.create_task(server.serve(sockets=[own]))
            while not server.started:
                await asyncio.sleep(0.005)
            answer = await ask(port)
            await task
            return answer

        assert b"hello" in asyncio.run(main())


def test_several_addresses(serve: Callable[..., Running], tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        addresses = ("127.0.0.1:0", f"unix:{path}", f"fd://{inherited.fileno()}")
        running = serve(apps.show_scope, port=8000, bind=addresses)
        ports = [running.port, inherited.getsockname()[1]]
        for port in ports:
            client = Client(socket.create_connection(("127.0.0.1", port)))
            assert json.loads(client.get().response().body)["server"] == ["127.0.0.1", port]
            client.close()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            scope = json.loads(Client(sock).get().response().body)
            assert (scope["server"], scope["client"]) == ([str(path), None], None)
    running.stop()
    assert not path.exists()


def test_of_several_addresses_none_is_left_when_one_cannot_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(Config(apps.hello, bind=(f"unix:{tmp_path}/s", f"127.0.0.1:{port}")))
        with pytest.raises(StartupError, match=rf"127.0.0.1:{port}: the address is in use; choose another --bind"):
            asyncio.run(server.serve())
    assert not (tmp_path / "s").exists()


async def show_variable(scope: Any, receive: Any, send: Any) -> None:
    seen = variable.get("unset")
    variable.set(scope["path"])
    await apps.whole_body(receive)
    await apps.respond(send, seen.encode())


@pytest.mark.parametrize(("reset", "seen"), [(False, b"outside"), (True, b"unset")])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_context_variables(loop: str, reset: bool, seen: bytes) -> None:
    """A body that makes reading pause, so that it is the first request which lets it go on."""

    async def main() -> list[bytes]:
        variable.set("outside")
        server = Server(Config(show_variable, port=0, access_log=False, lifespan="off", reset_contextvars=reset))
        task = await serving(server)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        answers = []
        for size in (2_000_000, 0, 0):
            writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            answers.append(await reader.readexactly(int(length[1])))
        writer.close()
        server.should_exit = True
        await task
        return answers

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        assert runner.run(main()) == [seen] * 3


def test_the_jitter_of_a_limit(serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("random.randint", lambda low, high: asked.append((low, high)) or 2)
    running = serve(apps.hello, limit_max_requests=1, limit_max_requests_jitter=5)
    for _ in range(3):
        assert running.get().status == 200
    assert asked == [(0, 5)]
    wait_until(lambda: not running.thread.is_alive())


def test_a_loop_of_ones_own() -> None:
    assert loop_factory("asyncio:new_event_loop") is asyncio.new_event_loop
    with pytest.raises(StartupError, match="cannot import 'no_such:loop'"):
        loop_factory("no_such:loop")
    with pytest.raises(StartupError, match="a function that makes an event loop is wanted"):
        loop_factory("os:sep")


def test_an_unknown_option_is_told() -> None:
    with pytest.raises(ConfigError, match=r"run\(\) has no option 'prot': did you mean 'port'\?"):
        loophound.run(apps.hello, prot=80)
    with pytest.raises(ConfigError, match=r"docs/options.md lists them"):
        loophound.run(apps.hello, zzz=80)


def test_each_message_in_the_log(serve: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(5, "loophound.asgi"):
        running = serve(apps.hello, log_level="trace")
        running.get(b"/x")
        running.stop()
    lines = [record.getMessage() for record in caplog.records if record.name == "loophound.asgi"]
    lines = [line for line in lines if "lifespan" not in line]
    assert re.match(r"ASGI \[\d+\] started with .*'path': '/x'.*'headers': '<...>'", lines[0])
    assert "'status': 200, 'headers': '<...>'" in lines[1]
    assert "'body': '<5 bytes>'" in lines[2]
    assert "completed" in lines[3]


def program(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "main.py").write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, "main.py", *words], cwd=folder, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_a_module_that_runs_a_loop_while_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import asyncio, loophound\n"
        "async def make():\n"
        "    async def app(scope, receive, send):\n"
        "        asyncio.get_running_loop().call_soon(__import__('main').server.stop)\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
        "    return app\n"
        "app = asyncio.run(make())\n"
    )
    code = """\
    import loophound, sys
    sys.modules["main"] = sys.modules["__main__"]
    server = loophound.Server(loophound.Config("shop:app", port=0, lifespan="on"))
    server.run()
    """
    assert "Shutting down" in program(tmp_path, code).stderr


def test_the_log_as_json(tmp_path: Path) -> None:
    code = """\
    import asyncio, loophound
    async def app(scope, receive, send):
        raise ValueError("no")
    async def main():
        server = loophound.Server(loophound.Config(app, port=0, lifespan="off", log_format="json"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        writer.write(b"GET /x HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        await reader.read()
        server.should_exit = True
        await task
    asyncio.run(main())
    """
    done = program(tmp_path, code)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info", "error", "info"]
    assert lines[1]["logger"] == "loophound.server"
    assert "ValueError: no" in lines[1]["exception"]
    [access] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (access["status"], access["target"]) == (500, "/x")
