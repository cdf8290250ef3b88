"""Whole suites under the plugin: bad tests fail at the right line, good ones pass."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.pytest_plugin.running import Outcome, guarded, start, suite, together

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

ATTEMPTS = 5
STRICT, AUTO = ("-p", "asyncio", "--asyncio-mode=strict"), ("-p", "asyncio", "--asyncio-mode=auto")
BAD: dict[str, tuple[str, ...]] = {
    "bad_loops": (),
    "bad_calls": (),
    "bad_fixtures": (),
    "bad_clients": (),
    "bad_trio": (),
    "asyncio_strict": STRICT,
    "asyncio_auto": AUTO,
}


def suites(pytester: pytest.Pytester, names: Iterable[str]) -> dict[str, Outcome]:
    return together({name: start(pytester, name, suite(name)[0], *BAD.get(name, ())) for name in names})


def check(pytester: pytest.Pytester, name: str, outcome: Outcome) -> dict[str, list[str]]:
    """Every test that blocks has failed, at its line. Again where the machine took the CPU from one.

    Gives in which phases and fixtures they failed.
    """
    expected = suite(name)[1]
    missing = set(expected)
    during: dict[str, list[str]] = {}
    for attempt in range(ATTEMPTS):
        failed = outcome.failed()
        assert failed == {test: expected.get(test) for test in failed}
        during |= {test: outcome.during(test) for test in failed}
        missing -= failed.keys()
        if not missing:
            return during
        # It was let off, and the run says why; where the watchdog had no CPU either, nobody knows.
        crowded = attempt == 0 or os.getloadavg()[0] > (os.cpu_count() or 1)
        assert crowded or all(outcome.told(test) for test in missing), (missing, outcome.lines)
        outcome = start(pytester, name, suite(name)[0], *BAD[name], "-k", " or ".join(missing)).outcome()
    raise AssertionError(f"{name}: {missing} did not fail: {outcome.stalls}")


def test_every_bad_test_fails_at_its_line(pytester: pytest.Pytester) -> None:
    outcomes = suites(pytester, BAD)
    during = {name: check(pytester, name, outcome) for name, outcome in outcomes.items()}
    assert sum(map(len, during.values())) >= 60
    assert during["bad_fixtures"] == {
        "test_set_up": ["setup of set_up"],
        "test_torn_down": ["teardown of torn_down"],
        "test_inner": ["setup of inner"],
        "test_finalizer": ["teardown of finalized"],
        "test_first_of_class": ["setup of of_class"],
        "test_setup_method": ["setup of setup_method"],
        "test_unittest": ["call of "],  # of which unittest's own setUp() is a part
        "test_async_set_up": ["call of "],
        "test_async_teardown": ["call of "],
        "test_isolated": ["call of "],
        "test_last": ["teardown of session"],
    }
    assert during["asyncio_strict"]["test_set_up"] == ["setup of database"]
    assert during["asyncio_strict"]["test_torn_down"] == ["teardown of server"]
    assert during["asyncio_strict"]["test_session_fixture"] == ["setup of broker"]
    assert during["bad_clients"]["test_anyio_teardown"][0] == "teardown of anyio_teardown"
    assert during["bad_trio"]["test_fixture"] == ["setup of server"]
    assert during["bad_trio"]["test_last"] == ["teardown of server"]


def test_no_good_test_fails(pytester: pytest.Pytester) -> None:
    outcomes = suites(pytester, ["good_loops", "good_allowed", "good_trio"])
    loops, allowed, trio = outcomes.values()
    for outcome in outcomes.values():
        assert outcome.returned == 0, "\n".join(outcome.lines)
    assert sum(outcome.counts["passed"] for outcome in outcomes.values()) >= 45
    assert loops.counts["skipped"] == 1
    # On a crowded machine nobody may have had a CPU to look at it with: then it is not accused, and passes.
    known = {told["stall"]["cause"] for told in allowed.told("test_known_to_fail")}
    assert allowed.counts.get("xfailed") == 1 or known == {"starved"}, known
    # On a crowded machine there may be more of them, and the machine may be what most of one was spent on.
    assert {told["stall"]["cause"] for told in loops.told("test_stopped")} - {"starved"} == {"suspended"}
    outside = [told["verdict"] for told in loops.stalls if not told["test"]]
    assert [verdict for verdict in outside if verdict != "innocent"] == ["elsewhere"]
    for told in (allowed.told("test_allowed"), allowed.told("test_allowed_class"), trio.told("test_allowed")):
        assert told
        assert {one["verdict"] for one in told} <= {"allowed", "innocent"}
    assert [told for told in allowed.told("test_allowed_block") if told["verdict"] != "innocent"] == []


def test_workers_of_xdist_report_to_the_controller(pytester: pytest.Pytester) -> None:
    source = """
import asyncio, time, pytest

async def main():
    await asyncio.sleep(0.03)
    time.sleep(0.2)

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    asyncio.run(main())

@pytest.mark.stall_limit("x")
def test_of_a_bad_marker():
    pass
"""
    outcome = guarded(pytester, source, "-p", "xdist", "-n2", "-rfE")
    assert (outcome.counts["failed"], outcome.counts["errors"]) == (4, 1)
    assert outcome.failed() == {"test_it": 6}
    assert len({told["stall"]["pid"] for told in outcome.stalls}) == 2
    outcome.match("* stalls of the event loop *", "worst*", "*main*test_it* and 3 more")
    outcome.match("*stall_limit takes one number of milliseconds; got stall_limit('x')")
