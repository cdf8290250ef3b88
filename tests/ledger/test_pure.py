"""The sums know no database, clock, file or thread."""

from __future__ import annotations

import pytest

from tests.test_imports import PURE, imported, source_of


@pytest.mark.parametrize("name", ["histogram", "groups", "compare"])
def test_the_sums_are_pure(name: str) -> None:
    others = set(imported(source_of(f"loophound.ledger.{name}")))
    own = {"loophound.detector.records", "loophound.ledger.groups", "loophound.ledger.histogram"}
    # datetime's own clock is not asked: a record has its time in it.
    assert others <= PURE | own | {"datetime"}
    assert ".now(" not in source_of(f"loophound.ledger.{name}")
