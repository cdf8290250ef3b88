"""One application, five ways to run it: what a client sees is the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervisor.running import PATIENCE_S, Load, wait_until

APP = """
import json, os, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["started"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    more = scope["type"] == "http"
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/block":
        time.sleep(0.4)
    seen = {
        "path": scope["path"], "query": scope["query_string"].decode(), "scheme": scope["scheme"],
        "client": scope["client"][0] if scope["client"] else None, "state": scope["state"].get("started"),
        "body": body.decode(), "pid": os.getpid(),
    }
    answer = json.dumps(seen).encode()
    head = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})
"""
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
ACTIVATE = shutil.which("systemd-socket-activate")
NGINX_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream app {{ server unix:{folder}/app.sock; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_pass http://app;
        }}
    }}
}}
"""
LOOPHOUND = [sys.executable, "-m", "loophound", "serve", "main:app"]
DETECT = ["--detect-blocking=100"]


def commands(way: str, folder: Path, port: int) -> list[list[str]]:
    """What is to be started; the last one is stopped first."""
    match way:
        case "alone":
            return [[*LOOPHOUND, f"--port={port}", *DETECT]]
        case "workers":
            return [[*LOOPHOUND, f"--port={port}", "--workers=2", *DETECT]]
        case "gunicorn":
            words = ["-k", "loophound.gunicorn.Worker", "main:app", "--workers=2", f"--bind=127.0.0.1:{port}"]
            words += ["--env=LOOPHOUND_DETECT_BLOCKING=100", "--access-logfile=-", "--no-control-socket"]
            return [[sys.executable, "-m", "gunicorn", *words]]
        case "nginx":
            assert NGINX is not None, "install nginx"
            conf = folder / "nginx.conf"
            conf.write_text(NGINX_CONF.format(folder=folder, port=port))
            server = [*LOOPHOUND, f"--uds={folder}/app.sock", "--workers=2", "--forwarded-allow-ips=unix", *DETECT]
            return [server, [NGINX, "-c", str(conf), "-p", str(folder)]]
        case _:
            assert ACTIVATE is not None, "install systemd"
            return [[ACTIVATE, f"--listen=127.0.0.1:{port}", f"--setenv=PYTHONPATH={os.getcwd()}", *LOOPHOUND, *DETECT]]


class Deployed:
    def __init__(self, way: str, folder: Path) -> None:
        self.way = way
        (folder / "main.py").write_text(APP)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = (folder / "log").open("w+")
        self.processes = [
            subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log, env=_environment())
            for command in commands(way, folder, self.port)
        ]
        wait_until(self._answers, f"{way} answers")

    def _answers(self) -> bool:
        assert all(process.poll() is None for process in self.processes), self.text
        try:
            return b" 200 " in self.ask(b"GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        except OSError:
            return False

    def ask(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.settimeout(PATIENCE_S)
            sock.sendall(request)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def get(self, target: str, *, body: str = "") -> dict[str, object]:
        head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        found: dict[str, object] = json.loads(self.ask((head + body).encode()).partition(b"\r\n\r\n")[2])
        return found

    @property
    def text(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text()

    def close(self) -> list[int]:
        codes = []
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            codes.append(process.wait(PATIENCE_S))
        self.log.close()
        return codes


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONDONTWRITEBYTECODE": "1"}


MISSING = {
    "nginx": NGINX is None and not os.environ.get("CI") and "nginx is not installed",
    "activation": ACTIVATE is None and "systemd-socket-activate is not installed",
}


@pytest.fixture(params=["alone", "workers", "gunicorn", "nginx", "activation"])
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployed]:
    if why := MISSING.get(request.param):
        pytest.skip(why)
    made = Deployed(request.param, tmp_path)
    yield made
    made.close()


@pytest.mark.once
def test_the_same_application_any_way(deployed: Deployed) -> None:
    seen = deployed.get("/basket?all=1", body="x" * 1000)
    assert (seen["path"], seen["query"], seen["scheme"]) == ("/basket", "all=1", "http")
    assert (seen["client"], seen["state"], seen["body"]) == ("127.0.0.1", True, "x" * 1000)
    with Load(deployed.port, 4) as load:
        wait_until(lambda: load.answers.total() > 300)
    assert load.errors == []
    many = {deployed.get("/")["pid"] for _ in range(30)}
    assert len(many) in ((1,) if deployed.way in ("alone", "activation") else (1, 2))
    # The detector names the line, whoever has started it.
    line = next(number for number, text in enumerate(APP.splitlines(), 1) if "sleep" in text)
    deployed.get("/block")
    wait_until(lambda: re.search(rf"main\.py:{line} in app", deployed.text), "the culprit is named")
    assert set(deployed.close()) == {0}


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, app: str = APP) -> subprocess.Popen[str]:
        (tmp_path / "main.py").write_text(app)
        command = [sys.executable, "-m", "gunicorn", "-k", "loophound.gunicorn.Worker", "main:app", "-b", "127.0.0.1:0"]
        started.append(
            subprocess.Popen(
                [*command, "--no-control-socket", *words],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=_environment(),
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        assert process.stdout is not None
        process.stdout.close()
        process.wait()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    seen = ""
    while not re.search(pattern, seen):
        line = process.stdout.readline()
        assert line, f"{pattern!r} did not come:\n{seen}"
        seen += line
    return seen


@pytest.mark.once
def test_gunicorn_and_its_time_out(gunicorn: Callable[..., subprocess.Popen[str]]) -> None:
    process = gunicorn("--timeout=3", "--graceful-timeout=5", app=APP.replace("sleep(0.4)", "sleep(60)"))
    seen = read_until(process, r"Loophound running on http://127\.0\.0\.1:\d+")
    port = int(seen.rpartition(":")[2].split()[0])
    time.sleep(2)  # the hang watch is loaded after the start
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
        seen = read_until(process, "Booting worker")
    assert "WORKER TIMEOUT" in seen
    assert "The event loop hung in:" in seen
    assert 'main.py", line' in seen
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


@pytest.mark.once
def test_gunicorn_replaces_after_so_many_requests(gunicorn: Callable[..., subprocess.Popen[str]]) -> None:
    process = gunicorn("--max-requests=20", "--keep-alive=1")
    seen = read_until(process, r"Loophound running on http://127\.0\.0\.1:\d+")
    with Load(int(seen.rpartition(":")[2].split()[0]), 1, pause_s=0.01):
        read_until(process, "Autorestarting worker after 20 requests")
        read_until(process, "Booting worker")


@pytest.mark.once
def test_gunicorn_stops_when_the_application_cannot_start(gunicorn: Callable[..., subprocess.Popen[str]]) -> None:
    fails = APP.replace('await send({"type": "lifespan.startup.complete"})', 'raise ValueError("no database")')
    process = gunicorn("--env=LOOPHOUND_LIFESPAN=on", app=fails)
    read_until(process, "the application failed to start: ValueError: no database")
    assert process.wait(PATIENCE_S) == 3
