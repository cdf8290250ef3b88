"""The detector as the commands run it: a record file where one is asked for, a report on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from loophound.dashboards.terminal import TerminalFace

if TYPE_CHECKING:
    from loophound.detector.detector import Detector


@contextmanager
def detection(threshold_ms: float, record: str | None) -> Iterator[Detector]:
    """Watch every loop of the process meanwhile. Raises ConfigError when `record` cannot be written.

    The report goes to what is standard error now: the program may replace sys.stderr later.
    """
    from loophound.detector.detector import Detector

    face = TerminalFace(Console(file=sys.stderr))
    detector = Detector(threshold_ms / 1000, record=record, faces=[face], announce=True)
    started_in = os.getpid()
    detector.start()
    try:
        yield detector
    finally:
        if os.getpid() == started_in:  # not in a child that the program forked and let run to our end
            detector.stop()
            face.close()
