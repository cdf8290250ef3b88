"""The terminal: taken over and given back, lines written where they changed, keys read."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import FrameType
from typing import Any, Self, TextIO

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from loophound.dashboards.top.keys import ESCAPE_ALONE_S, Keys
from loophound.dashboards.top.look import ASCII, UNICODE, Look

# Alternate screen and hidden cursor (xterm's DECSET 1049 and DECTCEM 25).
ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asks the process to end; the terminal is given back on the way."""

    def __init__(self, number: int) -> None:
        self.number = number


class Terminal:
    """A context: within it the terminal is ours. It is given back at the end, at an exception and at a signal."""

    def __init__(self, output: TextIO, look: Look, *, heeds_interrupt: bool = True) -> None:
        self.look = look
        self._output = output
        self._console = Console(file=output, force_terminal=True, legacy_windows=False)
        self._keys = Keys()
        self._heeds_interrupt = heeds_interrupt
        self._shown: list[str] = []
        self._saved: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._input = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._input = os.dup(sys.stdin.fileno())

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(self._output.fileno())
        except OSError:
            columns, rows = 80, 24
        return columns or 80, rows or 24

    def __enter__(self) -> Self:
        self._saved = termios.tcgetattr(self._input)
        self._take()
        self._install()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._give_back()
        for descriptor in (self._input, self._wake_read, self._wake_write):
            os.close(descriptor)

    def _take(self) -> None:
        ours = termios.tcgetattr(self._input)
        ours[3] &= ~(termios.ICANON | termios.ECHO)  # ISIG stays: Ctrl-C and Ctrl-Z are the terminal's
        ours[6][termios.VMIN], ours[6][termios.VTIME] = 0, 0
        termios.tcsetattr(self._input, termios.TCSAFLUSH, ours)
        self._write(ENTER)
        self._shown = []

    def _give_back(self) -> None:
        self._write(LEAVE)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)

    def _install(self) -> None:
        wanted: dict[int, Any] = {
            signal.SIGWINCH: self._resized,
            signal.SIGTSTP: self._suspended,
            signal.SIGCONT: self._continued,
            **dict.fromkeys(ENDING, self._ends),
        }
        if not self._heeds_interrupt:
            wanted[signal.SIGINT] = signal.SIG_IGN
        for number, handler in wanted.items():
            self._handlers[number] = signal.signal(number, handler)

    def _ends(self, number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    def _resized(self, *_: object) -> None:
        self._shown = []
        self.wake()

    def _suspended(self, *_: object) -> None:
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _continued(self, *_: object) -> None:
        self._take()
        self.wake()

    def wake(self) -> None:
        """Make `wait()` return."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def wait(self, others: Sequence[int], timeout_s: float) -> tuple[list[str], list[int], bool]:
        """Names of keys, which of the other descriptors can be read, and whether to draw anew at once."""
        if self._keys.waiting:
            timeout_s = min(timeout_s, ESCAPE_ALONE_S)
        ready, _, _ = select.select([self._input, self._wake_read, *others], (), (), max(0.0, timeout_s))
        keys: list[str] = []
        if self._input in ready:
            data = os.read(self._input, 4096)
            if not data:
                raise Ended(signal.SIGHUP)  # the terminal is gone
            keys = self._keys.feed(data)
        elif self._keys.waiting:
            keys = self._keys.flush()
        woken = self._wake_read in ready
        if woken:
            os.read(self._wake_read, 4096)
        return keys, [descriptor for descriptor in others if descriptor in ready], woken

    def redraw(self) -> None:
        """Write everything at the next `draw()`, changed or not."""
        self._shown = []

    def draw(self, lines: Sequence[Text]) -> None:
        """Write the lines that are not on the screen already."""
        wanted = [self._encode(one) for one in lines]
        if len(wanted) != len(self._shown):
            self._shown = [""] * len(wanted)
        changes = [
            f"\x1b[{row};1H{now}"
            for row, (now, before) in enumerate(zip(wanted, self._shown, strict=True), 1)
            if now != before
        ]
        self._shown = wanted
        if changes:
            self._write("".join(changes))

    def _encode(self, one: Text) -> str:
        return encode(one, self._console)

    def _write(self, text: str) -> None:
        # In one piece, past the stream's buffer: it must not be cut where a signal comes.
        data = text.encode(self._output.encoding or "utf-8", "replace")
        while data:
            try:
                data = data[os.write(self._output.fileno(), data) :]
            except BlockingIOError:
                select.select((), [self._output.fileno()], (), 1.0)
            except OSError:
                return  # the terminal has gone: reading from it will tell


def encode(one: Text, console: Console) -> str:
    """The line with its escape sequences."""
    system = None if console.color_system is None else COLOUR_SYSTEMS.get(console.color_system)
    return "".join(
        segment.text
        if segment.style is None
        else _style(segment.style, console.no_color).render(segment.text, color_system=system or ColorSystem.STANDARD)
        for segment in one.render(console)
    )


COLOUR_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


@lru_cache(maxsize=512)
def _style(style: Style, no_color: bool) -> Style:
    """Without colours, what had a background is shown in reverse."""
    if not no_color:
        return style
    return style.without_color + Style(reverse=True) if style.bgcolor is not None else style.without_color


def look_of(environ: Mapping[str, str]) -> Look:
    """Unicode where the locale says UTF-8, as POSIX reads it: LC_ALL, then LC_CTYPE, then LANG."""
    chosen = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    return UNICODE if "utf-8" in chosen.lower() or "utf8" in chosen.lower() else ASCII


def first_environment() -> dict[str, str]:
    """The environment as the process got it: in the C locale Python itself sets LC_CTYPE (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = file.read().split(b"\0")
    except OSError:
        return dict(os.environ)
    return dict(_pairs(pairs))


def _pairs(entries: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        name, equals, value = os.fsdecode(entry).partition("=")
        if equals:
            yield name, value
