"""Workers that hang are told from those that do not, examined from outside, and replaced."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.running import APP, Load, Supervised, wait_until

Start = Callable[..., Supervised]
PDB = APP.replace("time.sleep(600)", "breakpoint()")


WATCHED = "The hang watch is on"  # it is loaded after the start


def line_of(code: str, app: str = APP) -> int:
    return next(number for number, line in enumerate(app.splitlines(), 1) if code in line)


def stalls_in(server: Supervised) -> list[dict[str, Any]]:
    words = ["-m", "loophound", "report", "--json", "l.db"]
    done = subprocess.run([sys.executable, *words], cwd=server.folder, capture_output=True, text=True, check=True)
    return [group["culprit"] for group in json.loads(done.stdout)["groups"]]


def test_a_worker_that_hangs_with_the_gil_held_is_named_and_replaced(supervised: Start) -> None:
    server = supervised("--workers=1", "--timeout-worker=2", "--log-level=debug")
    server.wait_for(WATCHED)
    with server.send_and_leave("/regex"):
        server.wait_for("Worker 1 serves", 2)
    where = f"main.py:{line_of('re.match')} in app"
    assert f"native · {where} · GET /regex · worker 1" in server.log
    said = server.log
    assert said.index("hangs: its event loop has not turned for") < said.index("Replacing worker 1")
    assert server.get()


@pytest.mark.once
@pytest.mark.parametrize("options", [(), ("--detect-blocking",)])
def test_a_hang_is_kept_in_ledger_and_record(supervised: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    server = supervised(
        "--workers=2", "--timeout-worker=2", "--ledger=l.db", "--record=r.jsonl", "--log-level=debug", *options
    )
    server.wait_for("Worker . serves" if options else WATCHED, 2)
    with Load(server.port, 3, pause_s=0.01) as load, server.send_and_leave("/hang"):
        server.wait_for("Worker . serves", 3)
    # Those that the hung worker had accepted end with it; nobody else's do.
    assert len(load.errors) <= 3
    server.end()
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    last = [record for record in records if record["cause"] == "sleep"][-1]
    assert (last["culprit"]["line"], last["ongoing"], last["worker"] in (1, 2)) == (line_of("time.sleep"), False, True)
    assert (last["request"]["method"], last["request"]["path"]) == ("GET", "/hang")
    assert line_of("time.sleep") in [culprit["line"] for culprit in stalls_in(server) if culprit]


@pytest.mark.once
def test_what_the_stall_limit_cannot_interrupt_is_left_to_the_supervisor(supervised: Start, tmp_path: Path) -> None:
    app = APP.replace("time.sleep(600)", "hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)")
    app = app.replace("import asyncio,", "import asyncio, hashlib,")
    options = "--workers=1", "--detect-blocking", "--stall-limit=1", "--timeout-worker=5", "--record=r.jsonl"
    server = supervised(*options, app=app)
    server.wait_for("Worker . serves")
    with server.send_and_leave("/hang"):
        server.wait_for("Worker 1 serves", 2)
    assert server.get()
    server.end()
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    told = [r for r in records if r["culprit"] and r["culprit"]["line"] == line_of("pbkdf2", app)]
    assert (told[-1]["ongoing"], told[-1]["evidence"]["interrupted"]) == (False, "failed")


@pytest.mark.once
def test_a_worker_that_nobody_watches_is_examined_when_it_hangs(supervised: Start) -> None:
    server = supervised("--workers=1", "--timeout-worker=2", "--hang-watch=off")
    server.wait_for("Worker 1 serves")
    with server.send_and_leave("/regex"):
        server.wait_for("Worker 1 serves", 2)
    assert f"native · main.py:{line_of('re.match')} in app · GET /regex · worker 1" in server.log


@pytest.mark.once
def test_a_worker_that_hangs_before_its_watch_is_loaded(supervised: Start) -> None:
    app = APP.replace('await send({"type": "lifespan.startup.complete"})', STARTED)
    server = supervised("--workers=1", "--timeout-worker=2", "--ledger=l.db", app=app)
    server.wait_for("Worker 1 serves", 2)
    assert "hangs: its event loop has not turned for" in server.log
    assert f"sleep · main.py:{line_of('time.sleep(60)', app)} in hang" in server.log
    server.end()
    assert [culprit["line"] for culprit in stalls_in(server)] == [line_of("time.sleep(60)", app)]


# The first process only: the loop is blocked in its first turns.
STARTED = """await send({"type": "lifespan.startup.complete"})
        def hang():
            if not os.path.exists("once"):
                open("once", "w").close()
                time.sleep(60)
        asyncio.get_running_loop().call_later(0.01, hang)"""
STUCK = """
import time

