"""The options of a run, checked: what cannot be right is a usage error of one line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loophound.detector.allowances import Allowance
from loophound.detector.records import Cause
from loophound.errors import ConfigError
from loophound.project import allowances, find_pyproject
from loophound.threshold import DEFAULT_THRESHOLD_MS

# CPython hands the GIL over after 5 ms (sys.getswitchinterval): a thread that computes makes
# any loop wait that long, and the kernel's scheduler adds some.
SMALLEST_LIMIT_MS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    limit_ms: float
    ignored: frozenset[Cause]
    full_report: bool
    json_file: Path | None
    baseline_file: Path | None
    update_baseline: bool
    strict: bool
    feed: bool
    allowances: tuple[Allowance, ...]


def read_settings(config: pytest.Config) -> Settings:
    """Raises pytest.UsageError."""
    given, ini = config.getoption("fail_on_stall"), config.getini("fail_on_stall")
    if given:
        limit_ms = read_limit(given, "--fail-on-stall")
    elif ini:
        limit_ms = read_limit(ini, "fail_on_stall")
    else:
        limit_ms = DEFAULT_THRESHOLD_MS
    baseline_file = _file(config, "stall_baseline")
    update = bool(config.getoption("stall_baseline_update"))
    if update and baseline_file is None:
        raise pytest.UsageError("--stall-baseline-update writes the file of --stall-baseline: add that")
    return Settings(
        limit_ms=limit_ms,
        ignored=_causes(config.getini("stall_ignore")),
        full_report=config.getoption("stall_report") == "full",
        json_file=_file(config, "stall_json"),
        baseline_file=baseline_file,
        update_baseline=update,
        strict=bool(config.getoption("strict_stalls")),
        feed=bool(config.getoption("stall_feed")),
        allowances=read_allowances(config.rootpath),
    )


def read_limit(value: Any, what: str) -> float:
    """Milliseconds, from a text or a number. Raises pytest.UsageError."""
    try:
        limit_ms = float(value)
    except (TypeError, ValueError):
        limit_ms = math.nan
    if isinstance(value, bool) or not SMALLEST_LIMIT_MS <= limit_ms < math.inf:
        raise pytest.UsageError(f"{what} takes milliseconds, {SMALLEST_LIMIT_MS:g} or more, such as 100; got {value!r}")
    return limit_ms


def _causes(names: list[str]) -> frozenset[Cause]:
    known = [cause.value for cause in Cause]
    for name in names:
        if name not in known:
            raise pytest.UsageError(f"stall_ignore takes causes, of {', '.join(known)}; got {name!r}")
    return frozenset(map(Cause, names))


def _file(config: pytest.Config, name: str) -> Path | None:
    given = config.getoption(name)
    if given is None:
        return None
    flag = f"--{name.replace('_', '-')}"
    path: Path = config.invocation_params.dir / given
    if not given or path.is_dir():
        raise pytest.UsageError(f"{flag} takes the name of a file; got {given!r}")
    if not path.parent.is_dir():
        raise pytest.UsageError(f"{flag}: there is no directory {str(path.parent)!r}")
    return path


def read_allowances(directory: Path) -> tuple[Allowance, ...]:
    """Of the project's pyproject.toml. Raises pytest.UsageError."""
    pyproject = find_pyproject(directory)
    try:
        return tuple(allowances(pyproject)) if pyproject is not None else ()
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
