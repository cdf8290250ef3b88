"""Puts stand-ins in the place of the catalogue's calls, and the originals back, leaving no trace.

Everything is patched and nothing is seen by audit hooks: a hook can never be removed (PEP 578), costs every `open`
and `import` of the process for ever, tells no duration, and knows neither time.sleep before Python 3.13 nor a driver.
"""

from __future__ import annotations

import atexit
import importlib
import inspect
import select
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from loophound.calls import references
from loophound.calls.catalogue import IMPORT, ROWS, Row
from loophound.calls.observing import Point, Stand, function, point_of
from loophound.calls.patching_types import CAN_CHANGE, changed, namespace_of

# Types without a name of their own in their module, on some Python at least.
TYPES: dict[str, Callable[[], type]] = {
    "_thread:lock": lambda: type(threading.Lock()),
    "_thread:RLock": lambda: type(threading.RLock()),
    "select:poll_object": lambda: type(select.poll()),
    "zlib:Compress": lambda: type(zlib.compressobj()),
    "zlib:Decompress": lambda: type(zlib.decompressobj()),
}
_NAMES_IN_C = frozenset(name for row in ROWS if row.rebind for name in row.names)
IMPORT_FILE = "<frozen importlib._bootstrap>"  # frames of this name are left out of tracebacks of an ImportError
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Patch:
    """One attribute changed: where, and what its owner itself had there (ABSENT: it was inherited)."""

    owner: Any
    name: str
    had: Any
    has: Any


class Patches:
    """All that is changed in this process, for as long as somebody uses it."""

    def __init__(self, rows: Iterable[Row] = ROWS) -> None:
        self._rows = tuple(rows)
        self._users: list[object] = []
        self._done: list[Patch] = []
        self._waiting: dict[str, list[Row]] = {}  # by the module that is not loaded yet
        self._lock = threading.RLock()

    @property
    def users(self) -> int:
        """How many use it."""
        return len(self._users)

    def use(self, user: object, roots: Iterable[object] = ()) -> None:
        """Patch, if this is the first user. Names bound early are found in what modules and `roots` lead to;
        that takes 0.1 s and more, in which other threads run, the loop's too if this is another one.
        """
        with self._lock:
            if not self._done:
                self._patch(roots)
            if not any(known is user for known in self._users):
                self._users.append(user)

    def leave(self, user: object, roots: Iterable[object] = ()) -> None:
        """Undo everything, if this was the last user. Does nothing for one that does not use it. As long as use()."""
        with self._lock:
            known = [other for other in self._users if other is not user]
            if len(known) < len(self._users):
                self._users = known
                if not known:
                    done = self._put_all_back()
                    pairs = [(patch.has, patch.had) for patch in done if _is_shared(patch)]
                    references.exchange(pairs, roots, _bind_as_before)

    def forget(self, user: object) -> None:
        """The same in a forked child, where nothing is undone: it would take as long as to patch."""
        self._lock = threading.RLock()
        self._users = [other for other in self._users if other is not user]

    def _patch(self, roots: Iterable[object]) -> None:
        # A stand-in must not be called when the interpreter has taken down the modules that it needs. Names bound
        # early are not looked for then: what stands there does without.
        atexit.register(self._put_all_back)
        rows = []
        for row in self._rows:
            if row.module in sys.modules:
                rows.append(row)
            else:
                self._waiting.setdefault(row.module, []).append(row)
        pairs = self._put_in(rows)
        references.exchange(pairs, roots, _bind_anew)

    def _put_in(self, rows: Iterable[Row]) -> list[tuple[Any, Any]]:
        """Returns each function that others may have by its name, and what now stands for it."""
        new = [patch for row in rows for patch in _patches(row, self.loaded)]
        for patch in new:
            _put(patch)
        self._done += new
        return [(patch.had, patch.has) for patch in new if _is_shared(patch)]

    def _put_all_back(self) -> list[Patch]:
        atexit.unregister(self._put_all_back)
        self._users, done, self._done = [], self._done, []
        self._waiting.clear()
        for patch in reversed(done):
            _put_back(patch)
        return done

    def loaded(self) -> None:
        """A module was imported: what waited for it is patched, before the importer has its names."""
        if not any(module in sys.modules for module in self._waiting):
            return
        with self._lock:
            ready = [module for module in self._waiting if module in sys.modules and _is_whole(module)]
            for module in ready:
                shared = self._put_in(self._waiting.pop(module))
                references.exchange_in(module.partition(".")[0], shared)


