from __future__ import annotations

import asyncio
import copy
import functools
import io
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import pytest

from loophound import Detector, allow_blocking
from loophound.calls.patching import patches
from tests.calls.apps import flagged

# A process with all the tests in it has far more objects to go through than an application.
pytestmark = pytest.mark.allow_blocking(reason="stand-ins are put around calls, and taken away again, while loops run")
SHORT_S = 0.003
real_sleep = time.sleep
table = {"pause": time.sleep}
steps = [time.sleep]
later = functools.partial(time.sleep, SHORT_S)


class Pauses:
    pause = time.sleep
    static = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.own = time.sleep


class Slots:
    __slots__ = ("pause",)

    def __init__(self) -> None:
        self.pause = time.sleep


class Named(NamedTuple):
    pause: Any


class Table(dict[str, Any]):
    """Not quite a dictionary."""


pauses = Pauses()
slots = Slots()
named = Named(time.sleep)
commands = (("pause", time.sleep),)
waiting = deque([time.sleep])
own_table = Table(pause=time.sleep)
as_argument = functools.partial(lambda pause: pause(SHORT_S), time.sleep)


def by_default(pause: Any = time.sleep) -> None:
    pause(SHORT_S)


def by_keyword(*, pause: Any = time.sleep) -> None:
    pause(SHORT_S)


def closure(pause: Any) -> Any:
    return lambda: pause(SHORT_S)


enclosed = closure(time.sleep)


@pytest.fixture
def patched() -> Iterator[None]:
    user = object()
    patches.use(user)
    yield
    patches.leave(user)
    assert not patches.users


EARLY = {
    "module": lambda: sleep(SHORT_S),
    "table": lambda: table["pause"](SHORT_S),
    "list": lambda: steps[0](SHORT_S),
    "partial": lambda: later(),
    "class": lambda: Pauses.pause(SHORT_S),
    "method": lambda: pauses.pause(SHORT_S),  # not bound: functions of C are no descriptors
    "attribute": lambda: pauses.own(SHORT_S),
    "default": lambda: by_default(),
    "keyword default": lambda: by_keyword(),
    "closure": lambda: enclosed(),
    "static method": lambda: Pauses.static(SHORT_S),
    "slot": lambda: slots.pause(SHORT_S),
    "tuple in a tuple": lambda: commands[0][1](SHORT_S),
    "named tuple": lambda: named.pause(SHORT_S),
    "deque": lambda: waiting[0](SHORT_S),
    "derived dictionary": lambda: own_table["pause"](SHORT_S),
    "argument of a partial": lambda: as_argument(),
}


bound: dict[str, Any] = {}


def test_methods_bound_early_are_seen_and_put_back() -> None:
    async def handler() -> None:
        bound["execute"]("SELECT 1")
        bound["read"](1)

    with closing(sqlite3.connect(":memory:")) as database, open(__file__, "rb", buffering=0) as file:
        bound.update(execute=database.execute, read=file.read)
        before = [type(method) for method in bound.values()]
        assert types.MethodType not in before
        calls = flagged(handler)
        assert [type(method) for method in bound.values()] == before
        bound.clear()
    assert [call.call for call in calls] == ["sqlite3.Connection.execute", "io.FileIO.read"]


def test_reading_by_iteration_is_seen() -> None:
    async def handler() -> None:
        with allow_blocking("not the point"):
            text, binary = open(__file__), open(__file__, "rb")  # noqa: SIM115
        with text, binary:
            for _ in text:
                pass
            for _ in binary:
                pass

    calls = flagged(handler)
    first = handler.__code__.co_firstlineno
    seen = {(call.call, call.caller.line - first) for call in calls if call.caller is not None}
    assert {line for _, line in seen} == {4, 6}
    assert seen >= {("io.BufferedReader.read1", 4)}  # of bytes, each Python reads in its own way


@pytest.mark.parametrize("name", EARLY)
def test_names_bound_early_are_seen(name: str) -> None:
    async def handler() -> None:
        EARLY[name]()

    assert [call.call for call in flagged(handler)] == ["time.sleep"]
    holders = (
        sleep, table["pause"], steps[0], later.func, Pauses.pause, pauses.own, by_default.__defaults__[0],
        by_keyword.__kwdefaults__["pause"], Pauses.static, slots.pause, commands[0][1], named.pause, waiting[0],
        own_table["pause"], as_argument.args[0], enclosed.__closure__[0].cell_contents,
    )  # fmt: skip
    assert all(type(holder) is types.BuiltinFunctionType for holder in holders)


