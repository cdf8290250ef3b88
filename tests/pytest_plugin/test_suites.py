"""Whole suites under the plugin: bad tests fail at the right line, good ones pass."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.running import Outcome, guarded, suite

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

ATTEMPTS = 3


def until_undisturbed(pytester: pytest.Pytester, expected: dict[str, int], *options: str) -> Outcome:
    """Again where the machine took the CPU, but never with another culprit."""
    for _ in range(ATTEMPTS):
        outcome = guarded(pytester, *options)
        failed = outcome.failed()
        assert {name: line and expected.get(name) for name, line in failed.items()} == failed
        if not outcome.is_disturbed:
            break
    return outcome


def test_every_bad_test_fails_at_its_line(pytester: pytest.Pytester) -> None:
    expected = suite(pytester, "bad")
    outcome = until_undisturbed(pytester, expected)
    assert outcome.failed() == expected
    counts = outcome.result.parseoutcomes()
    # The test of anyio runs on two loops, and so does the one of its fixture.
    assert counts["failed"] + counts["errors"] == len(expected) + 2
    # One passes before its fixture fails in its teardown.
    assert counts["passed"] == 1
    assert during(outcome, "test_set_up") == ["setup of set_up"]
    assert during(outcome, "test_torn_down") == ["teardown of torn_down"]
    assert during(outcome, "test_inner") == ["setup of inner"]
    assert during(outcome, "test_setup_method") == ["setup of setup_method"]
    assert during(outcome, "test_last_statement") == ["call of "]


def during(outcome: Outcome, test: str) -> list[str]:
    return [f"{told['phase']} of {told['fixture']}" for told in outcome.told(test)]


def test_no_good_test_fails(pytester: pytest.Pytester) -> None:
    suite(pytester, "good")
    outcome = guarded(pytester)
    counts = outcome.result.parseoutcomes()
    assert outcome.result.ret == 0
    assert counts["xfailed"] == 1
    assert {told["stall"]["cause"] for told in outcome.told("test_stopped")} == {"suspended"}
    assert [told["verdict"] for told in outcome.told("test_allowed")] == ["allowed"]
    assert outcome.told("test_allowed_block") == []
    assert [told["verdict"] for told in outcome.stalls if not told["test"]] == ["elsewhere"]


def test_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    expected = suite(pytester, "with_pytest_asyncio")
    outcome = until_undisturbed(pytester, expected, "-p", "asyncio")
    assert outcome.failed() == expected
    assert during(outcome, "test_set_up") == ["setup of database"]
    assert during(outcome, "test_torn_down") == ["teardown of server"]


def test_workers_of_xdist_report_to_the_controller(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(
        """
        import asyncio, time, pytest

        async def main():
            await asyncio.sleep(0.03)
            time.sleep(0.3)

        @pytest.mark.parametrize("number", range(4))
        def test_it(number):
            asyncio.run(main())

        @pytest.mark.stall_limit("x")
        def test_of_a_bad_marker():
            pass
        """
    )
    outcome = guarded(pytester, "-n2", "-rfE")
    outcome.result.assert_outcomes(failed=4, errors=1)
    assert {told["stall"]["culprit"]["line"] for told in outcome.stalls} == {5}
    assert len({told["stall"]["pid"] for told in outcome.stalls}) == 2
    outcome.result.stdout.fnmatch_lines(["* stalls of the event loop *", "worst*", "*main*test_it* and 3 more"])
    outcome.result.stdout.fnmatch_lines(["*stall_limit takes one number of milliseconds; got stall_limit('x')"])
