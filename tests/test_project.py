"""[tool.loophound] in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from loophound.detector.allowances import Allowance
from loophound.errors import ConfigError
from loophound.project import allowances, find_pyproject


def pyproject(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_nearest_file_above_is_the_projects(tmp_path: Path) -> None:
    inner = tmp_path / "src" / "app"
    inner.mkdir(parents=True)
    file = pyproject(tmp_path, "")
    assert find_pyproject(inner) == file
    assert allowances(file) == []


def test_allowances(tmp_path: Path) -> None:
    text = '[tool.loophound]\nallow = [{ code = "app.rules:load", reason = "read once" }]\nserver = { port = 1 }'
    assert allowances(pyproject(tmp_path, text)) == [Allowance("app.rules:load", "read once")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allows = []", "no key 'allows': did you mean 'allow'"),
        ("zebra = 1", "no key 'zebra': known are allow, server"),
        ("allow = 3", "allow is a list of tables"),
        ("allow = ['app']", "entry 1 is a table such as"),
        ("allow = [{ code = 'app' }]", "entry 1 needs a reason"),
        ("allow = [{ code = 'app', reason = ' ' }]", "entry 1 needs a reason"),
        ("allow = [{ code = 'app', reason = 'x' }, { reason = 'x' }]", "entry 2 needs a code"),
        ("allow = [{ code = 'app', raeson = 'x' }]", "entry 1 has no key 'raeson': did you mean 'reason'"),
        ("allow = [{ code = 'app/rules.py', reason = 'x' }]", "module:function"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    file = pyproject(tmp_path, f"[tool.loophound]\n{text}")
    with pytest.raises(ConfigError, match=message) as raised:
        allowances(file)
    assert str(raised.value).startswith(str(file))


def test_a_file_that_does_not_name_us_is_nobodys_business(tmp_path: Path) -> None:
    assert allowances(pyproject(tmp_path, "[tool.another\n")) == []


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    file = pyproject(tmp_path, "[tool.loophound\n")
    with pytest.raises(ConfigError, match=str(file)):
        allowances(file)
