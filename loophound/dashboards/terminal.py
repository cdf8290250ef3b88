"""The terminal's face: a report on each stall, while the program runs, and a summary at the end."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType
from rich.text import Text

from loophound.dashboards import layout
from loophound.dashboards.account import account, headline
from loophound.dashboards.repeats import Repeats, Telling
from loophound.detector.records import Cause, Stall
from loophound.source import SourceLines

# For streams that cannot show them, such as standard error in the C locale before PEP 538.
_ASCII = str.maketrans({"·": "|", "…": "..."})


class TerminalFace:
    """Writes each stall to a console: panels on a terminal, plain lines elsewhere. Never raises for its stream."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sources = SourceLines()
        self._repeats = Repeats()

    def __call__(self, stall: Stall) -> None:
        """Tell of one stall, as much as is new in it."""
        if stall.ongoing:
            if self._repeats.announces(stall):
                self._write_line(headline(stall), f"bold {colour(stall)}")
            return
        telling, group = self._repeats.add(stall)
        if telling is Telling.FULL:
            told = account(stall, self._sources)
            self._write(layout.panel(told, colour(stall)), layout.plain(told))
        elif telling is Telling.COUNTED:
            self._write_line(layout.again(group), colour(stall))

    def close(self) -> None:
        """Sum up; nothing when nothing stalled."""
        groups = self._repeats.groups()
        if groups:
            self._write(layout.summary_table(groups), layout.summary_lines(groups))

    def _write_line(self, text: str, style: str) -> None:
        self._write(Text(text, style=style, overflow="fold"), text)

    def _write(self, rendering: RenderableType, text: str) -> None:
        try:
            text = self._render(rendering) if self._console.is_terminal else text + "\n"
            stream = self._console.file
            stream.write(text if _is_unicode(self._console) else text.translate(_ASCII))
            stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed, or cannot encode
            return

    def _render(self, rendering: RenderableType) -> str:
        # On a console of its own, and written by ourselves: where the stream is a broken pipe, rich
        # ends the thread and points the file descriptor of sys.stdout, the program's, to /dev/null.
        console = self._console
        scratch = Console(
            file=StringIO(),
            force_terminal=True,
            width=console.width,
            color_system=console.color_system,  # type: ignore[arg-type] # its own values, as str
            no_color=console.no_color,
            safe_box=console.safe_box,
        )
        with scratch.capture() as captured:
            scratch.print(rendering, highlight=False)
        return captured.get()


def colour(stall: Stall) -> str:
    """Of a report: whether somebody is to blame."""
    return layout.INNOCENT if stall.innocent or stall.cause is Cause.GC else layout.GUILTY


def _is_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")
