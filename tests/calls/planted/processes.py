"""Child processes."""

from __future__ import annotations

import asyncio
import os
import subprocess

from tests.calls.planted.base import plant, twin


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
