"""Real workers: they serve, come and go, and no request is lost on the way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from loophound.supervisor import policy, vigil
from tests.supervisor.running import APP, Load, Supervised, children, command_line, wait_until

Start = Callable[..., Supervised]


@pytest.mark.parametrize("module", [policy, vigil])
def test_the_core_has_no_clock_and_no_process(module: ModuleType) -> None:
    assert module.__file__ is not None
    imported = set(re.findall(r"^(?:import|from) (\S+)", Path(module.__file__).read_text(), re.MULTILINE))
    pure = {"__future__", "collections.abc", "dataclasses", "enum", "logging", "math", "loophound.supervisor.facts"}
    assert imported - pure <= {"signal"}  # for the names of signals


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def serving(server: Supervised, count: int) -> None:
    """Wait until so many workers have begun to serve since the start."""
    server.wait_for(r"Worker \d+ serves", count)


def test_workers_serve_on_one_socket_and_end_together(supervised: Start) -> None:
    server = supervised("--workers=2")
    serving(server, 2)
    wait_until(lambda: len({server.get() for _ in range(20)}) == 2, "both workers answer")
    workers = server.workers()
    assert len(workers) == 2
    assert server.end() == 0
    assert "worker 1: Shutting down" in server.log
    assert server.log.endswith("All workers have ended\n")
    assert [pid for pid in workers if b"loophound" in command_line(pid)] == []


@pytest.mark.once
def test_the_environment_says_how_many(supervised: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    serving(supervised(), 2)


def test_replacing_all_loses_no_request(supervised: Start) -> None:
    server = supervised("--workers=2")
    serving(server, 2)
    before = server.workers()
    with Load(server.port, 6) as load, Load(server.port, 2, pause_s=0.02) as idle, Load(server.port, 1, "/sleep"):
        for turn in range(2):
            server.send(signal.SIGHUP)
            serving(server, 4 + 2 * turn)
        wait_until(lambda: len(server.workers()) == 2, "the old ones have left")
        count = load.answers.total()
        wait_until(lambda: load.answers.total() > count + 50)
    assert load.errors == idle.errors == []
    assert set(server.workers()).isdisjoint(before)
    assert "killed" not in server.log
    # They were given to the successors: no client had to connect again.
    assert (load.connections, idle.connections) == (6, 2)


def test_a_crashed_worker_is_started_again(supervised: Start) -> None:
    server = supervised("--workers=2")
    serving(server, 2)
    os.kill(server.workers()[0], signal.SIGKILL)
    serving(server, 3)
    assert "was killed by SIGKILL" in server.log
    assert len(server.workers()) == 2


@pytest.mark.once
def test_more_and_fewer(supervised: Start) -> None:
    server = supervised("--workers=1")
    serving(server, 1)
    server.send(signal.SIGTTIN)
    serving(server, 2)
    server.send(signal.SIGTTOU)
    wait_until(lambda: len(server.workers()) == 1)
    server.send(signal.SIGTTOU)
    server.wait_for("1 workers it stays")
    assert server.get()


@pytest.mark.once
def test_workers_are_replaced_after_so_many_requests(supervised: Start) -> None:
    server = supervised("--workers=1", "--limit-max-requests=20", "--limit-max-requests-jitter=5")
    serving(server, 1)
    with Load(server.port, 2, pause_s=0.005) as load:
        serving(server, 3)
    assert load.errors == []
    assert "requests, as --limit-max-requests says" in server.log


@pytest.mark.once
def test_a_worker_that_eats_memory_is_replaced(supervised: Start) -> None:
    server = supervised("--workers=1", "--max-worker-memory=150")
    serving(server, 1)
    first = server.get()
    server.get("/eat")
    server.get("/eat")
    serving(server, 2)
    assert "and --max-worker-memory allows 150" in server.log
    assert server.get() != first


@pytest.mark.once
def test_sigterm_to_a_worker_replaces_it(supervised: Start) -> None:
    server = supervised("--workers=1")
    serving(server, 1)
    with Load(server.port, 2, pause_s=0.005) as load:
        os.kill(server.workers()[0], signal.SIGTERM)
        serving(server, 2)
    assert load.errors == []


def test_a_second_signal_ends_at_once(supervised: Start) -> None:
    server = supervised("--workers=2", app=APP.replace("sleep(1)", "sleep(60)"))
    serving(server, 2)
    with server.send_and_leave("/sleep"):
        time.sleep(0.3)
        server.send(signal.SIGTERM)
        server.wait_for("Waiting for 1 requests")
        assert server.end() == 0
    assert "did not end at once: cancelled" in server.log


def test_workers_end_with_a_supervisor_that_is_killed(supervised: Start) -> None:
    server = supervised("--workers=2")
    serving(server, 2)
    workers = server.workers()
    with server.send_and_leave("/regex"):
        time.sleep(0.3)  # one of them holds its GIL, and runs no handler of ours
        server.end(signal.SIGKILL)
        wait_until(lambda: not any(b"loophound" in command_line(pid) for pid in workers), "no orphans")


@pytest.mark.once
@pytest.mark.parametrize("code", ["raise SystemExit(5)", "import nothing_there", "app = 1", "def app(:", "x = 1"])
def test_an_application_that_cannot_start_is_one_line_and_code_3(supervised: Start, code: str) -> None:
    server = supervised("--workers=3", app=code)
    assert server.process.wait(30) == 3
    server.end()
    assert server.log.startswith("loophound: ")
    assert server.log.count("\n") == 1


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["serve", "main:app", "--workers=2", f"--port={port}"]
        done = subprocess.run(
            [sys.executable, "-m", "loophound", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 3
    said = f"loophound: cannot listen on 127.0.0.1:{port}: the address is in use; choose another --port, or 0"
    assert done.stderr == f"{said} for a free one\n"


@pytest.mark.once
def test_a_configuration_that_workers_refuse(supervised: Start, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text('{"version": 2}')
    server = supervised("--workers=2", "--log-config=log.json")
    assert server.process.wait(30) == 2
    server.end()
    assert server.log.startswith("loophound: --log-config log.json: ")


LOGGED = """{"version": 1,
"handlers": {"f": {"class": "logging.FileHandler", "filename": "l.log"},
             "a": {"class": "logging.FileHandler", "filename": "a.log"}},
"loggers": {"loophound": {"level": "DEBUG", "handlers": ["f"]},
            "loophound.access": {"handlers": ["a"], "propagate": false}}}
