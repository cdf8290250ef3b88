"""Options from files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.settings import server_options


def pyproject(folder: Path, lines: str, head: str = "[tool.loophound.server]") -> Path:
    file = folder / "pyproject.toml"
    file.write_text(f"[project]\nname = 'x'\n{head}\n{lines}\n")
    return file


def test_the_nearest_pyproject(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    pyproject(tmp_path, "port = 8080\naccess-log = false\ntimeout_graceful_shutdown = 'none'\nheader = ['A: b']")
    found = server_options(None, inner)
    assert found == {"port": 8080, "access_log": False, "timeout_graceful_shutdown": None, "headers": ("A: b",)}
    Config(app="a:a", **found)
    pyproject(inner, "port = 1", head="[tool.other]")
    assert server_options(None, inner) == {}


def test_a_file_of_its_own(tmp_path: Path) -> None:
    pyproject(tmp_path, "port = 8080")
    file = tmp_path / "production.toml"
    file.write_text("ssl-version = 17\nssl_cert_reqs = 'required'\ndetect_blocking = 50\n")
    found: dict[str, Any] = {"ssl_version": "1.2", "ssl_cert_reqs": "required", "detect_blocking": 50}
    assert server_options(str(file), tmp_path) == found
    assert server_options(str(tmp_path / "pyproject.toml"), Path("/")) == {"port": 8080}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("prot = 1", "has no key 'prot': did you mean 'port'?"),
        ("acces-log = true", "has no key 'acces-log': did you mean 'access_log'?"),
        ("zzz = 1", "has no key 'zzz': docs/options.md lists them"),
        ("port = '80'", "port takes a whole number from 0 to 65535, such as 8000; got '80'"),
        ("port = true", "port takes a whole number"),
        ("loop = 'trio'", "loop takes one of auto, asyncio, uvloop"),
        ("header = 'A: b'", "header takes NAME:VALUE, repeatable; got 'A: b'"),
        ("header = [1]", "header takes NAME:VALUE"),
        ("access_log = false\naccess-log = true", "sets 'access_log' twice"),
    ],
)
def test_mistakes_name_the_file_and_the_key(lines: str, why: str, tmp_path: Path) -> None:
    file = pyproject(tmp_path, lines)
    with pytest.raises(ConfigError, match=re.escape(f"{file}: [tool.loophound.server] {why}")):
        server_options(None, tmp_path)
    own = tmp_path / "own.toml"
    own.write_text(lines)
    with pytest.raises(ConfigError, match=re.escape(f"{own}: {why}")):
        server_options(str(own), tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config .*none: No such file"):
        server_options(str(tmp_path / "none"), tmp_path)
    (tmp_path / "bad.toml").write_text("port = ")
    with pytest.raises(ConfigError, match=r"--config .*bad\.toml: Invalid value"):
        server_options(str(tmp_path / "bad.toml"), tmp_path)
    pyproject(tmp_path, "server = 1", head="[tool.loophound]")
    with pytest.raises(ConfigError, match=re.escape("[tool.loophound.server] is a table")):
        server_options(None, tmp_path)
