"""`--flag-blocking-calls`, as users run it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.pytest_plugin.running import name_of, start, suite, together

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

NO_STALLS = "--fail-on-stall=30000"  # the calls are short, and stalls are tested elsewhere


def test_each_call_is_flagged_at_its_line_and_no_other(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path))
    source, expected = suite("calls")
    reported = start(pytester, "reported", source, NO_STALLS, "--flag-blocking-calls=report", "--junitxml=junit.xml")
    options = (NO_STALLS, "--flag-blocking-calls=raise", "-p", "xdist", "-n2", "-W", "ignore")
    raised = start(pytester, "raised", source, *options)
    for name, outcome in together({"reported": reported, "raised": raised}).items():
        flagged = {name_of(told["test"]): told["call"]["caller"]["line"] for told in outcome.calls}
        assert flagged == expected, outcome.lines
        outcome.match("=* blocking calls =*", "longest *times*call*where*test", "*2*time.sleep*in sleeps*and 1 more")
        if name == "reported":
            assert (outcome.returned, outcome.counts["passed"]) == (0, 12)
            assert all(told["call"]["duration_s"] >= 0.005 for told in outcome.calls)
            outcome.match("::warning file=reported/test_reported.py,line=*::CALL time.sleep * ms · *")
        else:
            assert (outcome.counts["failed"], outcome.counts["errors"], outcome.counts["passed"]) == (5, 1, 6)
            assert {told["call"]["duration_s"] for told in outcome.calls} == {None}
            outcome.match("E *BlockingCallError: time.sleep() would block the event loop, at test_raised.py:*")
            outcome.match("refused, and the error did not reach the test:")
            outcome.match("CALL time.sleep* · refused · test_raised.py:*")
            outcome.match("::error file=raised/test_raised.py,line=*::CALL time.sleep* · refused · *")
    properties = ElementTree.parse(pytester.path / "reported/junit.xml").iter("property")
    assert [property.get("name") for property in properties] == ["blocking_call"] * 6


def test_it_does_without_the_other_flag(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, time

        async def main():
            time.sleep(0.005)

        def test_it():
            asyncio.run(main())
        """
    )
    run = pytester.runpytest_subprocess("-p", "no:asyncio", "--flag-blocking-calls=report")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["=* blocking calls =*", "*time.sleep *:4 in main *::test_it"])
    assert pytester.runpytest_subprocess("--flag-blocking-calls=often").ret == pytest.ExitCode.USAGE_ERROR
