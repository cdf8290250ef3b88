"""Make docs/pictures/report.svg: the example shop, served in a terminal of its own and blocked for real.

python docs/make_picture.py
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
PICTURE = HERE / "pictures" / "report.svg"
COMMAND = ("loophound", "serve", "shop.main:app", "--detect-blocking")
REQUESTS = (("POST", "/orders/7/payment"), ("GET", "/addresses/" + "a" * 21 + "@"))
WIDTH, HEIGHT = 104, 40
QUIET_S = 1.0


def main() -> None:
    screen = Screen()
    server = subprocess.Popen(
        [sys.executable, "-m", *COMMAND, "--port", "0", "--no-access-log"],
        cwd=HERE.parent / "examples",
        stdout=screen.terminal,
        stderr=screen.terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    try:
        port = int(screen.wait_for(r"running on http://127\.0\.0\.1:(\d+)"))
        for method, path in REQUESTS:
            block(method, port, path)
            time.sleep(QUIET_S)
        shown = screen.text()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(shown.replace("\r\n", "\n").replace(f":{port}", ":8000")))
    PICTURE.write_text(console.export_svg(title=" ".join(COMMAND)), encoding="utf-8")


class Screen:
    """The other end of a terminal: `terminal` is for the program, what it writes is kept."""

    def __init__(self) -> None:
        self._ours, self.terminal = pty.openpty()
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._seen = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while data := os.read(self._ours, 65536):
            self._seen += data

    def text(self) -> str:
        return self._seen.decode()

    def wait_for(self, pattern: str) -> str:
        for _ in range(200):
            if found := re.search(pattern, self.text()):
                return found[1]
            time.sleep(0.05)
        raise SystemExit(f"the server did not say {pattern!r}:\n{self.text()}")


def block(method: str, port: int, path: str) -> None:
    """Send the request that blocks, and a dozen others that have to wait for it."""
    culprit = threading.Thread(target=fetch, args=(method, port, path))
    culprit.start()
    time.sleep(0.1)
    others = [threading.Thread(target=fetch, args=("GET", port, "/items/1")) for _ in range(12)]
    for thread in others:
        thread.start()
    for thread in (culprit, *others):
        thread.join()


def fetch(method: str, port: int, path: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)) as answer:
        answer.read()


if __name__ == "__main__":
    main()
