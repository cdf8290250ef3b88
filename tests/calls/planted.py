"""An application with one blocking call behind each path, and beside it a twin that is innocent.

The line of a planted call has `# planted` on it. Served by each of several servers; the records go to RECORDS.
"""

# ruff: noqa: SIM115
from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import ftplib
import glob
import hashlib
import http.client
import io
import json
import os
import pathlib
import pickle
import queue
import select
import shutil
import smtplib
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import sleep
from types import SimpleNamespace
from typing import Any

import anyio
import fastapi
import httpx
import psycopg
import redis
import redis.asyncio
import requests
import urllib3

from loophound import BlockingCallMiddleware, allow_blocking
from loophound.dashboards.recorder import RecordFile
from tests.calls.services import Services

MOMENT_S = 0.02
here = SimpleNamespace()  # what the lifespan makes: a directory, files, servers
planted: dict[str, Callable[[], Awaitable[object]]] = {}
innocent: dict[str, Callable[[], Awaitable[object]]] = {}
calls: dict[str, str] = {}  # the name under which a planted call is to be flagged


def plant(call: str) -> Callable[[Callable[[], Awaitable[object]]], Callable[[], Awaitable[object]]]:
    def note(function: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        planted[function.__name__] = function
        calls[function.__name__] = call
        return function

    return note


def twin(function: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    innocent[function.__name__.removesuffix("_twin")] = function
    return function


def soon(call: Callable[..., object], *args: object) -> None:
    """In another thread, in a moment."""
    timer = threading.Timer(MOMENT_S, call, args)
    timer.daemon = True
    timer.start()


# Sleeping


@plant("time.sleep")
async def sleeping() -> None:
    time.sleep(MOMENT_S)  # planted


@twin
async def sleeping_twin() -> None:
    await asyncio.sleep(MOMENT_S)
    time.sleep(0)


@plant("time.sleep")
async def early_bound() -> None:
    sleep(MOMENT_S)  # planted


@twin
async def early_bound_twin() -> None:
    await asyncio.to_thread(sleep, MOMENT_S)


@plant("time.sleep")
async def in_a_task() -> None:
    async def child() -> None:
        time.sleep(MOMENT_S)  # planted

    await asyncio.create_task(child())


@twin
async def in_a_task_twin() -> None:
    await asyncio.create_task(asyncio.sleep(MOMENT_S))


# Files


@plant("open")
async def opening() -> None:
    open(here.text).close()  # planted


@twin
async def opening_twin() -> None:
    async with await anyio.open_file(here.text) as file:
        await file.read()


@plant("io.TextIOWrapper.read")
async def reading() -> None:
    here.opened.seek(0)
    here.opened.read()  # planted


@twin
async def reading_twin() -> None:
    io.StringIO("text").read()
    io.TextIOWrapper(io.BytesIO(b"text")).read()


@plant("io.BufferedWriter.write")
async def writing() -> None:
    here.written.write(b"x" * 20_000)  # planted


@twin
async def writing_twin() -> None:
    sys.stdout.write("")
    io.BytesIO().write(b"x")


@plant("os.fsync")
async def syncing() -> None:
    os.fsync(here.written.fileno())  # planted


@twin
async def syncing_twin() -> None:
    await asyncio.to_thread(os.fsync, here.written.fileno())


@plant("os.read")
async def reading_a_pipe() -> None:
    soon(os.write, here.pipe[1], b"x")
    os.read(here.pipe[0], 1)  # planted


@twin
async def reading_a_pipe_twin() -> None:
    with suppress(BlockingIOError):
        os.read(here.pipe_that_does_not_block, 1)


@plant("fcntl.flock")
async def locking_a_file() -> None:
    fcntl.flock(here.written, fcntl.LOCK_SH)  # planted


@twin
async def locking_a_file_twin() -> None:
    fcntl.flock(here.written, fcntl.LOCK_SH | fcntl.LOCK_NB)


@plant("os.listdir")
async def listing() -> None:
    os.listdir(here.directory)  # planted


@twin
async def listing_twin() -> None:
    os.listdir("/proc/self")


@plant("os.stat")
async def looking() -> None:
    os.path.exists(here.text)  # planted


@twin
async def looking_twin() -> None:
    await anyio.Path(here.text).exists()
    os.stat("/proc/self/stat")


@plant("shutil.copyfile")
async def copying() -> None:
    shutil.copyfile(here.text, here.text + ".copy")  # planted


@twin
async def copying_twin() -> None:
    await asyncio.to_thread(shutil.copyfile, here.text, here.text + ".other")


@plant("pathlib.Path.read_text")
async def path_reading() -> None:
    pathlib.Path(here.text).read_text()  # planted


@twin
async def path_reading_twin() -> None:
    pathlib.Path("/proc/self/stat").read_text()
    await anyio.Path(here.text).read_text()


@plant("glob.glob")
async def globbing() -> None:
    glob.glob(f"{here.directory}/*")  # planted


@twin
async def globbing_twin() -> None:
    await asyncio.to_thread(glob.glob, f"{here.directory}/*")


@plant("tempfile.NamedTemporaryFile")
async def temporary() -> None:
    file = tempfile.NamedTemporaryFile()  # planted
    await asyncio.to_thread(file.close)


@twin
async def temporary_twin() -> None:
    async with anyio.NamedTemporaryFile() as file:
        await file.write(b"x")


# Network


@plant("socket.create_connection")
async def connecting() -> None:
    socket.create_connection(("127.0.0.1", here.services.slow)).close()  # planted


@twin
async def connecting_twin() -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", here.services.slow)
    writer.close()


@plant("socket.socket.recv")
async def receiving() -> None:
    sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", here.services.slow))
    sock.recv(4)  # planted
    sock.close()


@twin
async def receiving_twin() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        theirs.send(b"x")
        await asyncio.get_running_loop().sock_recv(ours, 1)


@plant("socket.socket.sendall")
async def sending() -> None:
    ours, theirs = socket.socketpair()
    soon(lambda: theirs.recv(1 << 20, socket.MSG_WAITALL))
    ours.sendall(b"x" * (1 << 20))  # planted
    ours.close()


@twin
async def sending_twin() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.send(b"x")


@plant("socket.socket.accept")
async def accepting() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    soon(lambda: socket.create_connection(listener.getsockname()).close())
    listener.accept()[0].close()  # planted
    listener.close()


@twin
async def accepting_twin() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    server.close()


@plant("socket.getaddrinfo")
async def resolving() -> None:
    socket.getaddrinfo("localhost", 80)  # planted


@twin
async def resolving_twin() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


@plant("select.select")
async def selecting() -> None:
    select.select([here.quiet], [], [], MOMENT_S)  # planted


@twin
async def selecting_twin() -> None:
    select.select([here.quiet], [], [], 0)


@plant("select.poll.poll")
async def polling() -> None:
    poll = select.poll()
    poll.register(here.quiet, select.POLLIN)
    poll.poll(20)  # planted


@twin
async def polling_twin() -> None:
    poll = select.poll()
    poll.register(here.quiet, select.POLLIN)
    poll.poll(0)


@plant("ssl.SSLSocket.do_handshake")
async def shaking_hands() -> None:
    sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", here.services.tls))
    here.services.trusting.wrap_socket(sock, server_hostname="127.0.0.1").close()  # planted


@twin
async def shaking_hands_twin() -> None:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", here.services.tls, ssl=here.services.trusting, server_hostname="127.0.0.1"
    )
    writer.close()


# Processes


@plant("subprocess.run")
async def running() -> None:
    subprocess.run(["true"], check=True)  # planted


@twin
async def running_twin() -> None:
    child = await asyncio.create_subprocess_exec("true")
    await child.wait()


@plant("subprocess.Popen.wait")
async def waiting_for_a_child() -> None:
    child = await asyncio.to_thread(subprocess.Popen, ["sleep", "0.05"])
    child.wait()  # planted


@twin
async def waiting_for_a_child_twin() -> None:
    child = await asyncio.to_thread(subprocess.Popen, ["true"])
    child.poll()
    await asyncio.to_thread(child.wait)
    child.wait()  # has ended


@plant("os.waitpid")
async def reaping() -> None:
    child = await asyncio.to_thread(subprocess.Popen, ["sleep", "0.05"])
    _, status = os.waitpid(child.pid, 0)  # planted
    child.returncode = status


@twin
async def reaping_twin() -> None:
    child = await asyncio.to_thread(subprocess.Popen, ["true"])
    os.waitpid(child.pid, os.WNOHANG)
    await asyncio.to_thread(child.wait)


# Threads


@plant("threading.Lock.acquire")
async def locking() -> None:
    lock = threading.Lock()
    lock.acquire()
    soon(lock.release)
    lock.acquire()  # planted


@twin
async def locking_twin() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire(blocking=False)
    lock.acquire()


@plant("threading.RLock.acquire")
async def entering() -> None:
    lock, held = threading.RLock(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            time.sleep(MOMENT_S)

    await asyncio.get_running_loop().run_in_executor(None, lambda: threading.Thread(target=hold, daemon=True).start())
    await asyncio.to_thread(held.wait)
    with lock:  # planted
        pass


@twin
async def entering_twin() -> None:
    lock = asyncio.Lock()
    async with lock:
        pass
    with threading.RLock():
        pass


@plant("threading.Condition.wait")
async def waiting_for_a_condition() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait(MOMENT_S)  # planted


@twin
async def waiting_for_a_condition_twin() -> None:
    condition = threading.Condition()
    with condition:
        condition.notify_all()


@plant("threading.Event.wait")
async def waiting_for_an_event() -> None:
    threading.Event().wait(MOMENT_S)  # planted


@twin
async def waiting_for_an_event_twin() -> None:
    event = threading.Event()
    event.wait(0)
    event.set()
    event.wait()


@plant("threading.Semaphore.acquire")
async def waiting_for_a_semaphore() -> None:
    semaphore = threading.Semaphore(0)
    soon(semaphore.release)
    semaphore.acquire()  # planted


@twin
async def waiting_for_a_semaphore_twin() -> None:
    with threading.Semaphore(1):
        threading.Semaphore(0).acquire(blocking=False)


@plant("queue.Queue.get")
async def getting() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    soon(waiting.put, 1)
    waiting.get()  # planted


@twin
async def getting_twin() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    waiting.put(1)
    waiting.get()
    with suppress(queue.Empty):
        waiting.get_nowait()


@plant("queue.Queue.put")
async def putting() -> None:
    waiting: queue.Queue[int] = queue.Queue(1)
    waiting.put(1)
    soon(waiting.get)
    waiting.put(2)  # planted


@twin
async def putting_twin() -> None:
    waiting: asyncio.Queue[int] = asyncio.Queue()
    await waiting.put(1)


@plant("threading.Thread.join")
async def joining() -> None:
    thread = threading.Thread(target=time.sleep, args=(MOMENT_S,))
    thread.start()
    thread.join()  # planted


@twin
async def joining_twin() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    await asyncio.to_thread(thread.join)
    thread.join()


@plant("concurrent.futures.Future.result")
async def result() -> None:
    here.pool.submit(time.sleep, MOMENT_S).result()  # planted


@twin
async def result_twin() -> None:
    future = here.pool.submit(time.sleep, MOMENT_S)
    await asyncio.wrap_future(future)
    future.result()


@plant("concurrent.futures.wait")
async def waiting_for_futures() -> None:
    concurrent.futures.wait([here.pool.submit(time.sleep, MOMENT_S)])  # planted


@twin
async def waiting_for_futures_twin() -> None:
    await asyncio.wait([asyncio.wrap_future(here.pool.submit(time.sleep, MOMENT_S))])


# Databases and clients


@plant("sqlite3.Connection.execute")
async def sqlite() -> None:
    here.database.execute("SELECT 1")  # planted


@twin
async def sqlite_twin() -> None:
    await asyncio.to_thread(here.database.execute, "SELECT 1")


@plant("redis.Redis.execute_command")
async def redis_get() -> None:
    here.redis.get("key")  # planted


@twin
async def redis_get_twin() -> None:
    client = redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"]))
    await client.get("key")
    await client.aclose()


@plant("psycopg.connect")
async def postgres() -> None:
    with suppress(psycopg.OperationalError):
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")  # planted


@twin
async def postgres_twin() -> None:
    with suppress(psycopg.Error):
        await psycopg.AsyncConnection.connect("host=127.0.0.1 port=1 connect_timeout=2")


@plant("urllib.request.urlopen")
async def fetching() -> None:
    urllib.request.urlopen(here.services.url).close()  # planted


@twin
async def fetching_twin() -> None:
    await asyncio.to_thread(urllib.request.urlopen, here.services.url)


@plant("http.client.HTTPConnection.getresponse")
async def answering() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", here.services.web)
    await asyncio.to_thread(connection.request, "GET", "/")
    connection.getresponse()  # planted
    connection.close()


@twin
async def answering_twin() -> None:
    async with httpx.AsyncClient() as client:
        await client.get(here.services.url)


@plant("requests.get")
async def requesting() -> None:
    requests.get(here.services.url, timeout=5)  # planted


@twin
async def requesting_twin() -> None:
    await asyncio.to_thread(requests.get, here.services.url, timeout=5)


@plant("httpx.get")
async def requesting_by_httpx() -> None:
    httpx.get(here.services.url, trust_env=False)  # planted


@twin
async def requesting_by_httpx_twin() -> None:
    async with httpx.AsyncClient() as client:
        await client.get(here.services.url)


@plant("urllib3.PoolManager.request")
async def requesting_by_urllib3() -> None:
    here.manager.request("GET", here.services.url)  # planted


@twin
async def requesting_by_urllib3_twin() -> None:
    await asyncio.to_thread(here.manager.request, "GET", here.services.url)


@plant("smtplib.SMTP")
async def mailing() -> None:
    smtplib.SMTP("127.0.0.1", here.services.mail).close()  # planted


@twin
async def mailing_twin() -> None:
    await asyncio.to_thread(smtplib.SMTP)  # it asks for the name of this machine


@plant("ftplib.FTP.connect")
async def transferring() -> None:
    ftplib.FTP().connect("127.0.0.1", here.services.files)  # planted


@twin
async def transferring_twin() -> None:
    ftplib.FTP().close()


# Computing


@plant("zipfile.ZipFile.read")
async def unzipping() -> None:
    here.zip.read("big")  # planted


@twin
async def unzipping_twin() -> None:
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    archive.writestr("small", b"x")


@plant("tarfile.TarFile.extractall")
async def untarring() -> None:
    here.tar.extractall(here.directory, filter="data")  # planted


@twin
async def untarring_twin() -> None:
    await asyncio.to_thread(here.tar.extractall, here.directory, filter="data")


@plant("zlib.compress")
async def compressing() -> None:
    zlib.compress(bytes(1 << 20))  # planted


@twin
async def compressing_twin() -> None:
    zlib.compress(b"small")


@plant("hashlib.sha256")
async def hashing() -> None:
    hashlib.sha256(bytes(2 << 20))  # planted


@twin
async def hashing_twin() -> None:
    hashlib.sha256(b"small").hexdigest()


@plant("json.dumps")
async def encoding() -> None:
    json.dumps(here.document)  # planted


@twin
async def encoding_twin() -> None:
    json.dumps({"a": [1, 2, 3]})


@plant("json.loads")
async def decoding() -> None:
    json.loads(here.text_of_document)  # planted


@twin
async def decoding_twin() -> None:
    json.loads('{"a": 1}')


@plant("pickle.dumps")
async def pickling() -> None:
    pickle.dumps(here.document)  # planted


@twin
async def pickling_twin() -> None:
    pickle.dumps([1, 2, 3])


@plant("import")
async def importing() -> None:
    import wave  # noqa: F401 # planted


@twin
async def importing_twin() -> None:
    import json  # noqa: F401


@plant("input")
async def asking() -> None:
    sys.stdin = io.StringIO("yes\n")
    input()  # planted


@twin
async def asking_twin() -> None:
    with allow_blocking("a test"):
        time.sleep(MOMENT_S)


@asynccontextmanager
async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        yield
        here.pool.shutdown()
        here.redis.close()
        here.database.close()


def prepare(directory: str) -> None:
    """What is used by the requests; by the lifespan, in which nothing is flagged."""
    here.directory = directory
    here.text = f"{directory}/text"
    pathlib.Path(here.text).write_text("text" * 1000)
    here.opened = open(here.text)
    here.written = open(f"{directory}/written", "wb")
    here.pipe = os.pipe()
    here.pipe_that_does_not_block = os.pipe()[0]
    os.set_blocking(here.pipe_that_does_not_block, False)
    here.quiet = os.pipe()[0]
    here.services = Services()
    here.pool = concurrent.futures.ThreadPoolExecutor()
    here.database = sqlite3.connect(f"{directory}/database", check_same_thread=False)
    here.redis = redis.Redis(port=int(os.environ["REDIS_PORT"]))
    here.manager = urllib3.PoolManager()
    here.document = [{"number": number, "name": "x" * 20} for number in range(5000)]
    here.text_of_document = json.dumps(here.document)
    here.zip = zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED)
    here.zip.writestr("big", bytes(1 << 20))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("member")
        member.size = 1 << 20
        archive.addfile(member, io.BytesIO(bytes(1 << 20)))
    packed.seek(0)
    here.tar = tarfile.open(fileobj=packed)


api = fastapi.FastAPI(lifespan=lifespan)


@api.get("/planted/{name}")
async def call_planted(name: str) -> str:
    await planted[name]()
    return "done"


@api.get("/innocent/{name}")
async def call_innocent(name: str) -> str:
    await innocent[name]()
    return "done"


def make() -> Any:
    """The application, for a server."""
    return BlockingCallMiddleware(api, action="callback", callback=RecordFile(os.environ["RECORDS"]), minimum_ms=0)