def test_names_bound_while_patched_are_put_back_too() -> None:
    user = object()
    module = types.ModuleType("bound_late")
    sys.modules["bound_late"] = module
    try:
        patches.use(user)
        exec("from time import sleep\nfrom os import stat", vars(module))
        assert type(module.sleep) is not types.BuiltinFunctionType
        patches.leave(user)
        assert module.sleep is time.sleep
        assert type(module.sleep) is types.BuiltinFunctionType
    finally:
        del sys.modules["bound_late"]


def snapshot() -> dict[str, Any]:
    """All that the catalogue may touch, as it is now."""
    from loophound.calls.catalogue import ROWS
    from loophound.calls.patching import _owner

    seen: dict[str, Any] = {}
    for row in ROWS:
        if row.module in sys.modules and (owner := _owner(row)) is not None:
            seen.update({f"{row.home}.{name}": vars(owner).get(name) for name in row.names})
    return seen


def test_everything_is_undone() -> None:
    before = snapshot()
    users = [object(), object()]
    for user in users:
        patches.use(user)
    during = snapshot()
    patches.leave(users[0])
    patches.leave(users[0])  # again: nothing
    still = snapshot()
    patches.leave(users[1])
    after = snapshot()
    assert sum(during[name] is not before[name] for name in before) > 100
    assert [name for name in before if still[name] is not during[name]] == []
    assert [name for name in before if after.get(name) is not before[name]] == []


@pytest.mark.usefixtures("patched")
def test_stand_ins_behave_like_the_originals() -> None:
    assert pickle.loads(pickle.dumps(time.sleep)) is time.sleep
    assert copy.deepcopy(os.stat) is os.stat
    assert os.stat in os.supports_follow_symlinks
    assert os.unlink in os.supports_dir_fd
    assert "sleep" in repr(time.sleep)
    assert time.sleep.__name__ == "sleep"
    assert time.sleep == real_sleep
    with open(__file__) as file:
        assert isinstance(file, io.TextIOWrapper)
        assert file.readline().startswith("from")
    with closing(sqlite3.connect(":memory:")) as database:
        assert isinstance(database, sqlite3.Connection)


@pytest.mark.usefixtures("patched")
def test_errors_of_an_import_show_no_frame_of_ours() -> None:
    with pytest.raises(ImportError) as caught:
        import no_such_module_at_all  # type: ignore[import-not-found] # noqa: F401
    trace, files = caught.value.__traceback__, []
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert files == [__file__]


@pytest.mark.usefixtures("patched")
def test_rmtree_is_as_safe_as_before(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    shutil.rmtree(tmp_path / "a")
    assert shutil.rmtree.avoids_symlink_attacks
    assert not (tmp_path / "a").exists()


def test_a_driver_that_is_imported_in_a_request_is_seen_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "MySQLdb"
    package.mkdir()
    (package / "__init__.py").write_text("from .connections import Connection\nconnect = Connection\n")
    (package / "connections.py").write_text("class Connection:\n    def query(self, text): return text\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def handler() -> None:
        import MySQLdb  # type: ignore[import-not-found]

        MySQLdb.connect().query("SELECT 1")

    calls = flagged(handler)
    for name in ("MySQLdb", "MySQLdb.connections"):
        sys.modules.pop(name)
    assert [call.call for call in calls] == ["import", "MySQLdb.Connection.query"]
    assert (calls[0].target, calls[1].target) == ("MySQLdb", "SELECT 1")


def test_users_come_and_go_in_threads() -> None:
    def come_and_go() -> None:
        for _ in range(3):
            user = object()
            patches.use(user)
            time.sleep(0)
            patches.leave(user)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not patches.users
    assert type(time.sleep) is types.BuiltinFunctionType


def test_a_loop_that_runs_meanwhile_is_not_disturbed() -> None:
    async def main() -> int:
        user = object()
        patches.use(user)
        results = await asyncio.gather(*(asyncio.to_thread(len, "x" * number) for number in range(20)))
        patches.leave(user)
        return sum(results)

    assert asyncio.run(main()) == 190


def test_the_observer_process_starts_while_calls_are_flagged() -> None:
    with Detector(10) as before:
        problem = before.observer_problem
    user = object()
    patches.use(user)
    try:
        with Detector(10) as during:
            assert during.observer_problem == problem
    finally:
        patches.leave(user)


@pytest.mark.once
def test_an_interpreter_that_has_run_a_loop_ends() -> None:
    """CPython 3.12.1 goes round for ever in its last collection if _asyncio was asked what it refers to."""
    program = (
        "import asyncio, gc\n"
        "from loophound.calls.patching import patches\n"
        "async def main(): await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(10)))\n"
        "asyncio.run(main()); patches.use(main); asyncio.run(main()); patches.leave(main)\n"
        "gc.collect(); print('done')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
