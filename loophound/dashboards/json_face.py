"""The face of `--log-format json`: each stall a line of the log, with its record in it."""

from __future__ import annotations

from typing import IO

from loophound.dashboards.account import headline
from loophound.detector.records import Stall
from loophound.json_lines import line

LOGGER = "loophound.detector"


class JsonFace:
    """Writes each stall to a stream. Never raises for its stream."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, stall: Stall) -> None:
        """Write one stall."""
        self._write(line("info" if stall.innocent else "warning", LOGGER, headline(stall), stall=stall.to_dict()))

    def tell(self, text: str) -> None:
        """Write what is no stall, such as how the loop has done."""
        self._write(line("info", LOGGER, text))

    def close(self) -> None:
        """Nothing is left to say: whoever reads the lines can sum up."""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            return
