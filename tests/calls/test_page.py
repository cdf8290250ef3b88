from __future__ import annotations

from pathlib import Path

from loophound.calls.page import with_table

PAGE = Path(__file__).parents[2] / "docs" / "calls.md"


def test_the_page_is_made_from_the_catalogue() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run `make docs`"
