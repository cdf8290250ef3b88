"""docs/uvicorn.md has a row for each option of the uvicorn that is installed, and keeps what it says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from loophound import config
from loophound.config import Config
from loophound.errors import ConfigError
from loophound.serving import run

uvicorn = pytest.importorskip("uvicorn")
main = pytest.importorskip("uvicorn.main")

PAGE = (Path(__file__).parents[1] / "docs" / "uvicorn.md").read_text()
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
ELSEWHERE = {"--env-file", "--version"}  # not options of the table
OTHER_NAMES = {spec.other_flag for _, spec in config.options() if spec.other_flag}
FLAGS = sorted(flag for parameter in main.main.params for flag in parameter.opts if flag.startswith("--"))


def row_of(flag: str) -> list[str]:
    rows = [row for row in ROWS if re.search(rf"`{flag}[` ]", row[0])]
    assert len(rows) == 1, f"{flag} has {len(rows)} rows"
    return rows[0]


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag != "--help"])
def test_what_becomes_of_an_option(flag: str) -> None:
    ours = {config.flag_of(name) for name, _ in config.options()} | ELSEWHERE | OTHER_NAMES
    verdict = row_of(flag)[1]
    assert verdict in ("same", "better", "no")
    assert (flag in ours) == (verdict != "no")


def test_the_keywords_of_run() -> None:
    """Those of uvicorn.run() are ours, but for what the page refuses."""
    known = set(Config.__dataclass_fields__) | {name[2:].replace("-", "_") for name in OTHER_NAMES}
    missing = set(inspect.signature(main.run).parameters) - known
    assert missing == {"http2"}
    with pytest.raises(ConfigError, match="--timeout-worker takes"):
        run("a:a", timeout_worker_healthcheck=-1)
