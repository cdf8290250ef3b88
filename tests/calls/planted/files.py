"""Files, the file system, and pipes."""

# ruff: noqa: SIM115
from __future__ import annotations

import asyncio
import fcntl
import glob
import io
import os
import pathlib
import shutil
import sys
import tempfile
from contextlib import suppress

import anyio

from tests.calls.planted.base import here, plant, soon, twin


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
