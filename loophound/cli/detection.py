"""The detector as the commands run it: a record file where one is asked for, a report on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from loophound.config import LogFormat
from loophound.dashboards.json_face import JsonFace
from loophound.dashboards.terminal import TerminalFace
from loophound.project import allowances, find_pyproject

if TYPE_CHECKING:
    from loophound.detector.detector import Detector
    from loophound.detector.records import Snapshot
    from loophound.detector.stream import Face
    from loophound.ledger.writer import LedgerFace
    from loophound.observer.hosting import Hosting


WORTH_TELLING_S = 1.0


@contextmanager
def detection(
    threshold_ms: float,
    record: str | None,
    ledger: str | None = None,
    log_format: LogFormat = "text",
    *,
    hosting: Hosting | None = None,
    observer: str | None = None,
    worker: int = 0,
) -> Iterator[Detector]:
    """Watch every loop of the process meanwhile. Raises ConfigError when `record` cannot be
    written, there is no directory for `ledger`, or [tool.loophound] in pyproject.toml is wrong.

    The process starts an observer that shows what `hosting` says, or attaches to a supervisor's at
    the socket `observer`, as its worker of that number. The report goes to what is standard
    error now: the program may replace sys.stderr later.
    """
    from loophound.detector.detector import Detector
    from loophound.detector.stream import tell

    as_json = log_format == "json"
    face = JsonFace(sys.stderr) if as_json else TerminalFace(Console(file=sys.stderr))
    if isinstance(face, JsonFace):
        tell = face.tell
    pyproject = find_pyproject(Path.cwd())
    allowed = allowances(pyproject) if pyproject is not None else []
    keeper = _keeper(ledger, tell) if ledger is not None else None
    faces: list[Face] = [face] if keeper is None else [face, keeper]
    detector = Detector(
        threshold_ms / 1000,
        record=record,
        faces=faces,
        observer=True if observer is None else observer,
        hosting=hosting,
        worker=worker,
        announce=True,
        as_json=as_json,
        allowances=allowed,
    )
    started_in = os.getpid()
    detector.start()
    if keeper is not None:
        keeper.start()
    try:
        yield detector
    finally:
        if os.getpid() == started_in:  # not in a child that the program forked and let run to our end
            detector.stop()
            face.close()
            if keeper is not None:
                keeper.close()
            for snapshot in detector.snapshots():
                if snapshot.watched_s >= WORTH_TELLING_S:
                    tell(account(snapshot))
            for allowance in detector.unused_allowances:
                tell(f"nothing blocked in {allowance.code}, which pyproject.toml allows ({allowance.reason})")


def _keeper(ledger: str, tell: Callable[[str], None]) -> LedgerFace:
    from loophound.ledger.place import chosen_path
    from loophound.ledger.writer import LedgerFace

    return LedgerFace(chosen_path(ledger, Path.cwd(), os.environ), tell)


def account(snapshot: Snapshot) -> str:
    """How a loop has done, in a line."""
    lags = (snapshot.lag_p50_s, snapshot.lag_p99_s, snapshot.lag_max_s)
    half, most, worst = (f"{lag_s * 1000:.1f} ms" for lag_s in lags)
    return (
        f"{snapshot.loop} in {snapshot.thread} was busy {snapshot.utilisation:.0%} of {snapshot.watched_s:.0f} s; "
        f"it answered after {half} (median), {most} (99 %), {worst} (worst)"
    )
