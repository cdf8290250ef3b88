"""Which files count for --reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.supervisor.changes import FileFilter, directories_of

HERE = Path("/srv/shop")


@pytest.mark.parametrize(
    ("path", "includes", "excludes", "taken"),
    [
        ("main.py", (), (), True),
        ("pages/main.py", (), (), True),
        ("page.html", (), (), False),
        ("page.html", ("*.html",), (), True),
        ("pages/page.html", ("pages/*",), (), True),
        ("other/page.html", ("pages/*",), (), False),
        (".main.py", (), (), False),
        (".venv/lib/a.py", (), (), False),
        ("lib/site-packages/a.py", (), (), False),
        (".env", (".env",), (), True),
        ("main.pyc", (), (), False),
        ("main.py~", (), (), False),
        ("tests/test_a.py", (), ("tests/*",), False),
        ("tests/test_a.py", (), ("test_*.py",), False),
        ("tests/test_a.py", ("test_a.py",), ("test_*",), False),
    ],
)
def test_a_path(path: str, includes: tuple[str, ...], excludes: tuple[str, ...], taken: bool) -> None:
    assert FileFilter([HERE], includes, excludes).takes(HERE / path) is taken


def test_a_directory_excludes_what_is_below(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    files = FileFilter([tmp_path], (), (str(tmp_path / "made"),))
    assert not files.takes(tmp_path / "made" / "deep" / "a.py")
    assert files.takes(tmp_path / "a.py")


def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a/b", "c"):
        (tmp_path / name).mkdir()
    assert directories_of(Config(app="a:a", reload=True)) == [tmp_path]
    assert directories_of(Config(app="a:a", reload=True, app_dir="c")) == [tmp_path / "c"]
    chosen = Config(app="a:a", reload=True, reload_dirs=("a", "a/b", "c"))
    assert directories_of(chosen) == [tmp_path / "a", tmp_path / "c"]
    with pytest.raises(ConfigError, match="--reload-dir nowhere: there is no such directory"):
        directories_of(Config(app="a:a", reload=True, reload_dirs=("nowhere",)))
