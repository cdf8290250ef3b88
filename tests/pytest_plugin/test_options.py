"""Asked for or not, and what cannot be right."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from asyncio import BaseEventLoop
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from loophound.pytest_plugin.baseline import SCHEMA
from tests.pytest_plugin.running import run

pytest_plugins = ["pytester"]

ENTRY = {"fingerprint": "c0ffee12", "cause": "sleep", "where": "show", "worst_ms": 1, "tests": ["test_a.py::test_it"]}


def test_it_imports_nothing_until_asked_for() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import loophound.pytest_plugin;"
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["loophound", "loophound.pytest_plugin"]


def test_it_does_nothing_until_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, sys, threading, time, pytest

        @pytest.mark.stall_limit("not read")
        def test_it():
            asyncio.run(block())
            assert threading.active_count() == 1
            assert "loophound.detector" not in sys.modules
            assert "rich" not in sys.modules

        async def block():
            await asyncio.sleep(0.01)
            time.sleep(0.15)
        """
    )
    result = run(pytester, "--strict-markers", "-W", "error")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*loophound:*")


def test_nothing_is_imported_for_the_tests_and_what_they_import_is_watched(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys, time

        there = {"trio", "uvloop"} & sys.modules.keys()

        def test_first():
            assert {"trio", "uvloop"} & sys.modules.keys() == there

        def test_on_trio():
            import trio
            trio.run(block)

        def test_on_uvloop():
            import uvloop
            uvloop.run(block())

        async def block():
            time.sleep(0.3)
        """
    )
    result = run(pytester, "--fail-on-stall=100", "-p", "no:anyio")
    result.assert_outcomes(passed=1, failed=2)


def test_what_one_test_may_do_another_of_the_same_id_may_not(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, time, pytest

        async def block():
            time.sleep(0.3)

        allowed = pytest.param(1, id="c", marks=pytest.mark.allow_blocking(reason="it is old"))

        @pytest.mark.parametrize("b", [allowed, pytest.param(2, id="b-c")])
        @pytest.mark.parametrize("a", [pytest.param(1, id="a-b"), pytest.param(2, id="a")])
        def test_it(a, b):
            asyncio.run(block())
        """
    )
    result = run(pytester, "--fail-on-stall=100")
    result.assert_outcomes(passed=2, failed=2)


@pytest.mark.parametrize(
    "options",
    [
        ["--fail-on-stall=0"],
        ["--fail-on-stall=-5"],
        ["--fail-on-stall=nan"],
        ["--fail-on-stall=inf"],
        ["--fail-on-stall=fast"],
        ["-o", "fail_on_stall=often"],
        ["--fail-on-stall", "-o", "stall_ignore=gc weather"],
        ["--fail-on-stall", "--stall-json=missing/file"],
        ["--fail-on-stall", "--stall-json=."],
        ["--fail-on-stall", "--stall-baseline-update"],
        ["--fail-on-stall", "--stall-baseline=missing.json"],
        ["--stall-json=x.json"],
        ["--strict-stalls"],
        ["--stall-feed"],
    ],
)
def test_nonsense_is_a_usage_error_of_one_line(pytester: pytest.Pytester, options: list[str]) -> None:
    usage_error(pytester, *options)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "\0",
        '{"schema": "loophound.baseline/2", "stalls": []}',
        json.dumps({"schema": SCHEMA}),
        json.dumps({"schema": SCHEMA, "stalls": [{}]}),
        json.dumps({"schema": SCHEMA, "stalls": [{**ENTRY, "tests": [1]}]}),
        json.dumps({"schema": SCHEMA, "stalls": [{**ENTRY, "worst_ms": "long"}]}),
    ],
)
def test_a_baseline_that_is_none(pytester: pytest.Pytester, text: str) -> None:
    (pytester.path / "known.json").write_text(text)
    told = usage_error(pytester, "--fail-on-stall", "--stall-baseline=known.json")
    assert "known.json: " in told


