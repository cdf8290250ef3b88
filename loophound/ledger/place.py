"""Where the ledger of a project lies when no other place is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from loophound.errors import ConfigError

AUTO = "auto"
PROJECT_MARKS = ("pyproject.toml", "setup.py", ".git", ".hg")


def chosen_path(name: str, directory: Path, environ: Mapping[str, str]) -> Path:
    """What `--ledger` names. Raises ConfigError for a file in a directory that is not there."""
    if name == AUTO:
        return default_path(directory, environ)
    path = directory / name
    if "\0" in name or not name:
        raise ConfigError(f"--ledger: {name!r} is not a file name")
    if path.is_dir():
        raise ConfigError(f"--ledger: {name!r} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"--ledger: there is no directory {str(path.parent)!r}; make it, or name another file")
    return path


def default_path(directory: Path, environ: Mapping[str, str]) -> Path:
    """The ledger of the project around `directory`: $XDG_STATE_HOME/loophound/NAME-HASH.db.

    The XDG base directory specification has ~/.local/state where the variable is unset or relative.
    """
    state = environ.get("XDG_STATE_HOME", "")
    home = Path(state) if os.path.isabs(state) else Path(os.path.expanduser("~"), ".local", "state")
    project = project_of(directory)
    digest = blake2b(os.fsencode(project), digest_size=4).hexdigest()
    return home / "loophound" / f"{project.name or 'root'}-{digest}.db"


def project_of(directory: Path) -> Path:
    """The nearest directory, from this one up, that looks like a project's; else this one."""
    directory = directory.resolve()
    marked = (each for each in (directory, *directory.parents) if any((each / mark).exists() for mark in PROJECT_MARKS))
    return next(marked, directory)
