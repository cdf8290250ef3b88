"""The detector as the commands run it: a record file where one is asked for, a report on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from loophound.dashboards.terminal import TerminalFace
from loophound.project import allowances, find_pyproject

if TYPE_CHECKING:
    from loophound.detector.detector import Detector


@contextmanager
def detection(threshold_ms: float, record: str | None) -> Iterator[Detector]:
    """Watch every loop of the process meanwhile. Raises ConfigError when `record` cannot be
    written, or [tool.loophound] in pyproject.toml is wrong.

    The report goes to what is standard error now: the program may replace sys.stderr later.
    """
    from loophound.detector.detector import Detector
    from loophound.detector.stream import tell

    face = TerminalFace(Console(file=sys.stderr))
    pyproject = find_pyproject(Path.cwd())
    allowed = allowances(pyproject) if pyproject is not None else []
    detector = Detector(threshold_ms / 1000, record=record, faces=[face], announce=True, allowances=allowed)
    started_in = os.getpid()
    detector.start()
    try:
        yield detector
    finally:
        if os.getpid() == started_in:  # not in a child that the program forked and let run to our end
            detector.stop()
            face.close()
            for allowance in detector.unused_allowances:
                tell(f"nothing blocked in {allowance.code}, which pyproject.toml allows ({allowance.reason})")
