"""Flagged calls as `loophound serve` shows them: a line on standard error, a record file where one is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loophound.calls.flagger import CallFace, Flagger
from loophound.config import LogFormat
from loophound.dashboards.calls import CallLines
from loophound.dashboards.recorder import RecordFile
from loophound.project import allowances, find_pyproject


@contextmanager
def flagging(
    record: str | None, faces: Sequence[CallFace] = (), *, log_format: LogFormat = "text", worker: int = 0
) -> Iterator[Flagger]:
    """Flag calls in this process meanwhile; `faces` are further ones, called on a thread of the flagger's.

    Raises ConfigError when `record` cannot be written, or [tool.loophound] in pyproject.toml is wrong.
    """
    pyproject = find_pyproject(Path.cwd())
    allowed = allowances(pyproject) if pyproject is not None else []
    file = RecordFile(os.path.abspath(record)) if record is not None else None
    shown: list[CallFace] = [CallLines(sys.stderr, log_format == "json"), *faces, *([file] if file is not None else [])]
    flagger = Flagger(shown, allowances=allowed, worker=worker)
    started_in = os.getpid()
    flagger.start()
    try:
        yield flagger
    finally:
        if os.getpid() == started_in:
            flagger.stop()
            if file is not None:
                file.close()
