"""What is registered where: a process that runs tests guards them, one that shows results gathers."""

from __future__ import annotations

import pytest

from loophound.pytest_plugin.baseline import Baseline
from loophound.pytest_plugin.gathering import CALL_GATHERING, Gathering
from loophound.pytest_plugin.guard import Guard
from loophound.pytest_plugin.settings import read_allowances, read_settings
from loophound.threshold import DEFAULT_THRESHOLD_MS


def activate(config: pytest.Config) -> None:
    """Raises pytest.UsageError for settings that cannot be right."""
    settings = read_settings(config)
    baseline = Baseline.read(settings.baseline_file, may_be_missing=settings.update_baseline)
    is_worker = hasattr(config, "workerinput")  # of pytest-xdist
    gathering = Gathering(config, settings, baseline)
    guard = Guard(config, settings, baseline, gathering)
    config.pluginmanager.register(guard, "loophound-guard")
    if not is_worker:
        config.pluginmanager.register(gathering, "loophound-gathering")


def flag_calls(config: pytest.Config) -> None:
    """Raises pytest.UsageError for a pyproject.toml that cannot be right."""
    from loophound.pytest_plugin.calls import CallGathering, CallGuard

    raises = config.getoption("flag_blocking_calls") == "raise"
    guard = CallGuard(config, raises=raises, limit_ms=DEFAULT_THRESHOLD_MS, allowances=read_allowances(config.rootpath))
    config.pluginmanager.register(guard, "loophound-calls")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(CallGathering(config.rootpath), CALL_GATHERING)
