"""The reader from outside under a storm: every accepted stack is held against what can have run.

    python -m tests.observer.storm [--seconds 60] [--threads 6]

One process storms: threads recurse with exceptions, run generators and coroutines, execute code that
dies at once, import modules and forget them, are called back by C code, start and end. Another reads
the stacks of all of them as fast as it can. Each line that calls something of this file names it, and
each thread runs one of two families of functions, told by the ends of their names, so that a stack
with frames of two moments shows. Exits 1 when one was accepted, or when the storm was disturbed.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import linecache
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from loophound.detector.frames import CodeFrame
from loophound.observer.calibrate import calibrate, this_thread_state
from loophound.observer.layout import Layout
from loophound.observer.memory import ProcessMemory
from loophound.observer.walk import Walker

MADE = "storm_made_"  # files of code that lives for a moment
SHOWN = 5  # of the wrong ones
FAMILIES = ("_a", "_b")


# What storms. Lines that call a function of this file name it.


def leaf_a(number: int) -> int:
    return sum(range(number % 30))


def leaf_b(number: int) -> int:
    return sum(range(number % 20))


def key_a(number: int) -> int:
    return -leaf_a(number)


def key_b(number: int) -> int:
    return -leaf_b(number)


def each_a(count: int) -> Iterator[int]:
    for number in range(count):
        yield leaf_a(number)


def each_b(count: int) -> Iterator[int]:
    for number in range(count):
        yield leaf_b(number)


async def inner_a() -> int:
    return leaf_a(9)


async def inner_b() -> int:
    return leaf_b(9)


async def outer_a() -> int:
    return await inner_a() + leaf_a(3)


async def outer_b() -> int:
    return await inner_b() + leaf_b(3)


def fail_a(depth: int) -> int:
    if depth:
        return fail_a(depth - 1) + leaf_a(depth)
    raise ValueError


def fail_b(depth: int) -> int:
    if depth:
        return fail_b(depth - 1) + leaf_b(depth)
    raise ValueError


def deep_a(depth: int) -> int:
    return deep_a(depth - 1) if depth else leaf_a(7)


def deep_b(depth: int) -> int:
    return deep_b(depth - 1) if depth else leaf_b(7)


class Closes_a:
    def __del__(self) -> None:
        leaf_a(11)


class Closes_b:
    def __del__(self) -> None:
        leaf_b(11)


def made_code(family: str, number: int) -> Callable[[], int]:
    """A function in a file of its own, which calls a leaf of the family and dies soon."""
    name = f"{MADE}{number}{family}"
    space = dict(globals())
    exec(compile(f"def {name}():\n    return leaf{family}({number})\n", name, "exec"), space)
    function: Callable[[], int] = space[name]
    return function


def turn_a(folder: str) -> None:
    leaf_a(1)
    sorted([3, 1, 2], key=key_a)
    functools.reduce(lambda total, number: total + leaf_a(number), range(5))
    sum(each_a(5))
    try:
        outer_a().send(None)
    except StopIteration:
        leaf_a(2)
    try:
        fail_a(random.randrange(12))
    except ValueError:
        leaf_a(4)
    deep_a(random.randrange(60))
    made_code("_a", random.randrange(1000))()  # storm_made_
    Closes_a()  # __del__
    loaded(folder, "_a")


def turn_b(folder: str) -> None:
    leaf_b(1)
    sorted([3, 1, 2], key=key_b)
    functools.reduce(lambda total, number: total + leaf_b(number), range(5))
    sum(each_b(5))
    try:
        outer_b().send(None)
    except StopIteration:
        leaf_b(2)
    try:
        fail_b(random.randrange(12))
    except ValueError:
        leaf_b(4)
    deep_b(random.randrange(60))
    made_code("_b", random.randrange(1000))()  # storm_made_
    Closes_b()  # __del__
    loaded(folder, "_b")


def loaded(folder: str, family: str) -> None:
    """Import a module of the folder, and forget it."""
    if random.random() < 0.02:
        name = f"{MADE}module_{threading.get_ident()}"
        Path(folder, f"{name}.py").write_text(f"VALUE = [n * 3 for n in range({random.randrange(50)})]\n")
        importlib.invalidate_caches()
        importlib.import_module(name)
        sys.modules.pop(name, None)


def root_a(folder: str, until_s: float) -> None:
    while time.monotonic() < until_s:
        turn_a(folder)


def root_b(folder: str, until_s: float) -> None:
    while time.monotonic() < until_s:
        turn_b(folder)


def storm(seconds: float, threads: int) -> int:
    """Storm, be read, and say how it went."""
    sys.setswitchinterval(0.0005)  # more moments between which a stack can be torn
    layout, state = calibrate().to_json(), str(this_thread_state())
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.observer.storm", "--read", str(memory), layout, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[memory],
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    end_s = time.monotonic() + seconds
    started = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        running: list[threading.Thread] = []
        while time.monotonic() < end_s:
            running = list(filter(threading.Thread.is_alive, running))
            while len(running) < threads:
                root, family = random.choice([(root_a, "_a"), (root_b, "_b")])
                until_s = min(end_s, time.monotonic() + random.expovariate(2.0))
                running.append(threading.Thread(target=root, args=(folder, until_s)))
                running[-1].start()
                started[family] += 1
            time.sleep(0.005)
        for thread in running:
            thread.join()
    output, _ = reader.communicate()
    sys.stdout.write(f"{started.total()} threads came and went; {output}")
    return reader.returncode


# The other side


def read(fd: int, layout: str, state: int) -> int:
    walker = Walker(ProcessMemory(fd), Layout.from_json(layout))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
    lists, wrong, leaves = 0, Counter[str](), Counter[str]()
    while not closed.is_set():
        threads = walker.threads(state)
        lists += 1
        for thread in threads:
            walk = walker.walk(thread.state, thread.native_id)
            if walk is None:
                continue
            leaves[walk.frames[-1].function] += 1
            problem = false_in(walk.frames)
            if problem:
                wrong[problem] += 1
    walks = walker.taken + walker.dropped
    sys.stdout.write(
        f"{lists} lists of threads, {walks} walks, {walker.taken} accepted, "
        f"{walker.dropped / max(1, walks):.1%} dropped, {len(leaves)} functions seen innermost, {wrong.total()} false\n"
    )
    for problem, times in wrong.most_common(SHOWN):
        sys.stdout.write(f"false, {times} times: {problem}\n")
    return int(bool(wrong) or not walker.taken)


def false_in(frames: tuple[CodeFrame, ...]) -> str | None:
    """What cannot have been, in words."""
    for caller, callee in itertools.pairwise(frames):
        if not may_call(caller, callee):
            return f"{caller.file}:{caller.line} {caller.function} does not call {callee.file}:{callee.function}"
    ours = [frame.function for frame in frames if frame.file == __file__ or frame.file.startswith(MADE)]
    families = {name[-2:] for name in (n.removesuffix(".__del__") for n in ours) if name.endswith(FAMILIES)}
    return f"two families in one stack: {ours}" if len(families) > 1 else None


def may_call(caller: CodeFrame, callee: CodeFrame) -> bool:
    name = callee.function.rpartition(".")[2]
    if caller.file.startswith(MADE):
        # A module of one line is what storms made; its comprehension is a frame up to 3.11.
        return name in (caller.file, "<listcomp>") or name == f"leaf{caller.file[-2:]}"
    if caller.file != __file__:
        return True
    text = linecache.getline(__file__, caller.line)
    if callee.file.startswith(MADE):
        return (name == callee.file and MADE in text) or (name == "<module>" and "exec(" in text)
    return name in text or callee.file != __file__ or name in ("<lambda>", "<genexpr>")


def main() -> int:
    if sys.argv[1:2] == ["--read"]:
        return read(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    parser = argparse.ArgumentParser(prog="python -m tests.observer.storm", description="Read stacks in a storm.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=6)
    options = parser.parse_args()
    return storm(options.seconds, options.threads)


if __name__ == "__main__":
    sys.exit(main())
