"""The table in docs/calls.md, made from the catalogue: `python -m loophound.calls.page docs/calls.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from loophound.calls.catalogue import IMPORT, ROWS, Row

BEGIN = "<!-- Made by `make docs` from loophound/calls/catalogue.py; do not edit below. -->\n"
HEAD = "\n| | calls | patched | counts as blocking | instead |\n|---|---|---|---|---|\n"


def with_table(page: str) -> str:
    """The page with the table as it has to be. Raises ValueError for one that has no place for it."""
    before, found, _ = page.partition(BEGIN)
    if not found:
        raise ValueError(f"the page lacks the line {BEGIN!r}")
    return before + BEGIN + HEAD + "".join(map(_line, ROWS))


def _line(row: Row) -> str:
    names = list(dict.fromkeys(map(row.call, row.names)))
    home = names[0].rpartition(".")[0]
    shown = [names[0], *(name.removeprefix(f"{home}.") if home else name for name in names[1:])]
    calls = IMPORT if row.group == IMPORT else ", ".join(f"`{name}`" for name in shown)
    remedy = row.remedy.format(call="…" if len(names) > 1 else names[0])
    return f"| {row.group} | {calls} | {row.observed} | {row.when.words} | {remedy} |\n"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
