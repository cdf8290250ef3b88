from __future__ import annotations

import pytest

from loophound.dashboards.report.rows import ORDERS, ago, ranked, row
from tests.dashboards.report.groups import groups, hostile


@pytest.mark.parametrize(
    ("order", "first"), [("total", "57a12ed"), ("worst", "57a12ed"), ("count", "5leeb"), ("last", "5leeb")]
)
def test_orders(order: str, first: str) -> None:
    known = ranked(groups(), order)
    assert known[0].fingerprint == first
    keys = [ORDERS[order](group) for group in known]
    assert keys == sorted(keys, reverse=True)


def test_a_limit_takes_the_first() -> None:
    assert [group.fingerprint for group in ranked(groups(), "total", 2)] == ["57a12ed", "c0ffee12"]


def test_the_words_of_a_group() -> None:
    told = row(ranked(groups(), "count")[0], lambda _: "then")
    assert (told.where, told.cause, told.count, told.total, told.victims, told.last) == (
        "main.py:7 in charge", "sleep", "4", "600 ms", "4", "then",
    )  # fmt: skip
    assert row(ranked(groups(), "total")[0], str).where == "the machine"


def test_text_from_outside_is_harmless() -> None:
    told = row(ranked(groups(hostile()), "total")[0], str)
    assert (told.id + told.where).isprintable()


@pytest.mark.parametrize(
    ("passed_s", "words"),
    [(-5, "just now"), (59, "just now"), (60, "1 min ago"), (7199, "1 h ago"), (86400 * 12.9, "12 d ago")],
)
def test_ago(passed_s: float, words: str) -> None:
    assert ago(1000.0, 1000.0 + passed_s) == words
