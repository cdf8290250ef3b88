from __future__ import annotations

import pytest

from loophound.detector.frames import CodeFrame
from loophound.detector.records import Cause
from loophound.detector.remedy import COMPUTING, LOCKING, WAITING, Remedy, module_of, remedy_for
from tests.detector.facts import library, package


def remedy(cause: Cause, call: str | None = None, *inner: CodeFrame, gil_held: bool | None = None) -> str | None:
    return remedy_for(cause, call=call, inner=inner, gil_held=gil_held, function="show")


ROWS = [(Cause.IO, row) for row in WAITING] + [(Cause.LOCK, row) for row in LOCKING]
ROWS += [(Cause.NATIVE, row) for row in COMPUTING]


@pytest.mark.parametrize(("cause", "row"), ROWS, ids=[row.text[:40] for _, row in ROWS])
def test_every_row_is_reached(cause: Cause, row: Remedy) -> None:
    calls = [word + "connect" if word.endswith(".") else word for word in row.calls]
    by_call = [remedy(cause, call) for call in calls]
    by_module = [remedy(cause, None, package(f"{module}/api", "f")) for module in row.modules]
    reached = [text for text in by_call + by_module if text and text.startswith(row.text.partition("{")[0])]
    assert reached


@pytest.mark.parametrize(
    ("cause", "call", "inner", "words"),
    [
        (Cause.SLEEP, "time.sleep", (), "asyncio.sleep"),
        (Cause.SLEEP, "sleep", (), "asyncio.sleep"),
        (
            Cause.IO,
            "requests.get",
            (package("requests/api", "get"), library("socket", "readinto")),
            "httpx.AsyncClient",
        ),
        (Cause.IO, "fetch", (package("requests/api", "get"),), "offload(fetch)"),
        (Cause.IO, "self.cursor.execute", (package("psycopg2/extras", "execute"),), "asyncpg"),
        (Cause.IO, "db.execute", (), "offload(db.execute)"),
        (Cause.IO, "sqlite3.connect", (), "aiosqlite"),
        (Cause.IO, "subprocess.run", (library("subprocess", "run"),), "create_subprocess_exec"),
        (Cause.IO, "socket.getaddrinfo", (library("socket", "getaddrinfo"),), "get_running_loop().getaddrinfo"),
        (Cause.IO, "os.fsync", (), "off the loop"),
        (Cause.IO, "path.read_text", (), "anyio.open_file"),
        (Cause.IO, None, (), "offload(show)"),
        (Cause.LOCK, "jobs.get", (library("queue", "Queue.get"), library("threading", "wait")), "asyncio.Queue"),
        (Cause.LOCK, "future.result", (library("concurrent/futures/_base", "result"),), "wrap_future"),
        (Cause.LOCK, "thread.join", (library("threading", "Thread.join"),), "wait for the thread"),
        (Cause.LOCK, "lock.acquire", (), "asyncio.Lock"),
        (Cause.LOCK, None, (), "off the loop"),
        (Cause.NATIVE, "re.match", (library("re/__init__", "match"),), "backtracks"),
        (Cause.NATIVE, "PATTERN.match", (), "backtracks"),
        (Cause.NATIVE, "json.dumps", (), 'offload(json.dumps, executor="process")'),
        (Cause.NATIVE, "hashlib.scrypt", (), "releases the GIL"),
        (Cause.CPU, "total", (), 'offload(show, executor="process")'),
    ],
)
def test_what_is_advised(cause: Cause, call: str | None, inner: tuple[CodeFrame, ...], words: str) -> None:
    assert words in (remedy(cause, call, *inner) or "")


def test_a_c_call_is_sent_where_it_disturbs_nobody() -> None:
    assert 'offload(pow, executor="process")' in (remedy(Cause.NATIVE, "pow", gil_held=True) or "")
    assert "offload(pow)" in (remedy(Cause.NATIVE, "pow", gil_held=False) or "")


@pytest.mark.parametrize("call", ["text.split", "data.decode", "rows.sort"])
def test_a_call_that_only_sounds_alike_is_no_regular_expression(call: str) -> None:
    assert "pattern" not in (remedy(Cause.NATIVE, call) or "")


def test_a_wait_that_is_not_for_a_child_is_no_subprocess() -> None:
    assert "subprocess" in (remedy(Cause.IO, "os.wait") or "")
    assert "subprocess" not in (remedy(Cause.IO, "event.wait") or "")


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_advice_but_one(cause: Cause) -> None:
    text = remedy(cause, "f")
    assert (text is None) is (cause is Cause.SUSPENDED)
    assert "{" not in (text or "")


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("/srv/venv/lib/python3.11/site-packages/requests/api.py", "requests"),
        ("/srv/venv/lib/python3.11/site-packages/six.py", "six"),
        ("/usr/lib/python3/dist-packages/redis/client.py", "redis"),
        ("/usr/lib/python3.11/re/_compiler.py", "re"),
        ("/usr/lib/python3.11/queue.py", "queue"),
        ("<string>", "<string>"),
        ("main.py", "main"),
    ],
)
def test_modules(file: str, module: str) -> None:
    assert module_of(file) == module
