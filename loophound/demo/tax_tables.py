"""Tax on each income, worked out when the module is imported: a first import that takes long."""

from __future__ import annotations

from loophound.demo.sizes import sizes

TAX_BY_INCOME: dict[int, int] = {}

# A module's names live in a dict: a turn costs about twice that of the same loop in a function.
for income in range(sizes.ratings // 2):
    TAX_BY_INCOME[income % 1000] = income * 31 // 100 - (income % 7)
