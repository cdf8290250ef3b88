"""A terminal that a test can type into and look at: tmux, with a server of its own for each."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

WAIT_S = 60.0
TMUX = shutil.which("tmux")


class Tmux:
    """Runs a command in a terminal of that size. A shell stands under it, so that its end can be looked at."""

    def __init__(self, folder: Path, words: Sequence[str], width: int, height: int, **environ: str) -> None:
        assert TMUX is not None
        self._server = [TMUX, "-S", str(folder / "tmux"), "-f", "/dev/null", "-u"]
        # What it leaves behind is told by the line that follows, and by what the terminal does then.
        command = shlex.join(["env", *(f"{name}={value}" for name, value in environ.items()), *words])
        run = f"trap : INT; {command}; echo ENDED $?; stty -a; exec cat"
        size = ["-x", str(width), "-y", str(height)]
        self._tmux("new-session", "-d", *size, "sh", "-c", run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._server, "kill-server"], capture_output=True, check=False)

    def press(self, *keys: str) -> None:
        """Type keys, by tmux's names for them."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *options: str) -> str:
        """What is on it now."""
        return self._tmux("capture-pane", "-p", *options)

    def wait_for(self, *wanted: str, without: str = "\0", within_s: float = WAIT_S) -> str:
        """The screen, as soon as all of that is on it."""
        deadline_s = time.monotonic() + within_s
        while True:
            shown = self.screen()
            if all(text in shown for text in wanted) and without not in shown:
                return shown
            assert time.monotonic() < deadline_s, f"never on the screen: {wanted}\n{shown}"
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the shell."""
        return int(self._tmux("list-panes", "-F", "#{pane_pid}"))

    def _tmux(self, *words: str) -> str:
        return subprocess.run([*self._server, *words], capture_output=True, text=True, check=True).stdout
