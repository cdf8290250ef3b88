"""`--reload`: which files count, and hearing of their changes (watchfiles, on a thread of its own)."""

from __future__ import annotations

import fnmatch
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loophound.config import Config
from loophound.errors import ConfigError

if TYPE_CHECKING:
    from watchfiles import Change

logger = logging.getLogger("loophound.supervisor")

INCLUDED = ("*.py",)
EXCLUDED = (".*", "*.py[cod]", "*.sw?", "*~")  # of hidden files, compiled ones and those of editors
# Directories that hold no code of the project's own, or have far too many files.
PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages"})


class FileFilter:
    """Whether a path counts. A pattern means the name of a file, or its path below the directory watched.

    An excluded directory stands for all that is below it. What is named by a pattern of the
    user's own is taken even where the rules for all would leave it out.
    """

    def __init__(self, directories: Sequence[Path], includes: Iterable[str], excludes: Iterable[str]) -> None:
        self._directories = directories
        self._own_includes = tuple(includes)
        excludes = tuple(excludes)
        self._barred = tuple(path for path in (Path(text).resolve() for text in excludes) if path.is_dir())
        self._own_excludes = excludes

    def __call__(self, change: Change, text: str) -> bool:
        return self.takes(Path(text))

    def takes(self, path: Path) -> bool:
        below = self._below(path)
        if any(path.is_relative_to(barred) for barred in self._barred) or _matches(below, self._own_excludes):
            return False
        if _matches(below, self._own_includes):
            return True
        hidden = any(part.startswith(".") or part in PASSED_OVER for part in below.parts[:-1])
        return not hidden and _matches(below, INCLUDED) and not _matches(below, EXCLUDED)

    def _below(self, path: Path) -> Path:
        for directory in self._directories:
            if path.is_relative_to(directory):
                return path.relative_to(directory)
        return path


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(
        fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(str(path), pattern.removeprefix("./"))
        for pattern in patterns
    )


def directories_of(config: Config) -> list[Path]:
    """What is watched. Raises ConfigError for what is no directory."""
    chosen = config.reload_dirs or (config.app_dir or ".",)
    found = []
    for text in chosen:
        path = Path(text).resolve()
        if not path.is_dir():
            raise ConfigError(f"--reload-dir {text}: there is no such directory")
        found.append(path)
    # One inside another would be told twice.
    return [path for path in found if not any(path != other and path.is_relative_to(other) for other in found)]


class Changes:
    """Calls `changed` on a thread of its own, with the files, after each burst of changes."""

    def __init__(self, config: Config, changed: Callable[[list[Path]], None]) -> None:
        try:
            import watchfiles
        except ImportError:
            raise ConfigError("--reload wants the package watchfiles: pip install 'loophound[reload]'") from None
        self._watch = watchfiles.watch
        self._directories = directories_of(config)
        self._filter = FileFilter(self._directories, config.reload_includes, config.reload_excludes)
        # watchfiles looks every `step`, and tells after one in which nothing was added.
        self._step_ms = max(1, round(config.reload_delay * 1000 / 2))
        self._changed = changed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loophound-reload", daemon=True)

    def start(self) -> None:
        self._thread.start()
        logger.info("Watching for changes in %s", ", ".join(shown(path) for path in self._directories))

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        try:
            for changes in self._watch(
                *self._directories,
                watch_filter=self._filter,
                step=self._step_ms,
                stop_event=self._stopping,
                raise_interrupt=False,
            ):
                self._changed(sorted({Path(text) for _, text in changes}))
        except Exception as error:  # the directory is gone, or the kernel watches no more (inotify(7), limits)
            logger.error("Changes are not seen any more: %s", error)


def shown(path: Path) -> str:
    """A path as the user would write it: from the working directory where it is below."""
    here = os.getcwd()
    return f"{path.relative_to(here)}" if path.is_relative_to(here) and path != Path(here) else f"{path}"
