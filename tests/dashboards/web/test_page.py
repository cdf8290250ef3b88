"""The page in a real browser, before a made-up server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from loophound import Config, Server
from loophound.dashboards.web import WebDashboard
from tests.dashboards.feed.fake import FakeFeed, blocked, hello, history, route, snapshot, stalled, state, worker
from tests.dashboards.web.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]
TOKEN = "0123456789abcdef"


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[FakeFeed]:
    opening = [hello(), worker(0), worker(1), history(0), history(1), state(0), state(1), snapshot(0), snapshot(1)]
    with FakeFeed(tmp_path / "feed.sock", opening) as feed:
        yield feed


@pytest.fixture
def url(feed: FakeFeed) -> Iterator[str]:
    app = WebDashboard(feed.path, token=TOKEN)
    server = Server(Config(app=app, port=0, lifespan="off", access_log=False, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?token={TOKEN}"
    server.should_exit = True
    thread.join(10)


def chart_pixels(browser: Browser) -> Any:
    return browser.evaluate("document.querySelector('#lag canvas').toDataURL()")


def test_it_shows_a_server_live(feed: FakeFeed, url: str) -> None:
    with Browser() as browser:
        browser.open(url)
        browser.wait_for("document.querySelector('#about').textContent.includes('shop.main:app')")
        browser.wait_for("document.querySelector('#verdict').textContent === 'ok'")
        browser.wait_for("document.querySelector('#routes').textContent.includes('GET /show/{id}')")
        browser.wait_for("!!document.querySelector('#lag canvas')")
        before = chart_pixels(browser)

        feed.send(blocked(1, 0.4))
        told = browser.wait_for(
            "document.querySelector('#verdict.blocked') && document.querySelector('#verdict').textContent"
        )
        assert "worker 1: BLOCKED" in told
        assert "by main.py:44 in show in GET /show/7" in told
        # Nothing more comes, and the clock goes on.
        browser.wait_for("parseFloat(document.querySelector('#verdict').textContent.split('BLOCKED ')[1]) > 1.5")
        assert chart_pixels(browser) != before

        feed.send(state(1), stalled(1, duration_s=2.5, profile=()))
        browser.wait_for("document.querySelector('#verdict').textContent === 'ok'")
        browser.wait_for("!!document.querySelector('#culprits .open')")
        browser.evaluate("document.querySelector('#culprits .open').click()")
        detail = browser.wait_for(
            "document.querySelector('#detail[open]') && document.querySelector('#detail').innerText"
        )
        for text in ("main.py:44 in show", "2.50 s", "recvfrom", "37 other requests waited", "httpx.AsyncClient"):
            assert text in detail
        assert browser.evaluate("document.querySelectorAll('#detail .flame rect').length") >= 3
        browser.evaluate("document.querySelector('#close').click()")
        assert not browser.evaluate("document.querySelector('#detail').open")

        assert {urlsplit(asked).netloc for asked in browser.requested} == {urlsplit(url).netloc}
        assert browser.complaints == []


def test_text_of_the_application_never_becomes_markup(feed: FakeFeed, url: str) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    message: dict[str, Any] = stalled(0)
    message["stall"]["culprit"] |= {"function": evil, "code": evil}
    message["stall"]["request"] |= {"path": evil}
    feed.opening += [message, snapshot(0, routes=[route(evil)])]
    with Browser() as browser:
        browser.open(url)
        browser.wait_for("document.querySelector('#routes').textContent.includes('onerror')")
        browser.evaluate("document.querySelector('#culprits .open').click()")
        browser.wait_for("document.querySelector('#detail').textContent.includes('onerror')")
        assert browser.evaluate("document.querySelectorAll('img').length") == 0
        assert browser.complaints == []


def test_a_wrong_token_shows_nothing(url: str) -> None:
    with Browser() as browser:
        browser.open(url + "0")
        browser.wait_for("document.body && document.body.innerText.includes('token')")
        assert browser.statuses[url + "0"] == 403
        assert "shop.main" not in browser.text()


def test_it_fits_a_phone_and_pauses(feed: FakeFeed, url: str) -> None:
    with Browser(390, 844, dark=True) as browser:
        browser.open(url)
        browser.wait_for("document.querySelector('#verdict').textContent === 'ok'")
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.evaluate("document.querySelector('#pause').click()")
        feed.send(blocked(0, 5.0), worker(1, "gone", why="it was killed by SIGKILL"))
        browser.evaluate("new Promise((done) => setTimeout(done, 600))")
        assert browser.evaluate("document.querySelector('#verdict').textContent") == "ok"
        browser.evaluate("document.querySelector('#pause').click()")
        browser.wait_for("document.querySelector('#verdict').textContent.includes('BLOCKED')")
        browser.wait_for("document.querySelector('#notice').textContent.includes('killed by SIGKILL')")


def test_a_server_that_ends_is_said_to_be_gone_and_found_again(feed: FakeFeed, url: str) -> None:
    with Browser() as browser:
        browser.open(url)
        browser.wait_for("document.querySelector('#verdict').textContent === 'ok'")
        feed.close()
        browser.wait_for("document.querySelector('#notice').textContent.includes('waiting for it to come back')")
        with FakeFeed(feed.path, [hello(app="again:app"), worker(), state()]):
            browser.wait_for("document.querySelector('#about').textContent.includes('again:app')")
            browser.wait_for("document.querySelector('#notice').hidden")
