"""Make the pictures of docs/top.md: the example shop with two workers under load, blocked for real.

python -m docs.make_top_pictures, with tmux installed; takes two minutes.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console

from loophound.dashboards.top.writing import THEME
from tests.dashboards.top.tmux import Tmux

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
SHOP = HERE.parent / "examples"
LOOPHOUND = [sys.executable, "-m", "loophound"]
SERVE = [*LOOPHOUND, "serve", "shop.main:app", "--app-dir", str(SHOP), "--port", "0", "--no-access-log"]
LOADED_S = 60.0
BLOCKERS = (("POST", "/orders/7/payment"), ("GET", "/items/3/stock?seconds=0.4"), ("GET", "/reports/monday"),
            ("GET", "/addresses/aaaaaaaaaaaaaaaaaaaaa@"))  # fmt: skip
LONG_BLOCKER = ("POST", "/orders/7/payment?seconds=3")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environ = {"XDG_RUNTIME_DIR": folder, "LANG": "C.UTF-8", "LC_ALL": "", "COLORTERM": "truecolor"}
        with two_workers(folder) as port, loaded(port):
            time.sleep(LOADED_S)
            for name, size, keys in (
                ("top", (120, 40), ()),
                ("top-80x24", (80, 24), ()),
                ("top-200x60", (200, 60), ()),
                ("top-detail", (120, 40), ("Enter",)),
            ):
                command = [*LOOPHOUND, "top"]
                with tempfile.TemporaryDirectory() as own, Tmux(Path(own), command, *size, **environ) as screen:
                    screen.wait_for("req/s", "routes", "in charge_card")
                    screen.press(*keys) if keys else None
                    threading.Thread(target=fetch, args=(port, *LONG_BLOCKER), daemon=True).start()
                    screen.wait_for("BLOCKED 1.", "by services.py:21 in charge_card")
                    shoot(screen, name, size[0], "loophound top", port)
                    screen.wait_for("live")
        beside(Path(folder), environ)


def beside(folder: Path, environ: dict[str, str]) -> None:
    with Tmux(
        folder, [arg for arg in SERVE if arg != "--no-access-log"] + ["--dashboard"], 120, 40, **environ
    ) as screen:
        shown = screen.wait_for("live", "running on http://127.0.0.1:")
        port = int(re.findall(r"running on http://127\.0\.0\.1:(\d+)", shown)[0])
        with loaded(port, pause_s=1.0):
            time.sleep(20)
            threading.Thread(target=fetch, args=(port, *LONG_BLOCKER), daemon=True).start()
            screen.wait_for("BLOCKED 1.", "by services.py:21 in charge_card")
            shoot(screen, "dashboard", 120, "loophound serve shop.main:app --dashboard", port)
        screen.press("C-c")
        screen.wait_for("ENDED")


def shoot(screen: Tmux, name: str, width: int, title: str, port: int) -> None:
    text = screen.screen("-e").replace(f":{port}", ":8000")
    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    for made in AnsiDecoder().decode(text):
        made.pad_right(max(0, width - made.cell_len))
        console.print(made, no_wrap=True, overflow="crop", highlight=False)
    PICTURES.joinpath(f"{name}.svg").write_text(console.export_svg(title=title, theme=THEME), encoding="utf-8")


@contextmanager
def two_workers(folder: str) -> Iterator[int]:
    log = Path(folder, "log")
    with log.open("wb") as file:
        command = [*SERVE, "--workers", "2", "--detect-blocking"]
        server = subprocess.Popen(command, env={**os.environ, "XDG_RUNTIME_DIR": folder}, stdout=file, stderr=file)
    try:
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
            time.sleep(0.1)
        yield int(found[1])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


@contextmanager
def loaded(port: int, pause_s: float = 0.01) -> Iterator[None]:
    """Requests that do not block all the time, and every few seconds one that does."""
    going = threading.Event()
    going.set()
    calm = (("GET", "/items/1"), ("GET", "/"), ("GET", "/news?seconds=0.05"), ("POST", "/orders/3/payment-in-thread"))
    threads = [threading.Thread(target=repeat, args=(going, port, one, lambda: pause_s)) for one in calm * 2]
    threads += [
        threading.Thread(target=repeat, args=(going, port, one, lambda: random.uniform(8, 20))) for one in BLOCKERS
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        going.clear()
        for thread in threads:
            thread.join()


def repeat(going: threading.Event, port: int, request: tuple[str, str], pause_s: Callable[[], float]) -> None:
    while going.is_set():
        fetch(port, *request)
        until_s = time.monotonic() + pause_s()
        while going.is_set() and time.monotonic() < until_s:
            time.sleep(0.005)


def fetch(port: int, method: str, path: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


if __name__ == "__main__":
    main()
