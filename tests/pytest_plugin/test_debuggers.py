"""Somebody looks at a test: that is no stall."""

from __future__ import annotations

import threading
import time

import pytest

from tests.pytest_plugin.running import Started, start, together

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

THINKS_S = 0.3
BREAKPOINTS = """
import asyncio, time, pytest

async def main():
    await asyncio.sleep(0.03)
    breakpoint()
    await asyncio.sleep(0.03)

def test_breakpoint():
    asyncio.run(main())

async def fails():
    await asyncio.sleep(0.03)
    assert 1 + 1 == 3

def test_looked_at_when_it_has_failed():
    asyncio.run(fails())

async def block():
    await asyncio.sleep(0.03)
    time.sleep(0.2)

@pytest.fixture
def torn_down():
    yield
    asyncio.run(block())

def test_of_a_slow_fixture_looked_at(torn_down):
    assert 1 + 1 == 4
"""
TRACED = """
import asyncio, threading, pytest

@pytest.fixture
def background():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

def test_traced(background):
    asyncio.run(asyncio.sleep(0.03))
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.03), background).result()
"""


def person_at(run: Started) -> None:
    """Lets the debugger go on at each prompt, after some thought."""
    assert run.process.stdin is not None
    answered = 0
    with run.process.stdin as keys:
        while run.process.poll() is None:
            time.sleep(THINKS_S)
            if (run.directory / "output").read_text().count("(Pdb)") > answered:
                answered += 1
                time.sleep(THINKS_S)
                keys.write(b"c\n")
                keys.flush()


def test_debuggers(pytester: pytest.Pytester) -> None:
    runs = {
        "broken": start(pytester, "broken", BREAKPOINTS, "--pdb", attended=True),
        "traced": start(pytester, "traced", TRACED, "--trace", attended=True),
    }
    people = [threading.Thread(target=person_at, args=(run,)) for run in runs.values()]
    for person in people:
        person.start()
    broken, traced = together(runs).values()
    for person in people:
        person.join()
    assert (broken.counts["passed"], broken.counts["failed"], broken.counts["errors"]) == (1, 2, 1)
    told = broken.told("test_breakpoint")
    assert {(each["verdict"], each["why"]) for each in told} <= {
        ("innocent", "a debugger was at work"),
        ("innocent", "no line of the loop's code is to blame"),
    }
    assert told
    # Who looks at a test that has failed excuses nothing of what comes after it.
    assert list(broken.failed()) == ["test_of_a_slow_fixture_looked_at"]
    assert traced.counts["passed"] == 1
    assert traced.failed() == {}
    traced.match("*PDB runcall*")
