"""Tells when the program has imported a module, so that what is patched in it need not be imported for that."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader

logger = logging.getLogger("loophound.detector")

Told = Callable[[ModuleType], None]


class ImportWatch:
    """A finder that finds what the others find, and is told when that has been executed.

    See "The import system" in Python's reference, section 5.3.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, Told] = {}

    def install(self) -> None:
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        self._wanted = {}  # a search that is on puts back into the one before
        # Not in place: a thread that is importing would pass over the finder behind it.
        sys.meta_path = [finder for finder in sys.meta_path if finder is not self]

    def when_imported(self, name: str, tell: Told) -> None:
        """Call `tell` with the module: now, or on the thread that imports it."""
        self._wanted[name] = tell
        module = sys.modules.get(name)
        if module is not None:
            self._done(name, module)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        wanted = self._wanted
        tell = wanted.pop(fullname, None)
        if tell is None:
            return None
        try:
            spec = self._found_by_others(fullname, path, target)
        finally:
            wanted[fullname] = tell  # not before: one of the others may search anew, from the first finder on
        if spec is not None and spec.loader is not None:
            self._hear_from(spec.loader, fullname)
        return spec

    def _found_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                return spec
        return None

    def _hear_from(self, loader: Loader, name: str) -> None:
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):  # a class is the loader of others too
            return

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == name:  # one importer of an archive loads all that is in it
                with suppress(AttributeError):  # by whoever asked for it before
                    del loader.exec_module
                self._done(name, module)

        try:
            # The loader stays what it is: the program may ask it for the source, or for files beside the module.
            setattr(loader, "exec_module", exec_module)  # noqa: B010
        except (AttributeError, TypeError):
            return  # what is in it is not watched

    def _done(self, name: str, module: ModuleType) -> None:
        tell = self._wanted.pop(name, None)
        if tell is None:
            return
        try:
            tell(module)
        except Exception as error:  # in the midst of the program's import
            logger.warning("Loophound cannot watch what %s runs: %r", name, error)
