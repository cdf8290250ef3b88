"""The terminal's face: a report on each stall, while the program runs, and a summary at the end."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from loophound.dashboards import layout
from loophound.dashboards.account import account, headline
from loophound.dashboards.repeats import Repeats, Telling
from loophound.dashboards.source import SourceCache
from loophound.detector.records import Cause, Stall

# For streams that cannot show them, such as standard error in the C locale before PEP 538.
_ASCII = str.maketrans({"·": "|", "…": "..."})


class TerminalFace:
    """Writes each stall to a console: panels on a terminal, plain lines elsewhere. Never raises for its stream."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sources = SourceCache()
        self._repeats = Repeats()

    def __call__(self, stall: Stall) -> None:
        """Tell of one stall, as much as is new in it."""
        if stall.ongoing:
            if self._repeats.announces(stall):
                self._write_line(headline(stall), f"bold {_colour(stall)}")
            return
        telling, group = self._repeats.add(stall)
        if telling is Telling.FULL:
            told = account(stall, self._sources)
            self._write(layout.panel(told, _colour(stall)), layout.plain(told))
        elif telling is Telling.COUNTED:
            self._write_line(layout.again(group), _colour(stall))

    def close(self) -> None:
        """Sum up; nothing when nothing stalled."""
        groups = self._repeats.groups()
        if groups:
            self._write(layout.summary_table(groups), layout.summary_lines(groups))

    def _write_line(self, text: str, style: str) -> None:
        self._write(Text(text, style=style, overflow="fold"), text)

    def _write(self, rendering: RenderableType, text: str) -> None:
        try:
            if self._console.is_terminal:
                # Not console.print straight to the stream: on a broken pipe, rich exits the thread and
                # points the file descriptor of sys.stdout, which is the program's, to /dev/null.
                with self._console.capture() as captured:
                    self._console.print(rendering, highlight=False, markup=False, emoji=False)
                text = captured.get()
            else:
                text += "\n"
            stream = self._console.file
            stream.write(text if _is_unicode(self._console) else text.translate(_ASCII))
            stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed, or cannot encode
            return


def _colour(stall: Stall) -> str:
    return layout.INNOCENT if stall.innocent or stall.cause is Cause.GC else layout.GUILTY


def _is_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")
