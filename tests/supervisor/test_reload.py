"""Real reloads: each save is served, no request is lost, and a mistake is waited out."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.supervisor.running import APP, Load, Supervised, command_line, wait_until

Start = Callable[..., Supervised]


def save(server: Supervised, version: int, app: str = APP) -> None:
    (server.folder / "main.py").write_text(app.replace("VERSION = 1", f"VERSION = {version}"))


def serves(server: Supervised, version: int) -> None:
    wait_until(lambda: server.get().endswith(b" %d" % version), f"version {version}")


def test_each_save_is_served_and_no_request_is_lost(supervised: Start) -> None:
    server = supervised("--reload")
    server.wait_for("Watching for changes in ")
    with Load(server.port, 4, pause_s=0.002) as load:
        for version in range(2, 6):
            save(server, version)
            serves(server, version)
    assert load.errors == []
    assert load.connections == 4  # which the workers gave on
    assert "Changed: main.py" in server.log


@pytest.mark.once
def test_a_mistake_is_shown_and_the_next_save_mends_it(supervised: Start) -> None:
    server = supervised("--reload", app="def app(:")
    server.wait_for("SyntaxError: .* at .*main.py:1")
    server.wait_for("Waiting for a change of its files\n")
    assert server.process.poll() is None
    save(server, 2)
    serves(server, 2)
    save(server, 3, "import nothing_there\n")
    server.wait_for("nothing_there")
    server.wait_for("the one before it serves on")
    assert server.get().endswith(b" 2")
    save(server, 4)
    serves(server, 4)


def test_ctrl_c_ends_at_once_whatever_runs(supervised: Start) -> None:
    server = supervised("--reload", app=APP.replace("sleep(1)", "sleep(60)"))
    server.wait_for("Worker 1 serves")
    workers = server.workers()
    with server.send_and_leave("/sleep"), server.send_and_leave("/hang"):
        assert server.end(signal.SIGINT) == 0
    assert [pid for pid in workers if b"loophound" in command_line(pid)] == []


@pytest.mark.once
def test_directories_and_patterns(supervised: Start, tmp_path: Path) -> None:
    pages, made = tmp_path / "pages", tmp_path / "pages" / "made"
    made.mkdir(parents=True)
    server = supervised("--reload", "--reload-dir=pages", "--reload-include=*.html", f"--reload-exclude={made}")
    server.wait_for("Worker 1 serves")
    (made / "a.html").write_text("1")
    (pages / "a.txt").write_text("1")
    (tmp_path / "other.py").write_text("1")
    (pages / "a.html").write_text("1")
    server.wait_for("Worker 1 serves", 2)
    assert "Changed: pages/a.html\n" in server.log
    assert server.log.count("Changed") == 1


@pytest.mark.once
def test_the_ledger_outlives_a_reload(supervised: Start) -> None:
    server = supervised("--reload", "--detect-blocking=50", "--ledger=l.db", app=APP.replace("sleep(600)", "sleep(.2)"))
    server.wait_for("Worker 1 serves")
    for version in (2, 3):
        server.get("/hang")
        server.wait_for("BLOCKED|again", version - 1)
        save(server, version, APP.replace("sleep(600)", "sleep(.2)"))
        serves(server, version)
    server.end()
    words = ["-m", "loophound", "report", "l.db"]
    done = subprocess.run([sys.executable, *words], cwd=server.folder, capture_output=True, text=True, check=True)
    assert "1 group, 2 stalls" in done.stdout


def test_without_watchfiles_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['watchfiles'] = None\n"
        "from loophound.cli import main\n"
        "sys.exit(main(['serve', 'a:a', '--reload', '--port=0']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "loophound: --reload wants the package watchfiles: pip install 'loophound[reload]'\n"
