"""What a test's markers say of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from loophound.pytest_plugin.settings import read_limit


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a test may block a loop, and why it may altogether (empty when it may not)."""

    limit_ms: float
    reason: str = ""


def rules_of(item: pytest.Item, default: Rules) -> Rules:
    """`default` itself where no marker says anything.

    Raises pytest.UsageError that names the test, for arguments that a marker does not take.
    """
    limit = allow = None
    for mark in item.iter_markers():  # the closest first
        if mark.name == "stall_limit":
            limit = limit or mark
        elif mark.name == "allow_blocking":
            allow = allow or mark
    if limit is None and allow is None:
        return default
    return Rules(
        _limit(limit, item.nodeid) if limit is not None else default.limit_ms,
        _reason(allow, item.nodeid) if allow is not None else "",
    )


def _limit(mark: pytest.Mark, test: str) -> float:
    values = [*mark.args, *mark.kwargs.values()]
    if len(values) != 1 or not mark.kwargs.keys() <= {"ms"} or isinstance(values[0], str):
        raise pytest.UsageError(f"{test}: stall_limit takes one number of milliseconds; got {_call(mark)}")
    return read_limit(values[0], f"{test}: stall_limit")


def _reason(mark: pytest.Mark, test: str) -> str:
    values = [*mark.args, *mark.kwargs.values()]
    if len(values) != 1 or not mark.kwargs.keys() <= {"reason"} or not isinstance(values[0], str) or not values[0]:
        raise pytest.UsageError(f'{test}: allow_blocking takes reason="...", and nothing else; got {_call(mark)}')
    return values[0]


def _call(mark: pytest.Mark) -> str:
    given = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
    return f"{mark.name}({', '.join(given)})"
