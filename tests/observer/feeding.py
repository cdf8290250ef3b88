"""Programs that run under an observer with a feed, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loophound.dashboards.feed import FeedReader

Message = dict[str, Any]

PATIENCE_S = 20.0

# `blocked(s)` holds the GIL: ctypes.PyDLL does not let go of it.
PRELUDE = """
import asyncio, ctypes, os, signal, sys, threading, time
from pathlib import Path
from loophound.detector.detector import Detector
from loophound.observer.hosting import Hosting

def hold_the_gil(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))

hosting = Hosting(feed=sys.argv[1], about={"app": "program:app", "command": "exec", "threshold_s": 0.1})
detector = Detector(0.1, hosting=hosting)
"""
EPILOGUE = """
with detector:
    detector.wait_for_observer()
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main())
hosting.close()
"""


class Program:
    """A running program, and what its feed has said so far."""

    def __init__(self, process: subprocess.Popen[str], reader: FeedReader) -> None:
        self.process = process
        self.reader = reader
        self.said: list[Message] = []
        self._asked = 0

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def until(self, wanted: Callable[[Message], object]) -> Message:
        """The first message that is wanted, of those that were not asked for before."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            while self._asked < len(self.said):
                self._asked += 1
                if wanted(self.said[self._asked - 1]):
                    return self.said[self._asked - 1]
            self.said += self.reader.read(0.5)
        kinds = [(m["type"], m.get("state")) for m in self.said]
        raise AssertionError(f"it did not come within {PATIENCE_S:g} s: {kinds[-40:]}")

    def state(self, name: str) -> Message:
        return self.until(lambda m: m["type"] == "state" and m["state"] == name)


@contextmanager
def program(body: str, path: Path) -> Iterator[Program]:
    """`body` defines `async def main()`; its loop starts with `go()`."""
    source = PRELUDE + textwrap.dedent(body) + EPILOGUE
    process = subprocess.Popen(
        [sys.executable, "-c", source, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with FeedReader(path) as reader:
            yield Program(process, reader)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def observers_of(pid: int, *, of: str = "") -> list[int]:
    """The observer processes that this process has started, and that run; `of` a kind of socket alone."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            arguments = (entry / "cmdline").read_text(errors="replace").split("\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if (
            "loophound.observer" in arguments
            and f'"pid": {pid},' in arguments[-2]
            and "/bin/sh" not in arguments
            and of in arguments[-2]
        ):
            found.append(int(entry.name))
    return found
