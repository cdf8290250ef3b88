"""Worker processes: real ones, killed and healed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

from loophound import offload
from loophound.offloading import OffloadError, OffloadPicklingError, OffloadTimeoutError, Pools
from tests.offloading import functions

pytestmark = pytest.mark.anyio


async def written(path: Path) -> int:
    """The number in the file, once it is there."""
    with anyio.fail_after(30):
        while not (path.exists() and path.read_text()):
            await anyio.sleep(0.005)
    return int(path.read_text())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def is_zombie(pid: int) -> bool:
    return subprocess.run(["ps", "-o", "stat=", str(pid)], capture_output=True, text=True).stdout.startswith("Z")


async def test_workers_are_kept(use: Pools) -> None:
    _, first = await functions.in_process(1)
    _, second = await functions.in_process(1)
    assert first == second != os.getpid()
    counts = use.metrics["process"]
    assert counts.pickling_s > 0
    assert counts.pickled_bytes > 0


async def test_an_exception_has_the_workers_traceback_as_its_cause(use: Pools) -> None:
    with pytest.raises(ValueError, match="bad input") as caught:
        await functions.fail("bad input")
    assert "raise ValueError(text)\nValueError: bad input" in str(caught.value.__cause__)


async def test_an_exception_that_cannot_travel_is_quoted(use: Pools) -> None:
    with pytest.raises(OffloadError, match=r"functions\.fail_unlike raised Unlike: lost") as caught:
        await functions.fail_unlike()
    assert "raise Unlike(7" in str(caught.value.__cause__)


async def test_sys_exit_ends_the_call_and_not_the_worker(use: Pools) -> None:
    _, before = await functions.in_process(1)
    with pytest.raises(OffloadError, match=r"leave raised SystemExit: 3"):
        await functions.leave()
    assert (await functions.in_process(1))[1] == before


async def test_an_unpicklable_argument_is_named(use: Pools) -> None:
    with pytest.raises(OffloadPicklingError, match=r"functions\.take: argument database \(lock\) cannot be pickled"):
        await functions.take(threading.Lock(), name="x")
    assert (await functions.in_process(1))[0] == 2


async def test_an_unpicklable_result_is_named(use: Pools) -> None:
    with pytest.raises(OffloadPicklingError, match=r"functions\.give: its result \(lock\) cannot be pickled"):
        await functions.give()


async def test_a_function_without_a_name_in_its_module(use: Pools) -> None:
    with pytest.raises(OffloadPicklingError, match=r"<lambda> cannot be found by its name.*top of a module"):
        await offload(lambda: 1, executor="process")()


async def test_a_killed_worker_fails_its_call_alone(use: Pools, tmp_path: Path) -> None:
    other = tmp_path / "other"
    async with anyio.create_task_group() as group:
        group.start_soon(functions.touch_and_hang, str(other))
        bystander = await written(other)
        with pytest.raises(OffloadError, match=r"functions\.die: worker process \d+ was killed by SIGKILL"):
            await functions.die()
        assert not is_gone(bystander)
        assert (await functions.in_process(1))[0] == 2  # healed
        group.cancel_scope.cancel()


async def test_a_worker_killed_while_idle_is_replaced(use: Pools) -> None:
    _, pid = await functions.in_process(1)
    os.kill(pid, 9)
    with anyio.fail_after(30):
        # The first thread is a zombie before the others have let go of the pipe.
        while not is_zombie(pid) or len(os.listdir(f"/proc/{pid}/task")) > 1:
            await anyio.sleep(0.005)
    assert (await functions.in_process(1))[1] != pid


async def test_cancelling_a_running_call_kills_its_worker(use: Pools, tmp_path: Path) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(functions.touch_and_hang, str(tmp_path / "pid"))
        pid = await written(tmp_path / "pid")
        group.cancel_scope.cancel()
    with anyio.fail_after(30):
        while not is_gone(pid):
            await anyio.sleep(0.005)
    assert use.metrics["process"].abandoned == 1
    assert (await functions.in_process(1))[0] == 2


async def test_a_call_that_waits_is_withdrawn(use: Pools, tmp_path: Path) -> None:
    async with anyio.create_task_group() as holders:
        for name in ("a", "b"):
            holders.start_soon(functions.touch_and_hang, str(tmp_path / name))
            await written(tmp_path / name)
        async with anyio.create_task_group() as group:
            group.start_soon(functions.touch_and_hang, str(tmp_path / "c"))
            with anyio.fail_after(30):
                while not use.metrics["process"].waiting:
                    await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        assert use.metrics["process"].abandoned == 0
        holders.cancel_scope.cancel()
    assert not (tmp_path / "c").exists()


async def test_the_time_limit_stops_the_computation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pools = Pools(processes=1)
    monkeypatch.setattr("loophound.offloading.pools._default", pools)
    await functions.in_process(1)  # started, so that the limit meets the function
    pools.time_limit_s = 0.5
    with pytest.raises(OffloadTimeoutError, match=r"no result within 0.5 s"):
        await functions.touch_and_hang(str(tmp_path / "pid"))
    await pools.close(0)


async def test_close_kills_what_is_over_its_grace(use: Pools, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> None:
        with pytest.raises(OffloadError, match="abandoned at shutdown"):
            await functions.touch_and_hang(str(tmp_path / "pid"))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        pid = await written(tmp_path / "pid")
        assert await use.close(0.01) == ["tests.offloading.functions.touch_and_hang"]
    assert is_gone(pid)
    assert "shutdown: abandoned tests.offloading.functions.touch_and_hang on the process executor" in caplog.text


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="this Python has interpreters")
async def test_interpreters_are_refused_where_there_are_none(use: Pools) -> None:
    with pytest.raises(OffloadError, match=r"executor='interpreter' needs Python 3\.13 or later, this is 3\.1"):
        await functions.in_interpreter(1)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="this Python has no interpreters")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_interpreter(backend: str, tmp_path: Path) -> None:
    """In a process of its own: CPython 3.13.0 aborts now and then while it compiles in a new interpreter."""
    script = tmp_path / "script.py"
    script.write_text(
        "import anyio\n"
        "from tests.offloading import functions\n"
        "async def main():\n"
        "    print(await functions.in_interpreter(1))\n"
        "    try:\n"
        "        await functions.in_interpreter(-1)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
        f"anyio.run(main, backend={backend!r})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60)
    if ran.returncode < 0 and sys.version_info[:3] == (3, 13, 0):
        pytest.xfail("CPython 3.13.0 crashed")
    assert (ran.stdout, ran.returncode) == ("2\nnegative: -1\n", 0), ran.stderr


def test_functions_and_classes_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, os\n"
        "from loophound import offload\n"
        "class Point: pass\n"
        "@offload(executor='process')\n"
        "def take(point):\n"
        "    return isinstance(point, Point), os.getpid() != point.pid\n"
        "async def main():\n"
        "    point = Point()\n"
        "    point.pid = os.getpid()\n"
        "    print(await take(point))\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("(True, True)\n", "")


def test_a_worker_leaves_in_the_middle_of_a_call_when_its_server_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, os\n"
        "from loophound import offload\n"
        "@offload(executor='process')\n"
        "def hang():\n"
        "    print(os.getpid(), flush=True)\n"
        "    while True: pass\n"
        "async def main():\n"
        "    await hang()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        worker = int(server.stdout.readline())
        server.kill()
        assert server.stdout.read() == ""  # ends when the worker, which has this pipe too, is gone
    deadline = time.monotonic() + 30
    while not (is_gone(worker) or is_zombie(worker)) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert is_gone(worker) or is_zombie(worker)
