"""What a run writes: failures, the summary, files and annotations."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.pytest_plugin.running import guarded, run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

BLOCKING = """
import asyncio
import time

async def show():
    await asyncio.sleep(0.03)
    time.sleep(0.2)

def test_show():
    asyncio.run(show())
"""


OF_ITS_OWN = """
def test_fails_by_itself():
    asyncio.run(show())
    assert 1 + 1 == 3

import pytest

@pytest.mark.allow_blocking("it is old")
def test_allowed():
    asyncio.run(show())
"""


def test_what_a_run_writes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    outcome = guarded(pytester, BLOCKING + OF_ITS_OWN, "--junitxml=junit.xml", "--stall-report=full", "-ra")
    assert (outcome.counts["failed"], outcome.counts["passed"]) == (2, 1)
    outcome.match(
        "loophound: a test that blocks an event loop for 100 ms fails",
        "loophound: armed: a block of the self-check was seen",
        "BLOCKED * ms · sleep · test_suite.py:7 in show",
        "  test_suite.py",
        "    5  async def show():",
        "    6      await asyncio.sleep(0.03)",
        "  > 7      time.sleep(0.2)",
        "  during: call of test_suite.py::test_show (limit 100 ms)",
        "  stack: * > test_suite.py:10 in test_show > * > test_suite.py:7 in show",
        "  evidence: on the CPU * of the time, in system call clock_nanosleep, *captured by the *",
        "  remedy: *await asyncio.sleep*",
        # A test that fails by itself keeps its failure.
        "E       assert (1 + 1) == 3",
        "* Captured stalls call *",
        "BLOCKED * · sleep *",
        "=* stalls of the event loop =*",
        "worst*times*verdict*cause*where*test",
        "* ms*2*failed*sleep*test_suite.py:7 in show*test_suite.py::test_* (call) and 1 more",
        # In full.
        "BLOCKED * · sleep *",
        "  > 7 *",
        "  allowed: it is old",
        "::error file=test_suite.py,line=7,title=Event loop blocked::BLOCKED * · sleep *",
        "FAILED test_suite.py::test_show - Failed: BLOCKED*",
    )
    told = list(ElementTree.parse(pytester.path / "suite/junit.xml").iter("property"))
    assert [property.get("name") for property in told] == ["stall"] * 3
    assert [(property.get("value") or "").rpartition(" · sleep · ")[2] for property in told] == [
        "test_suite.py:7 in show · call · failed",
        "test_suite.py:7 in show · call · failed",
        "test_suite.py:7 in show · call · allowed (it is old)",
    ]
    written = json.loads((pytester.path / "suite/stalls.json").read_text())
    assert (written["schema"], written["limit_ms"], written["problems"]) == ("loophound.pytest/1", 100, [])
    assert {told["stall"]["schema"] for told in outcome.stalls} == {"loophound.stall/1"}


def test_known_stalls_warn_and_new_ones_fail(pytester: pytest.Pytester) -> None:
    options = ("--fail-on-stall", "--stall-baseline=known.json")
    pytester.makepyfile(test_shop=BLOCKING)
    run(pytester, *options, "--stall-baseline-update").assert_outcomes(passed=1)
    [entry] = json.loads((pytester.path / "known.json").read_text())["stalls"]
    assert (entry["cause"], entry["where"], entry["tests"]) == (
        "sleep",
        "show in test_shop.py",
        ["test_shop.py::test_show"],
    )

    # Lines may move.
    pytester.makepyfile(test_shop="\n\nX = 1\n" + BLOCKING.replace("time.sleep", "X; time.sleep"))
    known = run(pytester, *options, "-W", "error")
    known.assert_outcomes(passed=1, warnings=1)
    known.stdout.fnmatch_lines(["test_shop.py::test_show", "*test_shop.py:8: StallWarning: BLOCKED * · sleep *"])
    known.stdout.fnmatch_lines(["*known*sleep*in show*"])

    pytester.makepyfile(test_shop=BLOCKING.replace("def show", "def other").replace("run(show", "run(other"))
    new = run(pytester, *options)
    new.assert_outcomes(failed=1)
    new.stdout.fnmatch_lines(["in the baseline, and gone: sleep in show in test_shop.py*"])
