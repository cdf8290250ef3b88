from __future__ import annotations

import pytest

from loophound.demo.plan import APP_FILE, HEALTHY, PLANTED, marked_lines, planted_sites
from loophound.detector.records import Cause

MARKED = '''\
"""A docstring may speak of the comment  # planted: nothing"""
import time


class Till:
    async def pay(self):
        def charge():
            time.sleep(1)  # planted: sleep
        charge()


time.sleep(0)  # planted: module
'''


def test_a_marker_is_a_comment_not_a_string() -> None:
    assert marked_lines(MARKED) == {"sleep": 8, "module": 12}


def test_a_name_planted_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="'a' is planted twice: on lines 1 and 2"):
        marked_lines("x = 1  # planted: a\ny = 2  # planted: a\n")


def test_a_site_names_the_innermost_function(tmp_path) -> None:
    file = tmp_path / "till.py"
    file.write_text(MARKED)
    sites = planted_sites(file)
    assert sites["sleep"].function == "charge"
    assert sites["module"].function == "<module>"
    assert sites["sleep"].file == file


def test_every_planted_blocker_is_marked_in_the_application_and_no_other() -> None:
    assert set(planted_sites()) == {entry.name for entry in PLANTED}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("sleep", "time.sleep("),
        ("requests", ".get(url"),
        ("sqlite", "database.execute("),
        ("regex", ".match("),
        ("json", "json.dumps("),
        ("lock", "with stock_lock"),
        ("subprocess", "subprocess.run("),
        ("fsync", "os.fsync("),
        ("import", "import TAX_BY_INCOME"),
        ("loop", "% 1_000_003"),
    ],
)
def test_a_marker_stands_on_the_line_that_blocks(name: str, code: str) -> None:
    line = APP_FILE.read_text().splitlines()[planted_sites()[name].line - 1]
    assert code in line


def test_the_plan_has_ten_blockers_with_endpoints_of_their_own() -> None:
    endpoints = [entry.endpoint for entry in PLANTED] + list(HEALTHY)
    assert len(PLANTED) == 10
    assert len(set(endpoints)) == len(endpoints)


def test_the_plan_expects_the_causes_that_a_user_meets() -> None:
    assert {entry.name: entry.cause for entry in PLANTED} == {
        "sleep": Cause.SLEEP,
        "requests": Cause.IO,
        "sqlite": Cause.NATIVE,
        "regex": Cause.NATIVE,
        "json": Cause.NATIVE,
        "lock": Cause.LOCK,
        "subprocess": Cause.IO,
        "fsync": Cause.IO,
        "import": Cause.IMPORT,
        "loop": Cause.CPU,
    }
