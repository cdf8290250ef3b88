"""Who may see the page, and what comes with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from loophound.dashboards.web import WebDashboard
from loophound.dashboards.web.app import files
from tests.dashboards.web.exchange import ask

TOKEN = "s3cret"
alone = WebDashboard("/nowhere.sock", token=TOKEN)
mounted = WebDashboard("/nowhere.sock")


def test_the_page_wants_its_token() -> None:
    assert ask(alone, "/", f"token={TOKEN}").status == 200
    for query in (
        "",
        "token=",
        "token=wrong",
        f"token={TOKEN}x",
        f"Token={TOKEN}",
        f"token=wrong&token={TOKEN}",
        "token=%ff%00",
    ):
        refused = ask(alone, "/", query)
        assert refused.status == 403, query
        assert b"token" in refused.body
        assert ask(alone, "/events", query).status == 403, query


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "[::1]:80", "LOCALHOST"])
def test_it_answers_to_loopback_names(host: str) -> None:
    assert ask(alone, "/", f"token={TOKEN}", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "[::2]", "", "127.0.0.1@evil"]
)
def test_and_to_no_other_so_that_no_site_reaches_it_by_a_name_of_its_own(host: str) -> None:
    assert ask(alone, "/", f"token={TOKEN}", host=host).status == 403
    assert ask(alone, "/static/main.js", host=host).status == 403


def test_mounted_the_application_decides_who_may() -> None:
    assert ask(mounted, "/", host="shop.example").status == 200


def test_mounted_below_a_path() -> None:
    assert ask(mounted, "/", root="/admin/loops").body == files()["index.html"]
    assert ask(mounted, "/static/page.css", root="/admin/loops").status == 200
    slashless = ask(mounted, "", root="/admin/loops")
    assert (slashless.status, slashless.headers["location"]) == (307, "loops/")


def test_every_answer_keeps_the_browser_at_this_address() -> None:
    for answer in (
        ask(alone, "/", f"token={TOKEN}"),
        ask(alone, "/"),
        ask(alone, "/static/main.js"),
        ask(alone, "/nothing"),
    ):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_read(method: str) -> None:
    answer = ask(alone, "/", f"token={TOKEN}", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["/static/", "/static/nothing.js", "/static/../app.py", "/static/vendor/../page.css", "/index.html", "//", "/x"],
)
def test_there_is_nothing_else(path: str) -> None:
    assert ask(alone, path, f"token={TOKEN}").status == 404


def test_its_files_name_no_other_address() -> None:
    own = {name: body.decode() for name, body in files().items() if not name.startswith("vendor/")}
    for name, text in own.items():
        text = text.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
        assert "http:" not in text, name
        assert "https:" not in text, name
        assert "innerHTML" not in text, name


def test_the_chart_library_comes_with_its_licence() -> None:
    names = files()
    assert "vendor/uPlot.iife.min.js" in names
    assert b"MIT License" in names["vendor/uPlot.LICENSE"]
    assert ask(alone, "/static/vendor/uPlot.LICENSE").headers["content-type"].startswith("text/plain")


def test_its_scripts_find_each_other() -> None:
    for name, body in files().items():
        if name.startswith("vendor/") or not name.endswith(".js"):
            continue
        for line in body.decode().splitlines():
            if line.startswith("import "):
                assert line.rsplit('"', 2)[1].removeprefix("./") in files(), line


def test_a_websocket_is_closed_and_a_lifespan_answered() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def play() -> None:
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(messages)

        await alone({"type": "lifespan"}, receive, send)
        await alone({"type": "websocket"}, receive, send)

    asyncio.run(play())
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


def test_the_package_holds_all_that_the_page_names() -> None:
    home = Path(__file__).parents[3] / "loophound" / "dashboards" / "web" / "page"
    for line in (home / "index.html").read_text().splitlines():
        if "static/" in line:
            assert line.split("static/")[1].split('"')[0] in files()


def test_mounted_in_a_framework_it_finds_its_own_files() -> None:
    framework = Starlette(routes=[Mount("/loops", WebDashboard("/nowhere.sock"))])

    async def play() -> None:
        transport = httpx.ASGITransport(framework)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop", follow_redirects=True) as client:
            page = await client.get("/loops")
            assert page.url.path == "/loops/"
            assert page.text == files()["index.html"].decode()
            assert (await client.get("/loops/static/vendor/uPlot.min.css")).status_code == 200
            assert (await client.get("/loops/nothing")).status_code == 404

    asyncio.run(play())
