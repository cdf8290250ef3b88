"""The page, read by a parser as a browser would, and by a browser where there is one."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loophound.dashboards.report.page import page
from loophound.dashboards.report.rows import ranked
from loophound.source import SourceLines
from tests.dashboards.report.groups import HOSTILE, groups, hostile, stalls

VOID = {"meta"}
EXPECTED = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "p", "main", "table", "thead", "tbody", "tr",
    "th", "td", "a", "svg", "rect", "text", "section", "h2", "div", "pre", "mark", "dl", "dt", "dd", "details",
    "summary",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects tags, attributes and text, and finds tags that are not closed in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def made(*more: object) -> str:
    return page("stalls.jsonl", ranked(groups(*more), "total"), SourceLines(), 1795327200.0)  # type: ignore[arg-type]


def test_the_page_has_each_group_with_all_there_is_to_say() -> None:
    reader = Reader(made())
    assert reader.open == []
    text = " ".join(reader.texts)
    for part in (
        "3 groups, 7 stalls, 3.40 s in all", "made 2026-11-22 06:00:00 UTC", "io · main.py:44 in show · 800 ms",
        "44  row = requests.get(url)", "74 other requests waited", "use httpx.AsyncClient", "GET /show/{id} (2 times)",
        "in system call recvfrom on tcp 127.0.0.1:5432", "/usr/lib/python3.11/socket.py:706 in readinto",
        "the machine gave the thread no CPU; no line of the loop's code is to blame",
    ):  # fmt: skip
        assert part in text
    anchors = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    sections = [attributes["id"] for tag, attributes in reader.tags if tag == "section"]
    assert anchors == [f"#{section}" for section in sections]
    assert len(sections) == 3


def test_text_from_a_record_is_text() -> None:
    document = made(hostile())
    reader = Reader(document)
    assert reader.open == []
    assert {tag for tag, _ in reader.tags} <= EXPECTED
    assert "<b>" in "".join(reader.texts)
    for raw in ("\x1b", "\x07", "\u202e", "\udc80"):
        assert raw not in document


def test_nothing_is_loaded_and_only_our_style_applies() -> None:
    document = made(hostile())
    reader = Reader(document)
    [policy] = [a["content"] for tag, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    [style] = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
    assert f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    for _, attributes in reader.tags:
        assert not {"src", "style", "srcset", "data", "xlink:href"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in style
    assert "@import" not in style


def test_widths_of_the_flame_graph_add_up() -> None:
    other = stalls()[2]
    reader = Reader(made(dataclasses.replace(other, stack=other.stack[:1])))
    boxes = [attributes for tag, attributes in reader.tags if tag == "svg" and "x" in attributes]
    assert [box["width"] for box in boxes].count("80.000%") == 1, "charge, in four of five stalls of one length"
    assert all(float((box["x"] or "")[:-1]) + float((box["width"] or "")[:-1]) <= 100.01 for box in boxes)


def test_a_page_without_stalls() -> None:
    assert "No stalls." in page("x", [], SourceLines(), 0.0)


@pytest.mark.skipif(not shutil.which("chromium"), reason="wants chromium")
@pytest.mark.parametrize("width", [390, 1100])
def test_a_browser_has_nothing_to_complain_of(width: int, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(made(hostile()), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        ["chromium", *options, "--enable-logging=stderr", f"--window-size={width},800", "--dump-dom",
         f"file://{tmp_path}/page.html"],
        capture_output=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert b"CONSOLE" not in done.stderr, done.stderr
    assert done.stdout.count(b"<section") == 4
    assert HOSTILE.encode("utf-8", "replace") not in done.stdout
