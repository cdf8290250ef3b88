from __future__ import annotations

from pathlib import Path

import pytest

from loophound.errors import ConfigError
from loophound.ledger.place import chosen_path, default_path, project_of


def test_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    project = tmp_path / "shop"
    project.mkdir()
    default = default_path(project, {})
    assert default.parent == Path("/home/ada/.local/state/loophound")
    assert default.name.startswith("shop-")
    assert default_path(project, {"XDG_STATE_HOME": "/state"}) == Path("/state/loophound", default.name)
    assert default_path(project, {"XDG_STATE_HOME": "relative"}) == default, "the specification: to be ignored"


def test_one_ledger_for_a_project_and_another_for_its_neighbour(tmp_path: Path) -> None:
    for name in ("one/shop", "two/shop"):
        (tmp_path / name / "deep" / "down").mkdir(parents=True)
        (tmp_path / name / "pyproject.toml").touch()
    here = default_path(tmp_path / "one/shop", {})
    assert default_path(tmp_path / "one/shop/deep/down", {}) == here
    assert default_path(tmp_path / "two/shop", {}) != here
    assert project_of(tmp_path / "one/shop/deep") == (tmp_path / "one/shop").resolve()


@pytest.mark.parametrize(
    ("name", "problem"),
    [("absent/l.db", "there is no directory"), (".", "is a directory"), ("", "not a file name"), ("a\0", "not a file")],
)
def test_a_place_that_cannot_be(name: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=problem):
        chosen_path(name, tmp_path, {})


def test_a_chosen_place(tmp_path: Path) -> None:
    assert chosen_path("l.db", tmp_path, {}) == tmp_path / "l.db"
    assert chosen_path("/tmp/l.db", tmp_path, {}) == Path("/tmp/l.db")
    assert chosen_path("auto", tmp_path, {}) == default_path(tmp_path, {})


def test_the_root_is_a_project_too() -> None:
    assert default_path(Path("/"), {"XDG_STATE_HOME": "/state"}).name.startswith("root-")
