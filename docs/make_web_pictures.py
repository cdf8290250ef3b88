"""Make the pictures of docs/web.md: the example shop under load, blocked for real, in headless Chromium.

python -m docs.make_web_pictures, with Chromium installed; takes a minute and a half.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docs.make_top_pictures import LONG_BLOCKER, PICTURES, SERVE, fetch, loaded
from tests.dashboards.web.browser import Browser

LOADED_S = 50.0
DETAIL = "document.querySelector('#culprits .open').click()"
OPENED = "!!document.querySelector('#detail[open]')"
SAME_PORT = "(about => about.textContent = about.textContent.replace(':%d', ':8000'))(document.querySelector('#about'))"
PLACE = PICTURES.parents[1]
HIDE_PLACE = """place => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.nodeValue = texts.currentNode.nodeValue.replaceAll(place, '/srv');
}"""
BLOCKED = "/BLOCKED 1\\.[0-9]+ s by services.py:21/.test(document.querySelector('#verdict').textContent)"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (port, page), loaded(port):
        time.sleep(LOADED_S)
        shoot(page, "web-page", (1280, 910), port)
        shoot(page, "web-dark", (1280, 910), port, dark=True)
        shoot(page, "web-detail", (1280, 885), port, detail=True)
        shoot(page, "web-phone", (390, 1350), port)


def shoot(page: str, name: str, size: tuple[int, int], port: int, *, dark: bool = False, detail: bool = False) -> None:
    with Browser(*size, dark=dark) as browser:
        browser.open(page)
        browser.wait_for("document.querySelector('#culprits').textContent.includes('in charge_card')")
        time.sleep(4)  # so that there are figures of requests
        if detail:
            browser.evaluate(DETAIL)
            browser.wait_for(OPENED)
        else:
            threading.Thread(target=fetch, args=(port, *LONG_BLOCKER), daemon=True).start()
            browser.wait_for(BLOCKED)
        browser.evaluate(SAME_PORT % port)
        browser.evaluate(f"({HIDE_PLACE})({json.dumps(str(PLACE))})")
        browser.screenshot(PICTURES / f"{name}.png")
        assert browser.complaints == []


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, str]]:
    log = folder / "log"
    with log.open("wb") as file:
        command = [*SERVE, "--web-dashboard"]
        server = subprocess.Popen(
            command, env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "COLUMNS": "200"}, stdout=file, stderr=file
        )
    try:
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
            time.sleep(0.1)
        page = re.search(r"dashboard at (\S+)", log.read_text())
        assert page is not None
        yield int(found[1]), page[1]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


if __name__ == "__main__":
    main()
