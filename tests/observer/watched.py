"""Threads of the tests' own process, watched from outside by outside.py or by a walker inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loophound.detector.frames import CodeFrame
from loophound.observer.calibrate import MEMORY_PATH, this_thread_state
from loophound.observer.layout import Layout

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass
class Seen:
    """One accepted walk: when it began (time.monotonic) and its innermost frames."""

    at: float
    frames: list[CodeFrame]
    owners: list[int]


@dataclass
class Watch:
    """What the outside process saw; filled when the watch ends."""

    seen: list[Seen] = field(default_factory=list)
    taken: int = 0
    dropped: int = 0


@contextmanager
def watched_from_outside(layout: Layout, state: int, native_id: int, pause_s: float) -> Iterator[Watch]:
    """Another process walks a thread of this one until the block ends."""
    fd = os.open(MEMORY_PATH, os.O_RDONLY)
    arguments = [str(fd), layout.to_json(), str(state), str(native_id), str(pause_s)]
    child = subprocess.Popen(
        [sys.executable, str(HERE / "outside.py"), *arguments],
        pass_fds=[fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    os.close(fd)
    assert child.stdin is not None
    assert child.stdout is not None
    lines: list[str] = []
    watch = Watch()
    with child:
        assert child.stdout.readline() == "ready\n"
        # The pipe is emptied all the while, so that the child never waits for it.
        reader = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
        reader.start()
        try:
            yield watch
        finally:
            child.stdin.close()
            reader.join()
    assert child.returncode == 0
    watch.taken, watch.dropped = json.loads(lines.pop())
    for at, frames in map(json.loads, lines):
        watch.seen.append(Seen(at, [CodeFrame(*frame[:-1]) for frame in frames], [frame[-1] for frame in frames]))


class ThreadIn:
    """A thread that runs `body`, which calls the `park` it is given where the thread shall stand still."""

    def __init__(self, body: Callable[[Callable[[], None]], object]) -> None:
        self.state = self.native_id = 0
        self._body = body
        self._arrived, self._leave = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.state, self.native_id = this_thread_state(), threading.get_native_id()
        self._body(self._park)

    def _park(self) -> None:
        self._arrived.release()
        self._leave.acquire()

    def start(self) -> ThreadIn:
        self._thread.start()
        self._arrived.acquire()
        return self

    def __enter__(self) -> ThreadIn:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self._leave.release()
        self._thread.join()
