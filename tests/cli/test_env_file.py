from __future__ import annotations

from pathlib import Path

import pytest

from loophound.env_file import missing_variables
from loophound.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  export A = b c  ", "b c"),
        ("A=", ""),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A= # why", ""),
        ("A='b # ${C} \\n'", "b # ${C} \\n"),
        ('A="b\\n\\"c\\" \\\\ # d"  # why', 'b\n"c" \\ # d'),
        ('A="${HOME}/${UNKNOWN}x\\${HOME}"', "/home/ada/x${HOME}"),
        ("A=${HOME}/x", "/home/ada/x"),
        ("A=C:\\new", "C:\\new"),
        ("A=postgres://u:p@h/db?x=y", "postgres://u:p@h/db?x=y"),
    ],
)
def test_values(line: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(f"# first\n\n{line}\n")
    assert missing_variables(str(file), {"HOME": "/home/ada"}) == {"A": value}


def test_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=file\nB=${A}\nC=${B}!\n")
    assert missing_variables(str(file), {"A": "outside"}) == {"B": "outside", "C": "outside!"}


@pytest.mark.parametrize("line", ["A", "=b", "A B=c", "A='b", 'A="b', "A='b'c", "1A=b"])
def test_what_cannot_be_read_is_told(line: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(f"OK=1\n{line}\n")
    with pytest.raises(ConfigError, match=r"env, line 2: NAME=value is wanted"):
        missing_variables(str(file), {})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--env-file .*: No such file"):
        missing_variables(str(tmp_path / "none"), {})
