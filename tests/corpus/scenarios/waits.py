"""Waits in system calls, and for other threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import fcntl
import functools
import http.client
import http.server
import multiprocessing
import os
import queue
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from loophound.detector.records import Cause
from tests.corpus.scenario import BLOCKED_S, stall

PAUSE_S = 0.03
reads = functools.partial(stall, Cause.IO)
locks = functools.partial(stall, Cause.LOCK)


@contextmanager
def late_server() -> Iterator[tuple[str, int]]:
    """Answers HTTP after a while."""

    class Late(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(BLOCKED_S)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Late) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


@reads()
async def io_socket_recv() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await asyncio.sleep(PAUSE_S)
        threading.Timer(BLOCKED_S, theirs.send, (b"x",)).start()
        ours.recv(1)  # !io_socket_recv
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_socket_with_a_timeout() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(BLOCKED_S)
        await asyncio.sleep(PAUSE_S)
        try:
            ours.recv(1)  # !io_socket_with_a_timeout
        except TimeoutError:
            await asyncio.sleep(PAUSE_S)


@reads()
async def io_socket_accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        await asyncio.sleep(PAUSE_S)
        threading.Timer(BLOCKED_S, lambda: socket.create_connection(server.getsockname()).close()).start()
        server.accept()[0].close()  # !io_socket_accept
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_socket_connect() -> None:
    # Nobody accepts, and the queue is full: the kernel passes over what comes.
    with socket.socket() as server, socket.socket() as one, socket.socket() as two, socket.socket() as late:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        late.settimeout(BLOCKED_S)
        await asyncio.sleep(PAUSE_S)
        try:
            late.connect(server.getsockname())  # !io_socket_connect
        except TimeoutError:
            await asyncio.sleep(PAUSE_S)


@reads()
async def io_socket_sendall() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def drain() -> None:
            time.sleep(BLOCKED_S)
            while len(theirs.recv(1 << 20)):
                pass

        thread = threading.Thread(target=drain)
        await asyncio.sleep(PAUSE_S)
        thread.start()
        ours.sendall(b"x" * 4_000_000)  # !io_socket_sendall
        ours.close()
        thread.join()
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_urlopen() -> None:
    with late_server() as (host, port):
        await asyncio.sleep(PAUSE_S)
        urllib.request.urlopen(f"http://{host}:{port}/").read()  # !io_urlopen
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_requests() -> None:
    with late_server() as (host, port):
        await asyncio.sleep(PAUSE_S)
        requests.get(f"http://{host}:{port}/", timeout=5)  # !io_requests
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_http_client() -> None:
    with late_server() as (host, port):
        connection = http.client.HTTPConnection(host, port)
        connection.request("GET", "/")
        await asyncio.sleep(PAUSE_S)
        connection.getresponse()  # !io_http_client
        connection.close()
        await asyncio.sleep(PAUSE_S)


@stall(Cause.IO, Cause.SLEEP, Cause.LOCK)  # SQLite waits for a lock of another connection by sleeping
async def io_locked_database() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "shop.db")
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("create table t (x)")
        holder.execute("begin exclusive")
        ours = sqlite3.connect(path, timeout=5)
        await asyncio.sleep(PAUSE_S)
        timer = threading.Timer(BLOCKED_S, holder.execute, ("rollback",))
        timer.start()
        ours.execute("select * from t").fetchall()  # !io_locked_database
        timer.join()
        ours.close()
        holder.close()
    await asyncio.sleep(PAUSE_S)


@stall(Cause.IO, Cause.LOCK)
async def io_locked_file() -> None:
    with tempfile.NamedTemporaryFile() as first, open(first.name, "rb") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        await asyncio.sleep(PAUSE_S)
        threading.Timer(BLOCKED_S, fcntl.flock, (first, fcntl.LOCK_UN)).start()
        fcntl.flock(second, fcntl.LOCK_EX)  # !io_locked_file
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_pipe_read() -> None:
    reading, writing = os.pipe()
    await asyncio.sleep(PAUSE_S)
    threading.Timer(BLOCKED_S, os.write, (writing, b"x")).start()
    os.read(reading, 1)  # !io_pipe_read
    os.close(reading)
    os.close(writing)
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_fifo_open() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "fifo")
        os.mkfifo(path)
        await asyncio.sleep(PAUSE_S)
        threading.Timer(BLOCKED_S, lambda: open(path, "wb").close()).start()
        with open(path, "rb") as fifo:  # !io_fifo_open
            assert fifo.read() == b""
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_fifo_read_text() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fifo")
        os.mkfifo(path)
        thread = threading.Timer(BLOCKED_S, path.write_text, ("late",))
        await asyncio.sleep(PAUSE_S)
        thread.start()
        assert path.read_text() == "late"  # !io_fifo_read_text
        thread.join()
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_fsync() -> None:
    with tempfile.NamedTemporaryFile(dir=Path(__file__).parent) as file:
        await asyncio.sleep(PAUSE_S)
        until = time.monotonic() + BLOCKED_S
        while time.monotonic() < until:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())  # !io_fsync
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_subprocess_run() -> None:
    await asyncio.sleep(PAUSE_S)
    subprocess.run(["sleep", str(BLOCKED_S)], check=True)  # !io_subprocess_run
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_subprocess_output() -> None:
    await asyncio.sleep(PAUSE_S)
    subprocess.check_output(["sh", "-c", f"sleep {BLOCKED_S}; echo done"])  # !io_subprocess_output
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_subprocess_that_computes() -> None:
    work = "x = 0\nfor n in range(6_000_000): x += n"
    await asyncio.sleep(PAUSE_S)
    subprocess.run([sys.executable, "-S", "-c", work], check=True)  # !io_subprocess_that_computes
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_os_system() -> None:
    await asyncio.sleep(PAUSE_S)
    os.system(f"sleep {BLOCKED_S}")  # !io_os_system
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_waitpid() -> None:
    child = subprocess.Popen(["sleep", str(BLOCKED_S)])
    await asyncio.sleep(0)
    os.waitpid(child.pid, 0)  # !io_waitpid
    child.returncode = 0
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_popen_communicate() -> None:
    child = subprocess.Popen(["sleep", str(BLOCKED_S)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await asyncio.sleep(0)
    child.communicate()  # !io_popen_communicate
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_select() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await asyncio.sleep(PAUSE_S)
        select.select([ours], [], [], BLOCKED_S)  # !io_select
        await asyncio.sleep(PAUSE_S)


@reads()
async def io_poll() -> None:
    reading, writing = os.pipe()
    poller = select.poll()
    poller.register(reading)
    await asyncio.sleep(PAUSE_S)
    poller.poll(BLOCKED_S * 1000)  # !io_poll
    os.close(reading)
    os.close(writing)
    await asyncio.sleep(PAUSE_S)


@reads()
async def io_epoll() -> None:
    reading, writing = os.pipe()
    with select.epoll() as poller:
        poller.register(reading, select.EPOLLIN)
        await asyncio.sleep(PAUSE_S)
        poller.poll(BLOCKED_S)  # !io_epoll
    os.close(reading)
    os.close(writing)
    await asyncio.sleep(PAUSE_S)


@reads(held=True)
async def io_read_that_keeps_the_gil() -> None:
    reading, writing = os.pipe()
    child = subprocess.Popen(
        ["sh", "-c", f"sleep {BLOCKED_S + 0.1}; echo x >/proc/self/fd/{writing}"], pass_fds=[writing]
    )
    await asyncio.sleep(0.1)
    ctypes.PyDLL(None).read(reading, ctypes.create_string_buffer(1), 1)  # !io_read_that_keeps_the_gil
    await asyncio.sleep(PAUSE_S)
    child.wait()
    os.close(reading)
    os.close(writing)


@reads()
async def io_pipe_of_multiprocessing() -> None:
    ours, theirs = multiprocessing.Pipe()
    await asyncio.sleep(PAUSE_S)
    threading.Timer(BLOCKED_S, theirs.send, ("x",)).start()
    assert ours.recv() == "x"  # !io_pipe_of_multiprocessing
    await asyncio.sleep(PAUSE_S)


@stall(Cause.IO, Cause.SLEEP)
async def io_sigtimedwait() -> None:
    await asyncio.sleep(PAUSE_S)
    signal.sigtimedwait({signal.SIGUSR2}, BLOCKED_S)  # !io_sigtimedwait
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    await asyncio.sleep(PAUSE_S)
    threading.Timer(BLOCKED_S, lock.release).start()
    with lock:  # !lock_lock
        pass
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_lock_with_a_timeout() -> None:
    lock = threading.Lock()
    lock.acquire()
    await asyncio.sleep(PAUSE_S)
    lock.acquire(timeout=BLOCKED_S)  # !lock_lock_with_a_timeout
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_event() -> None:
    await asyncio.sleep(PAUSE_S)
    threading.Event().wait(BLOCKED_S)  # !lock_event
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_condition() -> None:
    condition = threading.Condition()
    await asyncio.sleep(PAUSE_S)
    with condition:
        condition.wait(BLOCKED_S)  # !lock_condition
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_semaphore() -> None:
    semaphore = threading.Semaphore(0)
    await asyncio.sleep(PAUSE_S)
    semaphore.acquire(timeout=BLOCKED_S)  # !lock_semaphore
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_queue_get() -> None:
    jobs: queue.Queue[int] = queue.Queue()
    await asyncio.sleep(PAUSE_S)
    threading.Timer(BLOCKED_S, jobs.put, (1,)).start()
    jobs.get()  # !lock_queue_get
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_simple_queue() -> None:
    jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
    await asyncio.sleep(PAUSE_S)
    threading.Timer(BLOCKED_S, jobs.put, (1,)).start()
    jobs.get()  # !lock_simple_queue
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_queue_put() -> None:
    jobs: queue.Queue[int] = queue.Queue(1)
    jobs.put(1)
    await asyncio.sleep(PAUSE_S)
    threading.Timer(BLOCKED_S, jobs.get).start()
    jobs.put(2)  # !lock_queue_put
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_future_result() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        await asyncio.sleep(PAUSE_S)
        pool.submit(time.sleep, BLOCKED_S).result()  # !lock_future_result
        await asyncio.sleep(PAUSE_S)


@locks()
async def lock_end_of_a_pool() -> None:
    await asyncio.sleep(PAUSE_S)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # !lock_end_of_a_pool
        pool.submit(time.sleep, BLOCKED_S)
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_thread_join() -> None:
    thread = threading.Thread(target=time.sleep, args=(BLOCKED_S,))
    await asyncio.sleep(PAUSE_S)
    thread.start()
    thread.join()  # !lock_thread_join
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_barrier() -> None:
    barrier = threading.Barrier(2)
    threading.Timer(BLOCKED_S + PAUSE_S, barrier.wait).start()
    await asyncio.sleep(PAUSE_S)
    barrier.wait()  # !lock_barrier
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_waits_for_its_own_loop() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(PAUSE_S)
    future = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
    try:
        future.result(BLOCKED_S)  # !lock_waits_for_its_own_loop
    except TimeoutError:
        await asyncio.sleep(PAUSE_S)


@locks()
async def lock_for_a_thread_that_computes() -> None:
    def compute() -> None:
        until = time.thread_time() + BLOCKED_S
        while time.thread_time() < until:
            sum(range(100))

    thread = threading.Thread(target=compute)
    await asyncio.sleep(PAUSE_S)
    thread.start()
    thread.join()  # !lock_for_a_thread_that_computes
    await asyncio.sleep(PAUSE_S)


@locks()
async def lock_of_multiprocessing() -> None:
    semaphore = multiprocessing.Semaphore(0)
    await asyncio.sleep(PAUSE_S)
    semaphore.acquire(True, BLOCKED_S)  # !lock_of_multiprocessing
    await asyncio.sleep(PAUSE_S)
