"""Beside the plugins that people have."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.running import start, together

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

TESTS = """
import asyncio, time, pytest

async def good():
    for _ in range(20):
        sum(range(1000))
        await asyncio.sleep(0.005)

async def bad():
    await asyncio.sleep(0.03)
    time.sleep(0.2)

async def hangs():
    await asyncio.sleep(0.03)
    time.sleep(30)

def test_good():
    asyncio.run(good())

def test_bad():
    asyncio.run(bad())
"""
HANGS = """
@pytest.mark.timeout(1)
def test_hangs():
    asyncio.run(hangs())

@pytest.mark.timeout(60, method="thread")
def test_quick():
    asyncio.run(good())
"""


def test_other_plugins(pytester: pytest.Pytester) -> None:
    runs = {
        "cov": start(pytester, "cov", TESTS, "-p", "pytest_cov", "--cov=.", "--cov-report=term"),
        "random": start(pytester, "random", TESTS, "-p", "randomly", "-p", "xdist", "-n2"),
        "timeout": start(pytester, "timeout", TESTS + HANGS, "-p", "timeout"),
        # Armed in each test, and never due: what it writes of threads that run crashes CPython now and then.
        "fault": start(pytester, "fault", TESTS, "-o", "faulthandler_timeout=60"),
    }
    outcomes = together(runs)
    for name, outcome in outcomes.items():
        failed = outcome.failed()
        assert failed["test_bad"] == 11, (name, outcome.lines)
        assert outcome.counts["failed"] == len(failed)
    assert outcomes["timeout"].failed() == {"test_bad": 11, "test_hangs": 15}
    outcomes["timeout"].match("* Captured stalls call *", "BLOCKED * · sleep *")
    outcomes["cov"].match("TOTAL *")


PARTS = """
import unittest

def test_parts(subtests):
    with subtests.test("quick"):
        asyncio.run(good())
    with subtests.test("slow"):
        asyncio.run(bad())
    with subtests.test("quick again"):
        asyncio.run(good())

def test_parts_of_a_task(subtests):
    async def main():
        with subtests.test("slow"):
            await bad()
        with subtests.test("quick"):
            await good()

    asyncio.run(main())

class TestCase(unittest.TestCase):
    def test_case(self):
        for name, main in ("slow", bad), ("quick", good):
            with self.subTest(name):
                asyncio.run(main())
"""


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has subtests since 9")
def test_a_test_fails_for_its_subtests(pytester: pytest.Pytester) -> None:
    """Their reports are made in the midst of the test, in a task even: a stall may not be over by then."""
    outcome = start(pytester, "parts", TESTS + PARTS, "-rA").outcome()
    assert outcome.failed() == {"test_bad": 11, "test_parts": 11, "test_parts_of_a_task": 11, "test_case": 11}
    told = {line.partition(" - ")[0] for line in outcome.lines if line.startswith(("FAILED ", "SUBFAILED"))}
    tests = ["test_bad", "test_parts", "test_parts_of_a_task", "TestCase::test_case"]
    assert told == {f"FAILED test_parts.py::{test}" for test in tests}
