"""The other side of test_outside.py: a process that watches a thread of the one that started it.

    outside.py FD LAYOUT STATE NATIVE_ID

Writes "ready", then one JSON list per accepted walk, [time, innermost frames with their
owners], until its standard input ends; at last the counters.
"""

from __future__ import annotations

import json
import selectors
import sys
import time

from loophound.observer.layout import Layout
from loophound.observer.memory import ProcessMemory
from loophound.observer.walk import Walker

DEEPEST = 12


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(fd: str, layout: str, state: str, native_id: str, pause_s: str) -> None:
    walker = Walker(ProcessMemory(int(fd)), Layout.from_json(layout))
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    tell("ready")
    while not selector.select(float(pause_s)):
        at = time.monotonic()
        walk = walker.walk(int(state), int(native_id))
        if walk is not None:
            frames = [[*frame, owner] for frame, owner in zip(walk.frames, walk.owners, strict=True)]
            tell(json.dumps([at, frames[-DEEPEST:]]))
    tell(json.dumps([walker.taken, walker.dropped]))


if __name__ == "__main__":
    main(*sys.argv[1:])