def connect():
    time.sleep(600)

connect()
"""


@pytest.mark.once
def test_an_import_for_all_that_hangs(supervised: Start) -> None:
    server = supervised("--workers=1", "--preload", "--timeout-worker=1.1", "--timeout-start=2.2", app=STUCK)
    server.wait_for("The process that imports the application .* has been starting for")
    assert server.process.wait(30) == 3
    server.end()
    assert f"main.py:{line_of('time.sleep', STUCK)} in connect" in server.log
    assert server.log.endswith("loophound: it was killed by SIGKILL while it imported the application\n")


@pytest.mark.once
def test_a_worker_that_hangs_while_it_starts(supervised: Start, tmp_path: Path) -> None:
    server = supervised("--workers=1", "--timeout-worker=1.1", "--timeout-start=3", "--ledger=l.db", app=STUCK)
    server.wait_for("Worker 1 .* has been starting for .* s, and does not serve yet")
    server.wait_for("Worker 1 .* has not begun to serve in 3 s: killed")
    assert f"main.py:{line_of('time.sleep', STUCK)} in connect" in server.log
    (tmp_path / "main.py").write_text(APP)
    server.wait_for("could not start: it was killed by SIGKILL before it was ready")
    server.wait_for("Worker 1 serves")
    assert server.end() == 0
    assert {culprit["line"] for culprit in stalls_in(server)} == {line_of("time.sleep", STUCK)}


@pytest.mark.once
def test_a_lifespan_that_waits_is_told_and_is_no_stall(supervised: Start) -> None:
    app = APP.replace('await send({"type": "lifespan.startup.complete"})', "await asyncio.sleep(600)")
    server = supervised("--workers=1", "--timeout-worker=1.1", "--ledger=l.db", app=app)
    server.wait_for("Worker 1 .* thread MainThread .state S, in epoll_")
    assert "BLOCKED" not in server.log
    assert server.end() == 0


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_a_worker_starts_blames_nobody(supervised: Start, number: int) -> None:
    server = supervised("--workers=1", "--log-level=debug", app=f"print('begun', flush=True){STUCK}")
    wait_until(lambda: "begun" in server.out, "the import has begun")
    assert server.end(number) == 0
    assert "exit code 3" not in server.log
    assert "cannot" not in server.log


@pytest.mark.once
def test_a_stopped_worker_is_told_from_a_hung_one(supervised: Start) -> None:
    server = supervised("--workers=1", "--timeout-worker=2")
    server.wait_for("Worker 1 serves")
    os.kill(server.workers()[0], signal.SIGSTOP)
    server.wait_for("Worker 1 serves", 2)
    assert "is stopped by a signal: its event loop has not turned for" in server.log
    assert server.get()


@pytest.mark.once
def test_a_debugger_is_left_alone(supervised: Start) -> None:
    options = ("--workers=1", "--timeout-worker=2", "--timeout-graceful-shutdown=1", "--log-level=debug")
    server = supervised(*options, app=PDB)
    server.wait_for(WATCHED)
    with server.send_and_leave("/hang"):
        server.wait_for("is in a debugger: it is left alone")
        assert "Replacing" not in server.log
        assert server.end(signal.SIGINT) == 0


@pytest.mark.once
def test_a_worker_that_hangs_is_not_replaced_where_that_is_off(supervised: Start) -> None:
    server = supervised("--workers=1", "--timeout-worker=off", app=APP.replace("sleep(600)", "sleep(3)"))
    server.wait_for("Worker 1 serves")
    server.get("/hang")
    assert "Replacing" not in server.log
    assert server.get()


@pytest.mark.once
@pytest.mark.parametrize("options", [("--hang-watch=0.3",), ("--workers=1",)])
def test_the_hang_watch_names_the_line_without_detection(supervised: Start, options: tuple[str, ...]) -> None:
    server = supervised(*options, "--log-level=debug", app=APP.replace("sleep(600)", "sleep(2.5)"))
    server.wait_for(WATCHED)
    server.get("/hang")
    server.wait_for(rf"main\.py:{line_of('time.sleep')} in app")
    assert server.end() == 0


@pytest.mark.once
def test_off_is_off(supervised: Start) -> None:
    server = supervised("--hang-watch=off", "--log-level=debug")
    assert server.get()
    time.sleep(0.5)
    assert not re.search(WATCHED, server.log)
    assert server.end() == 0