"""


@pytest.mark.once
@pytest.mark.parametrize("options", [("--workers=1",), ()])
def test_log_files_are_opened_again(supervised: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "log.json").write_text(LOGGED)
    port = free_port()
    server = supervised(
        *options, "--log-config=log.json", "--access-log", "--access-log-format=%w %U", f"--port={port}",
        "--hang-watch=0.2", "--record=r.jsonl", app=APP.replace("sleep(600)", "sleep(1)"),
    )  # fmt: skip
    server.known_port = port
    log, access, record = (tmp_path / name for name in ("l.log", "a.log", "r.jsonl"))
    wait_until(lambda: log.exists() and "The hang watch is on" in log.read_text())
    for file in (log, access, record):
        file.rename(f"{file}.1")
    server.send(signal.SIGUSR1)
    wait_until(lambda: log.exists() and access.exists() and record.exists(), "all are there again")
    server.get("/hang")
    wait_until(lambda: '"sleep"' in record.read_text(), "the stall is in the new file")
    server.end()
    assert "Shutting down" in log.read_text()
    assert access.read_text() == f"{'1' if options else '-'} /hang\n"
    for file in (log, access, record):
        assert "Shutting down" not in (old := Path(f"{file}.1").read_text())
        assert "/hang" not in old


@pytest.mark.once
@pytest.mark.parametrize("option", ["--reuse-port", "--preload"])
def test_other_ways_to_have_workers(supervised: Start, option: str) -> None:
    server = supervised("--workers=2", option)
    serving(server, 2)
    with Load(server.port, 4, pause_s=0.002) as load:
        server.send(signal.SIGHUP)
        serving(server, 4)
        server.send(signal.SIGTTIN)
        serving(server, 5)
        server.send(signal.SIGTTOU)
        server.wait_for("worker 3: Shutting down")
        for _ in range(30):  # also those that the kernel gives to the socket of the third
            assert server.get()
    assert load.errors == []
    os.kill(int(server.get().split()[0]), signal.SIGKILL)
    serving(server, 6)
    assert server.end() == 0
    assert children(server.pid) == []


@pytest.mark.once
def test_preload_imports_once_and_anew_for_each_replacement(supervised: Start, tmp_path: Path) -> None:
    count = tmp_path / "imports"
    app = APP + f"\nwith open({str(count)!r}, 'a') as file:\n    file.write('i')\n"
    server = supervised("--workers=3", "--preload", app=app)
    serving(server, 3)
    assert count.read_text() == "i"
    (tmp_path / "main.py").write_text(app.replace("VERSION = 1", "VERSION = 22"))
    server.send(signal.SIGHUP)
    serving(server, 6)
    wait_until(lambda: server.get().endswith(b" 22"))
    assert count.read_text() == "ii"
    (tmp_path / "main.py").write_text("import nothing_there")
    server.send(signal.SIGHUP)
    server.wait_for("The application cannot be imported anew: .*nothing_there")
    assert server.get().endswith(b" 22")


@pytest.mark.once
def test_preload_of_what_cannot_be_imported(supervised: Start) -> None:
    server = supervised("--workers=2", "--preload", app="import nothing_there")
    assert server.process.wait(30) == 3
    server.end()
    assert server.log.startswith("loophound: cannot import 'main': ModuleNotFoundError")


@pytest.mark.once
@pytest.mark.parametrize("options", [(), ("--workers=2",)])
def test_readiness_fails_before_requests_do(supervised: Start, options: tuple[str, ...]) -> None:
    metrics = free_port()
    server = supervised(*options, f"--metrics={metrics}", "--shutdown-delay=4", "--feed=off")

    def status(path: str) -> int:
        with socket.socket() as sock:
            sock.settimeout(5)
            if sock.connect_ex(("127.0.0.1", metrics)):
                return 0
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            return int(sock.recv(100).split()[1])

    assert server.get()
    wait_until(lambda: status("/readyz") == 200, "it is ready")
    server.send(signal.SIGTERM)
    wait_until(lambda: status("/readyz") == 503, "it is not ready any more", 4)
    assert server.get()  # and serves on
    assert server.end(signal.SIGTERM) == 0  # the second one waits no longer


@pytest.mark.once
def test_a_certificate_that_cannot_be_read(supervised: Start) -> None:
    server = supervised("--workers=2", "--ssl-certfile=nowhere.pem")
    assert server.process.wait(30) == 3
    server.end()
    assert server.log.count("\n") == 1
    assert "nowhere.pem" in server.log