@pytest.mark.parametrize(
    "marker",
    [
        "stall_limit",
        "stall_limit()",
        "stall_limit(1, 2)",
        "stall_limit('100')",
        "stall_limit(0)",
        "stall_limit(True)",
        "stall_limit(limit=100)",
        "allow_blocking",
        "allow_blocking()",
        "allow_blocking(reason='')",
        "allow_blocking(reason=1)",
        "allow_blocking(because='it is old')",
    ],
)
def test_a_marker_that_cannot_be_right(pytester: pytest.Pytester, marker: str) -> None:
    pytester.makepyfile(test_a=f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n")
    assert "test_a.py::test_it: " in usage_error(pytester, "--fail-on-stall", "--collect-only")


def usage_error(pytester: pytest.Pytester, *options: str) -> str:
    result = run(pytester, *options, within=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in result.stderr.lines if line.strip()]
    assert line.startswith("ERROR: ")
    return line


@pytest.mark.parametrize("options", [["--fail-on-stall", "tests"], ["--fail-on-stall", "50", "tests"]])
def test_a_directory_is_not_taken_for_the_limit(pytester: pytest.Pytester, options: list[str]) -> None:
    directory = pytester.mkdir("tests")
    (directory / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--of-conftest')\n")
    (directory / "test_a.py").write_text("def test_it(): pass\n")
    pytester.makepyfile("def test_elsewhere(): pass\n")
    run(pytester, *options, "--of-conftest=1").assert_outcomes(passed=1)


def test_the_ini_option_asks_for_it_and_the_flag_goes_first(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfail_on_stall = 250\n")
    run(pytester, within=True).stdout.fnmatch_lines(["loophound: *for 250 ms fails"])
    run(pytester, "--fail-on-stall=300", within=True).stdout.fnmatch_lines(["loophound: *for 300 ms fails"])


def test_where_detection_does_not_work_the_run_says_so(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from loophound.detector.adapters import watchdog
        watchdog.Watchdog.tick = lambda self: None
        """
    )
    pytester.makepyfile("def test_it(): pass\n")
    loud = "loophound: DETECTION DOES NOT WORK*"
    told = run(pytester, "--fail-on-stall=10", "--strict-stalls")
    told.stdout.fnmatch_lines([loud, "*stalls of the event loop*", loud])
    told.assert_outcomes(passed=1)
    assert told.ret == pytest.ExitCode.TESTS_FAILED


def test_nothing_stays_armed_where_no_test_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_broken="1 +")
    before = BaseEventLoop.run_forever, len(gc.callbacks), {*threading.enumerate()}
    ended = run(pytester, "--fail-on-stall", within=True)
    assert ended.ret == pytest.ExitCode.INTERRUPTED
    assert (BaseEventLoop.run_forever, len(gc.callbacks)) == before[:2]
    assert {*threading.enumerate()} <= before[2]


def test_a_limit_of_one_test_may_be_below_that_of_the_run(pytester: pytest.Pytester) -> None:
    """The watch was armed before the tests were known."""
    pytester.makepyfile(
        """
        import asyncio, time, pytest

        async def block():
            await asyncio.sleep(0.03)
            time.sleep(0.2)

        @pytest.mark.stall_limit(50)
        def test_strict():
            asyncio.run(block())

        def test_loose():
            asyncio.run(block())
        """
    )
    ended = run(pytester, "--fail-on-stall=5000")
    ended.assert_outcomes(passed=1, failed=1)
    ended.stdout.fnmatch_lines(["loophound: armed*", "FAILED *test_strict*"])


def test_a_module_that_blocks_when_it_is_imported_is_no_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, time

        async def block():
            await asyncio.sleep(0.03)
            time.sleep(0.4)

        asyncio.run(block())

        def test_it():
            pass
        """
    )
    ended = run(pytester, "--fail-on-stall=100")
    ended.assert_outcomes(passed=1)
    ended.stdout.no_fnmatch_line("*stalls of the event loop*")


def test_a_check_that_dies_is_no_proof(pytester: pytest.Pytester) -> None:
    """It runs beside the collection first, and then where an error is heard."""
    pytester.makeconftest(
        """
        from loophound.pytest_plugin import arming

        def dies(watch):
            raise RuntimeError("can't start new thread")

        arming.self_check = dies
        """
    )
    pytester.makepyfile("def test_it(): pass\n")
    ended = run(pytester, "--fail-on-stall", "-p", "no:threadexception")
    assert ended.ret == pytest.ExitCode.INTERNAL_ERROR
    ended.stdout.no_fnmatch_line("*armed*")


def test_the_fixture_works_without_the_flag(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, time, pytest

        async def block():
            await asyncio.sleep(0.03)
            time.sleep(0.25)

        def test_it(stall_detector):
            asyncio.run(block())
            assert stall_detector.expect("sleep", function="block").culprit.line == 5
            with pytest.raises(pytest.fail.Exception, match="expected a stall by cpu; seen:\\n  BLOCKED"):
                stall_detector.expect("cpu")
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_the_entry_point_is_declared() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert '[project.entry-points.pytest11]\nloophound = "loophound.pytest_plugin"\n' in pyproject.read_text()


@pytest.mark.once
def test_a_run_has_a_live_feed_where_it_is_asked_for(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        from loophound.dashboards.feed import FeedReader, find

        def test_it():
            [server] = find()
            with FeedReader(server.path) as reader:
                hello = next(message for message in reader if message["type"] == "hello")
            assert (hello["command"], hello["threshold_s"]) == ("pytest", 0.1)
        """
    )
    with TemporaryDirectory(prefix="run") as directory:  # unix(7): 107 bytes, for which pytester's path may be too long
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        run(pytester, "--fail-on-stall", "--stall-feed").assert_outcomes(passed=1)
        assert not list(Path(directory).glob("loophound/*"))