def _bind_anew(method: Any) -> Any:
    """The stand-in, bound as this method of a type of C was before: `execute = connection.execute`."""
    if type(method) not in references.BOUND_IN_C or method.__name__ not in _NAMES_IN_C:
        return None
    bound_to = method.__self__
    for base in type(bound_to).__mro__:
        found = vars(base).get(method.__name__)
        if found is not None:
            point = point_of(found)
            return MethodType(found, bound_to) if point is not None and point.row.rebind else None
    return None


def _bind_as_before(method: Any) -> Any:
    """The original, bound as this stand-in is."""
    # A method may be bound to any callable; only of a function it is known that to look at it does nothing.
    if type(method) is not MethodType or type(method.__func__) is not FunctionType:
        return None
    point = point_of(method.__func__)
    if point is None or isinstance(method.__self__, type):
        return None
    return getattr(method.__self__, point.name, None)  # its class has the original again


def _is_shared(patch: Patch) -> bool:
    """A function of a module, which others may have taken by its name."""
    return isinstance(patch.owner, ModuleType) and patch.had is not ABSENT and patch.name != "_find_and_load"


def _is_whole(module: str) -> bool:
    spec = getattr(sys.modules[module], "__spec__", None)
    return not getattr(spec, "_initializing", False)


def _patches(row: Row, loaded: Callable[[], None]) -> Iterator[Patch]:
    owner = _owner(row)
    if owner is None:
        return
    for name in row.names:
        had = vars(owner).get(name, ABSENT)
        original = getattr(owner, name, None) if had is ABSENT else had
        if original is None or original is object.__init__ or (had is ABSENT and not _may_inherit(owner)):
            continue
        stand = _stand(row, name, original, loaded)
        if stand is not None:
            yield Patch(owner, name, had, stand)


def _owner(row: Row) -> Any:
    if row.home in TYPES:
        return TYPES[row.home]()
    found: Any = sys.modules[row.module]
    if row.module == "importlib._bootstrap":
        return importlib._bootstrap
    return getattr(found, row.owner, None) if row.owner else found


def _may_inherit(owner: Any) -> bool:
    """Whether a method that a class has of its base may be set on the class alone: in Python's classes."""
    return isinstance(owner, type) and bool(owner.__flags__ & HEAP_TYPE) and not owner.__flags__ & IMMUTABLE


HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def _stand(row: Row, name: str, original: Any, loaded: Callable[[], None]) -> Any:
    if isinstance(original, classmethod):
        return classmethod(function(Point(row, name, original.__func__)))
    if isinstance(original, staticmethod):
        return staticmethod(function(Point(row, name, original.__func__)))
    if point_of(original) is not None or not callable(original) or isinstance(original, type):
        return None
    if inspect.isgeneratorfunction(original) or inspect.iscoroutinefunction(original):
        return None  # to call it does nothing yet
    point = Point(row, name, original)
    if row.group == IMPORT:
        return _importing(point, loaded)
    if row.owner or isinstance(original, FunctionType):
        return function(point)
    return Stand(point)


def _importing(point: Point, loaded: Callable[[], None]) -> Any:
    original = point.original

    def find_and_load(name: str, import_: Any) -> Any:
        try:
            return original(name, import_)
        finally:
            loaded()

    find_and_load.__code__ = _as_import_machinery(find_and_load.__code__)
    stand = function(Point(point.row, point.name, find_and_load))
    stand.__code__ = _as_import_machinery(stand.__code__)
    return stand


def _as_import_machinery(code: CodeType) -> CodeType:
    return code.replace(co_filename=IMPORT_FILE)


def _put(patch: Patch) -> None:
    try:
        setattr(patch.owner, patch.name, patch.has)
    except TypeError:  # a type written in C
        if CAN_CHANGE:
            namespace_of(patch.owner)[patch.name] = patch.has
            changed(patch.owner)


def _put_back(patch: Patch) -> None:
    if vars(patch.owner).get(patch.name) is not patch.has:  # somebody has patched it after us, and keeps ours
        return
    try:
        if patch.had is ABSENT:
            delattr(patch.owner, patch.name)
        else:
            setattr(patch.owner, patch.name, patch.had)
    except TypeError:
        namespace_of(patch.owner)[patch.name] = patch.had
        changed(patch.owner)


patches = Patches()
