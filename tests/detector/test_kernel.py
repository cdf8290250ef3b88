"""What the kernel says of threads of this very process."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loophound.detector.adapters.kernel import ThreadProbe, peer_of, runtime_span
from loophound.detector.facts import Waiting
from loophound.detector.syscalls import GIL, TABLES, Wait, wait_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
PATIENCE_S = 10.0


@contextmanager
def blocked(call: Callable[[], object], let_go: Callable[[], object]) -> Iterator[ThreadProbe]:
    """A thread that stands in `call` until `let_go`."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert thread.native_id is not None
    probe = ThreadProbe(thread.native_id)
    try:
        yield probe
    finally:
        let_go()
        thread.join(PATIENCE_S)
        probe.close()


def seen(probe: ThreadProbe, wanted: Callable[[Waiting], bool], memory: int | None = None) -> Waiting:
    """What it waits in, once that is what is wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        waiting = probe.waiting(memory)
        if waiting is not None and wanted(waiting):
            return waiting
        time.sleep(0.001)
    raise AssertionError(f"seen last: {probe.waiting(memory)}")


def test_a_thread_that_sleeps() -> None:
    with blocked(lambda: time.sleep(0.3), lambda: None) as probe:
        waiting = seen(probe, lambda w: wait_of(w) is Wait.SLEEP)
        assert waiting.target is None
        assert probe.look() == (waiting, False)


def test_a_thread_that_waits_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    with blocked(lock.acquire, lock.release) as probe:
        assert seen(probe, lambda w: wait_of(w) is Wait.LOCK) == Waiting("futex")


def test_a_thread_that_waits_for_a_lock_with_a_time_limit() -> None:
    lock = threading.Lock()
    lock.acquire()
    with blocked(lambda: lock.acquire(timeout=PATIENCE_S), lock.release) as probe:
        assert seen(probe, lambda w: w.syscall == "futex") == Waiting("futex")


def test_to_read_does_not_let_go_of_the_gil() -> None:
    """A watchdog that hands it over at each tick has to wait for it as often."""
    ran: list[bool] = []

    def wait_for_the_gil() -> None:
        time.sleep(0.05)
        ran.append(True)

    before_s = sys.getswitchinterval()
    sys.setswitchinterval(PATIENCE_S)  # it is to get the GIL by nobody's leave but ours
    thread = threading.Thread(target=wait_for_the_gil)
    thread.start()
    assert thread.native_id is not None
    probe = ThreadProbe(thread.native_id)
    try:
        deadline = time.monotonic() + PATIENCE_S / 2
        while probe.call() != "futex" and time.monotonic() < deadline:
            pass
        for _ in range(20):
            assert probe.cpu_and_runqueue_ns() != (None, None)
            assert probe.switches() is not None
            assert probe.state() == "S"
            assert probe.call() == "futex"
        assert not ran
    finally:
        sys.setswitchinterval(before_s)
        thread.join()
        probe.close()


def test_a_thread_that_waits_for_the_gil() -> None:
    # Only another process can see it: here, whoever looks has the GIL.
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            pass

    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    watch = (
        "import sys, time\n"
        "from loophound.detector.adapters.kernel import ThreadProbe\n"
        "pid, native_id, began, ended = sys.argv[1], *map(int, sys.argv[2:])\n"
        "probe = ThreadProbe(native_id, pid, (began, ended))\n"
        "until = time.monotonic() + 20\n"
        "while time.monotonic() < until:\n"
        "    waiting = probe.waiting()\n"
        "    if waiting is not None:\n"
        "        print(waiting.syscall, waiting.target)\n"
        "        break\n"
        "    time.sleep(0.001)\n"
    )
    arguments = [str(number) for number in (os.getpid(), threads[0].native_id, *runtime_span())]
    try:
        seen_outside = subprocess.run([sys.executable, "-c", watch, *arguments], capture_output=True, text=True)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen_outside.stdout.split() == ["futex", GIL]
    assert wait_of(Waiting("futex", GIL)) is Wait.GIL


def test_a_thread_that_receives_from_a_unix_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, blocked(lambda: ours.recv(1), lambda: theirs.send(b"x")) as probe:
        assert seen(probe, lambda w: wait_of(w) is Wait.IO) == Waiting("recvfrom", "unix")


def test_a_thread_that_receives_over_tcp_names_the_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours:
            theirs, _ = server.accept()
            with theirs, blocked(lambda: ours.recv(1), lambda: theirs.send(b"x")) as probe:
                waiting = seen(probe, lambda w: w.syscall == "recvfrom")
                assert waiting.target == f"tcp 127.0.0.1:{port}"


def test_a_socket_with_a_time_limit_is_found_in_the_argument_of_poll() -> None:
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    try:
        with ours, theirs, blocked(lambda: ours.recv(1), lambda: theirs.send(b"x")) as probe:
            assert seen(probe, lambda w: w.syscall in ("poll", "ppoll"), memory).target == "unix"
            assert seen(probe, lambda w: w.syscall in ("poll", "ppoll")).target is None
    finally:
        os.close(memory)


def test_a_thread_that_reads_a_pipe_or_a_file_names_it(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        with blocked(lambda: os.read(descriptor, 1), lambda: os.write(descriptor, b"x")) as probe:
            assert seen(probe, lambda w: w.syscall == "read").target == str(path)
    finally:
        os.close(descriptor)


def test_a_thread_that_waits_for_a_child_names_it() -> None:
    with subprocess.Popen(["sleep", "30"]) as child, blocked(child.wait, child.kill) as probe:
        waiting = seen(probe, lambda w: w.syscall in ("wait4", "waitid") and "sleep" in (w.target or ""))
        assert waiting.target == f"child process {child.pid} (sleep)"


def test_a_child_that_is_waited_for_by_descriptor_is_not_taken_for_a_pid() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        descriptor = _same_as_some_pid(os.pidfd_open(child.pid))
        try:
            wait = lambda: os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOWAIT)  # noqa: E731
            with blocked(wait, child.kill) as probe:
                assert seen(probe, lambda w: w.syscall == "waitid").target == "child process"
        finally:
            os.close(descriptor)


def _same_as_some_pid(descriptor: int) -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    number = min((pid for pid in pids - taken if 2 < pid < most), default=descriptor)
    if number != descriptor:
        os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)
    return number


def test_a_thread_that_computes_uses_for_nothing_and_uses_cpu() -> None:
    probe = ThreadProbe(threading.get_native_id())
    before, _ = probe.cpu_and_runqueue_ns()
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    after, runqueue_ns = probe.cpu_and_runqueue_ns()
    assert before is not None
    assert after is not None
    assert after - before > 5_000_000
    assert runqueue_ns is not None
    assert not probe.is_stopped()
    probe.close()


def test_a_stopped_process() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        probe = ThreadProbe(child.pid, str(child.pid))
        child.send_signal(19)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        assert probe.is_stopped()
        child.kill()
        probe.close()


@pytest.mark.parametrize(("native_id", "pid"), [(4194304, "self"), (1, "no-such-process")])
def test_what_is_missing_is_none(native_id: int, pid: str) -> None:
    probe = ThreadProbe(native_id, pid)
    assert probe.cpu_and_runqueue_ns() == (None, None)
    assert probe.look() == (None, None)
    assert not probe.is_stopped()
    probe.close()


def test_a_thread_that_has_ended_is_none() -> None:
    thread = threading.Thread(target=time.sleep, args=(0.05,))
    thread.start()
    assert thread.native_id is not None
    probe = ThreadProbe(thread.native_id)
    thread.join()
    deadline = time.monotonic() + PATIENCE_S
    while probe.cpu_and_runqueue_ns() != (None, None) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert probe.look() == (None, None)
    probe.close()
    probe.close()  # twice is fine
    assert probe.cpu_and_runqueue_ns() == (None, None)


def test_a_descriptor_that_is_no_connection_has_no_peer() -> None:
    assert peer_of(99999) is None
    with socket.socket() as unconnected:
        assert peer_of(unconnected.fileno()) is None


@pytest.mark.parametrize("machine", TABLES)
def test_each_table_knows_what_python_blocks_in(machine: str) -> None:
    assert {"futex", "clock_nanosleep", "recvfrom", "read", "write", "wait4", "ppoll"} <= set(TABLES[machine].values())
    assert len(set(TABLES[machine].values())) == len(TABLES[machine])
