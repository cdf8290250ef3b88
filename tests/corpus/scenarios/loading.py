"""First imports, and collections of garbage."""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import sys
import tempfile
import threading
from pathlib import Path

from loophound.detector.records import Cause
from tests.corpus import sizes
from tests.corpus.scenario import BLOCKED_S, stall

PAUSE_S = 0.03
_number = itertools.count()


def module(*lines: str, package: bool = False) -> str:
    """The name of a module that nobody has imported yet."""
    folder = Path(tempfile.mkdtemp(prefix="corpus"))
    name = f"corpus_module_{next(_number)}"
    if package:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("from . import inner\n")
    (folder / (f"{name}/inner.py" if package else f"{name}.py")).write_text("\n".join(lines))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return name


SLEEPS = ("import time", f"time.sleep({BLOCKED_S})")
COMPUTES = ("import time", f"until = time.thread_time() + {BLOCKED_S}", "while time.thread_time() < until: pass")


@stall(Cause.IMPORT)
async def import_of_a_module_that_sleeps() -> None:
    name = module(*SLEEPS)
    await asyncio.sleep(PAUSE_S)
    __import__(name)  # !import_of_a_module_that_sleeps
    await asyncio.sleep(PAUSE_S)


@stall(Cause.IMPORT)
async def import_of_a_package_that_computes() -> None:
    name = module(*COMPUTES, package=True)
    await asyncio.sleep(PAUSE_S)
    importlib.import_module(name)  # !import_of_a_package_that_computes
    await asyncio.sleep(PAUSE_S)


@stall(Cause.IMPORT)
async def import_in_a_helper() -> None:
    name = module(*SLEEPS)
    namespace: dict[str, object] = {}

    def helper() -> None:
        load(name)

    def load(name: str) -> None:
        namespace[name] = importlib.import_module(name)  # !import_in_a_helper

    await asyncio.sleep(PAUSE_S)
    helper()
    await asyncio.sleep(PAUSE_S)


@stall(Cause.IMPORT)
async def import_of_much_code() -> None:
    lines = [f"def f{n}(a, b): return [a + b * {n} for _ in range({n}) if a > {n}]" for n in range(12_000)]
    name = module(*lines)
    await asyncio.sleep(PAUSE_S)
    __import__(name)  # !import_of_much_code
    await asyncio.sleep(PAUSE_S)


@stall(Cause.GC, held=True, prepare=sizes.garbage)
async def gc_collect() -> None:
    assert sizes.garbage()
    await asyncio.sleep(PAUSE_S)
    gc.collect()  # !gc_collect
    await asyncio.sleep(PAUSE_S)


@stall(Cause.GC, held=True, prepare=sizes.garbage)
async def gc_in_a_helper_of_a_callback() -> None:
    def tidy() -> int:
        return gc.collect()  # !gc_in_a_helper_of_a_callback

    asyncio.get_running_loop().call_later(PAUSE_S, tidy)
    await asyncio.sleep(2 * PAUSE_S)


@stall(Cause.GC, held=True, prepare=sizes.garbage)
async def gc_by_allocation() -> None:
    def allocate() -> list[list[object]]:
        return [[None] for _ in range(60_000)]  # !gc_by_allocation

    before = gc.get_threshold()
    await asyncio.sleep(PAUSE_S)
    # A full collection comes when enough has been allocated since the last one: here, a quarter of what there is.
    gc.set_threshold(50_000, 1, 1)
    gc.enable()
    try:
        collections = gc.get_stats()[2]["collections"]
        kept = []
        while gc.get_stats()[2]["collections"] == collections:
            kept.append(allocate())
    finally:
        gc.disable()
        gc.set_threshold(*before)
    await asyncio.sleep(PAUSE_S)


@stall(Cause.CONTENTION, meanwhile=True, prepare=sizes.garbage)
async def gc_in_another_thread() -> None:
    def tidy() -> None:
        gc.collect()  # !gc_in_another_thread

    await asyncio.sleep(PAUSE_S)
    thread = threading.Thread(target=tidy)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.001)
