"""The detector as the commands run it: a record file where one is asked for, a report on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from loophound.config import LogFormat
from loophound.dashboards.json_face import JsonFace
from loophound.errors import ConfigError
from loophound.project import allowances, find_pyproject

if TYPE_CHECKING:
    from loophound.dashboards.terminal import TerminalFace
    from loophound.detector.detector import Detector
    from loophound.detector.records import Snapshot, Stall
    from loophound.detector.stream import Face
    from loophound.detector.tracing import Tracing
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
    otel: bool = False,
    sums: bool = True,
    stall_limit_s: float | None = None,
    faces: Sequence[Face] = (),
) -> Iterator[Detector]:
    """Watch every loop of the process meanwhile. Raises ConfigError when `record` cannot be
    written, there is no directory for `ledger`, or [tool.loophound] in pyproject.toml is wrong.

    The process starts an observer that shows what `hosting` says, or attaches to a supervisor's at
    the socket `observer`, as its worker of that number. The report goes to what is standard
    error now: the program may replace sys.stderr later. With `sums`, it ends with how the loops have done.
    """
    from loophound.detector.detector import Detector
    from loophound.detector.stream import tell

    as_json = log_format == "json"
    face = log_face(log_format)
    if isinstance(face, JsonFace):
        tell = face.tell
    pyproject = find_pyproject(Path.cwd())
    allowed = allowances(pyproject) if pyproject is not None else []
    kept = keeper(ledger, tell) if ledger is not None else None
    shown: list[Face] = [face, *faces, *([kept] if kept is not None else [])]
    detector = Detector(
        threshold_ms / 1000,
        record=record,
        ledger=kept.path if kept is not None else None,
        faces=shown,
        observer=True if observer is None else observer,
        hosting=hosting,
        worker=worker,
        stall_limit=stall_limit_s,
        announce=True,
        as_json=as_json,
        tracing=_tracing() if otel else None,
        allowances=allowed,
    )
    started_in = os.getpid()
    detector.start()
    if kept is not None:
        kept.start()
    try:
        yield detector
    finally:
        if os.getpid() == started_in:  # not in a child that the program forked and let run to our end
            detector.stop()
            face.close()
            if kept is not None:
                kept.close()
            for snapshot in detector.snapshots():
                if sums and snapshot.watched_s >= WORTH_TELLING_S:
                    tell(account(snapshot))
            for allowance in detector.unused_allowances if sums else ():
                tell(f"nothing blocked in {allowance.code}, which pyproject.toml allows ({allowance.reason})")


def log_face(log_format: LogFormat) -> JsonFace | LazyTerminal:
    """What shows stalls in the log."""
    return JsonFace(sys.stderr) if log_format == "json" else LazyTerminal(sys.stderr)


class LazyTerminal:
    """The terminal's face, loaded for the first stall: where there is none, nobody waits for rich."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._face: TerminalFace | None = None

    def __call__(self, stall: Stall) -> None:
        if self._face is None:
            from rich.console import Console

            from loophound.dashboards.terminal import TerminalFace

            self._face = TerminalFace(Console(file=self._stream))
        self._face(stall)

    def close(self) -> None:
        if self._face is not None:
            self._face.close()


def keeper(ledger: str, tell: Callable[[str], None]) -> LedgerFace:
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


def _tracing() -> Tracing:
    try:
        from loophound.dashboards.otel import OpenTelemetry
    except ModuleNotFoundError as missing:
        raise ConfigError(f"--otel needs {missing.name}: pip install 'loophound[otel]'") from None
    return OpenTelemetry()
