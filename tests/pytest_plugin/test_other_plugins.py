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
