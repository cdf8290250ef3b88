"""The page of a real server that blocks, as a user would open it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboards.web.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]

APP = """
import time

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        time.sleep(3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""


class Served:
    """A server with its page: the addresses that it prints."""

    def __init__(self, directory: Path) -> None:
        (directory / "program.py").write_text(APP)
        command = [
            sys.executable,
            "-m",
            "loophound",
            "serve",
            "program:app",
            "--port=0",
            "--web-dashboard=0",
            "--lifespan=off",
        ]
        self.process = subprocess.Popen(command, cwd=directory, stderr=subprocess.PIPE, text=True)
        self.page = self._printed(r"dashboard at (http://127\.0\.0\.1:\d+/\?token=\S+)")
        self.address = self._printed(r"running on (http://127\.0\.0\.1:\d+)")
        self._reading = threading.Thread(target=self._read_on, daemon=True)
        self._reading.start()

    def _printed(self, pattern: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("the server ended")

    def _read_on(self) -> None:
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self._reading.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=60) as answer:
            body: bytes = answer.read()
        return body


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    served = Served(tmp_path)
    yield served
    assert served.stop() == 0


def test_a_stall_is_on_the_page_while_it_lasts_and_in_full_afterwards(served: Served) -> None:
    assert served.ask("/") == b"done"
    with Browser() as browser:
        browser.open(served.page)
        browser.wait_for("document.querySelector('#about').textContent.includes('program:app')")
        asking = threading.Thread(target=served.ask, args=("/slow",))
        asking.start()
        # While it lasts: the request has no answer yet.
        browser.wait_for("/BLOCKED.*program.py:6|STARVED/.test(document.querySelector('#verdict').textContent)")
        assert asking.is_alive()
        asking.join()
        browser.wait_for("document.querySelector('#culprits').textContent.includes('program.py:6 in app')")
        browser.evaluate("document.querySelector('#culprits .open').click()")
        detail = browser.wait_for(
            "document.querySelector('#detail[open]') && document.querySelector('#detail').innerText"
        )
        assert "time.sleep(3)" in detail
        assert "GET /slow" in detail
        browser.wait_for("document.querySelector('#routes').textContent.includes('/slow')")
        assert browser.complaints == []


def test_the_page_is_for_those_who_have_the_token(served: Served) -> None:
    assert served.page.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(served.page[:-1] + "~", timeout=30)
    with refusal.value:
        assert refusal.value.code == 403
    token = served.page.rsplit("=", 1)[1]
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert token.encode() not in arguments.read_bytes(), arguments
        except OSError:
            continue
