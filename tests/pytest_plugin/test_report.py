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
    time.sleep(0.25)

def test_show():
    asyncio.run(show())
"""


def test_a_failure_reads_well(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop=BLOCKING)
    result = run(pytester, "--fail-on-stall", ".")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "loophound: a test that blocks an event loop for 100 ms fails",
            "loophound: armed: a block of the self-check was seen",
            "BLOCKED * ms · sleep · test_shop.py:6 in show",
            "  test_shop.py",
            "    4  async def show():",
            "    5      await asyncio.sleep(0.03)",
            "  > 6      time.sleep(0.25)",
            "  during: call of test_shop.py::test_show (limit 100 ms)",
            "  stack: * > test_shop.py:9 in test_show > * > test_shop.py:6 in show",
            "  evidence: on the CPU * of the time, in system call clock_nanosleep, *captured by the *",
            "  remedy: *await asyncio.sleep*",
            "=* stalls of the event loop =*",
            "worst*times*verdict*cause*where*test",
            "* ms*1*failed*sleep*test_shop.py:6 in show*test_shop.py::test_show (call)",
            "FAILED test_shop.py::test_show - Failed: BLOCKED*",
        ]
    )


def test_a_test_that_fails_by_itself_keeps_its_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BLOCKING + "    assert 1 + 1 == 3\n")
    result = guarded(pytester).result
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       assert (1 + 1) == 3", "* Captured stalls call *", "BLOCKED * · sleep *"])


def test_files_and_annotations(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    pytester.makepyfile(test_shop=BLOCKING)
    outcome = guarded(pytester, "--junitxml=junit.xml")
    outcome.result.stdout.fnmatch_lines(
        ["::error file=test_shop.py,line=6,title=Event loop blocked::BLOCKED * · sleep *"]
    )
    [told] = ElementTree.parse(pytester.path / "junit.xml").iter("property")
    assert told.get("name") == "stall"
    assert (told.get("value") or "").endswith(" · sleep · test_shop.py:6 in show · call · failed")
    written = json.loads((pytester.path / "stalls.json").read_text())
    assert (written["schema"], written["limit_ms"], written["problems"]) == ("loophound.pytest/1", 100, [])
    assert outcome.stalls[0]["stall"]["schema"] == "loophound.stall/1"


def test_stalls_that_fail_nothing_are_told_when_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\npytestmark = pytest.mark.allow_blocking('it is old')\n" + BLOCKING)
    result = run(pytester, "--fail-on-stall", "--stall-report=full")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["* allowed *", "BLOCKED * · sleep *", "  >  9 *", "  allowed: it is old"])


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
    known = run(pytester, *options)
    known.assert_outcomes(passed=1)
    known.stdout.fnmatch_lines(["*known*sleep*in show*"])

    pytester.makepyfile(test_shop=BLOCKING.replace("def show", "def other").replace("run(show", "run(other"))
    new = run(pytester, *options)
    new.assert_outcomes(failed=1)
    new.stdout.fnmatch_lines(["in the baseline, and gone: sleep in show in test_shop.py*"])
