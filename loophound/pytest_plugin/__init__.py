"""The pytest plugin: a test that blocks an event loop fails, and says where.

This module is loaded in every run of pytest in every environment that has Loophound
installed. It imports nothing that pytest has not imported already, and does nothing but
declare options until it is asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from loophound.pytest_plugin.fixture import StallDetector

FLAG = "--fail-on-stall"
# Each tells or changes what the flag finds, so that alone it would do nothing.
DEPENDENT = ("stall_json", "stall_baseline", "stall_baseline_update", "strict_stalls", "stall_feed")


class StallWarning(pytest.PytestWarning):
    """A test has blocked an event loop as the baseline knows it to."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("loophound", "stalls of the event loop (loophound)")
    group.addoption(
        FLAG,
        nargs="?",
        const="",
        metavar="MS",
        help="Fail a test that blocks an event loop for MS milliseconds (100 when left out).",
    )
    group.addoption(
        "--stall-report",
        choices=("summary", "full"),
        default="summary",
        help="Tell of stalls that failed no test in a table (summary), or each with its source and stack (full).",
    )
    group.addoption("--stall-json", metavar="FILE", help="Write all stalls of the run to FILE.")
    group.addoption("--stall-baseline", metavar="FILE", help="Fail for stalls alone that FILE does not list.")
    group.addoption(
        "--stall-baseline-update", action="store_true", help="Write the stalls of this run to the baseline."
    )
    group.addoption(
        "--flag-blocking-calls",
        choices=("raise", "report"),
        help="Flag each synchronous call on a loop's thread that is known to block: raise an error in its place, "
        "or report it in the summary.",
    )
    group.addoption(
        "--stall-feed", action="store_true", help="Let `loophound top` watch the run: a live feed for this user."
    )
    group.addoption("--strict-stalls", action="store_true", help="Fail the run where detection does not work.")
    parser.addini("fail_on_stall", f"The milliseconds of {FLAG}, which then needs not be given.", default="")
    parser.addini(
        "stall_ignore", "Causes that fail no test, such as gc; what no code is to blame for never does.", "args", ["gc"]
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """`--fail-on-stall tests/` means the directory, where argparse takes it for the value."""
    bare = [i for i, word in enumerate(args) if word == FLAG and not _is_number(args[i + 1 : i + 2])]
    if not bare:
        return
    for index in bare:
        args[index] = f"{FLAG}="
    namespace = copy.copy(early_config.option)
    early_config.known_args_namespace = parser.parse_known_args(args, namespace=namespace)


def _is_number(words: list[str]) -> bool:
    return bool(words) and words[0].replace(".", "", 1).isdecimal()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "stall_limit(ms): fail this test when it blocks an event loop for ms milliseconds."
    )
    config.addinivalue_line("markers", "allow_blocking(reason): this test may block the event loop, because of reason.")
    if config.getoption("flag_blocking_calls"):
        from loophound.pytest_plugin.activation import flag_calls

        flag_calls(config)
    if config.getoption("fail_on_stall") is not None or config.getini("fail_on_stall"):
        from loophound.pytest_plugin.activation import activate

        activate(config)
        return
    for name in DEPENDENT:
        if config.getoption(name):
            raise pytest.UsageError(f"--{name.replace('_', '-')} has no effect without {FLAG}: add it")


@pytest.fixture
def stall_detector(request: pytest.FixtureRequest) -> Iterator[StallDetector]:
    """The stalls of this test, to assert on; it works without --fail-on-stall too."""
    from loophound.pytest_plugin.fixture import stalls_of

    yield from stalls_of(request)
