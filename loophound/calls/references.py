"""Who else holds a function: modules that took it by name, classes, defaults, closures, tables.

`from time import sleep` binds the function itself, so that a change of the module `time` does not
reach it. What modules hold is followed from object to object, as the garbage collector follows it, in small steps:
in a process of 90,000 objects it takes 0.1 s (Python 3.11), in which other threads run. To ask the collector
who refers to a function (gc.get_referrers) would be half as long, but would hold the GIL throughout, and so the loop,
from whichever thread; nor does it see objects that were frozen (gc.freeze).
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, Generic, Protocol

from loophound.calls.patching_types import CAN_CHANGE, changed

# They import modules and open files for the interpreter itself, or want the functions as they were.
LEFT_ALONE = ("posix", "nt", "_io", "_thread", "_queue", "_frozen_importlib", "_imp", "zipimport", "gc")
LEFT_ALONE_BELOW = ("importlib.", "loophound.", "coverage.", "_pydev", "pydev", "debugpy.", "blockbuster.")
STEP = 200  # objects that are asked at once: some 0.1 ms
MOST_PARTS = 10_000  # what has more is data, and no table of functions
BOUND_IN_C = (BuiltinMethodType, *BuiltinMethodType.__subclasses__())  # "builtin_method", which knows its class
BOUND = (*BOUND_IN_C, MethodType)
ASKED = (
    object, dict, list, tuple, set, frozenset, deque, CellType, FunctionType, MethodType, partial, staticmethod,
    classmethod, property, Generic, Protocol,
)  # fmt: skip
SIZED = (dict, list, tuple, set, frozenset, deque)


def exchange(
    pairs: Sequence[tuple[Any, Any]], roots: Iterable[Any] = (), rebind: Callable[[Any], Any] | None = None
) -> None:
    """Put the second of each pair in the place of the first, wherever modules or `roots` lead to it.

    `rebind` is given each bound method, and says what to put in its place; None to leave it. Left alone are sets, and
    what lives in C or in the variables of running functions alone. For any thread.
    """
    if not pairs:
        return
    news = {id(old): new for old, new in pairs}
    askable: dict[type, bool] = dict.fromkeys(ASKED, True)
    rebound: list[Any] = []  # kept, so that no other object gets their ids meanwhile
    ids = news.keys()
    seen = {id(pairs), *map(id, pairs), *_not_to_be_seen(pairs)}
    of_classes: set[int] = set()
    waiting: list[Any] = [namespace for namespace in _namespaces() if id(namespace) not in seen]
    waiting += roots
    seen.update(map(id, waiting))
    while waiting:
        step, waiting[-STEP:] = waiting[-STEP:], []
        parts = gc.get_referents(*step)
        found = {id(part): part for part in filter(gc.is_tracked, parts)}
        fresh = [found[new] for new in found.keys() - seen]
        seen.update(found)
        if rebind is not None:
            methods = [part for part in fresh if type(part) in BOUND]
            rebound += methods
            news.update((id(method), new) for method in methods if (new := rebind(method)) is not None)
        if not ids.isdisjoint(map(id, parts)):
            for holder in step:
                if not ids.isdisjoint(map(id, gc.get_referents(holder))):
                    _try_to_replace(holder, news)
                    if type(holder) is dict and "__module__" in holder:
                        of_classes.add(id(holder))
        waiting += [part for part in fresh if _may_be_asked(type(part), askable) and not _is_large(part)]
    if of_classes:
        _tell_classes(of_classes)


def exchange_in(package: str, pairs: Sequence[tuple[Any, Any]]) -> None:
    """The same among the names of one package's modules, which takes no time: it has just been imported."""
    news = {id(old): new for old, new in pairs}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == package and issubclass(type(module), ModuleType):
            _replace_values(object.__getattribute__(module, "__dict__"), news)


def _namespaces() -> Iterator[dict[str, Any]]:
    for module in list(sys.modules.values()):
        if issubclass(type(module), ModuleType):
            # Past what a module may do of its own when asked, such as to load itself at last.
            yield object.__getattribute__(module, "__dict__")


def _not_to_be_seen(pairs: Sequence[tuple[Any, Any]]) -> Iterator[int]:
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType) and (name in LEFT_ALONE or f"{name}.".startswith(LEFT_ALONE_BELOW)):
            yield id(object.__getattribute__(module, "__dict__"))
    for pair in pairs:
        for stand in pair:
            for function in (stand, getattr(stand, "_call", None)):
                yield from map(id, getattr(function, "__closure__", None) or ())


def _may_be_asked(kind: type, known: dict[type, bool]) -> bool:
    """Whether objects of this type are asked what they refer to: the interpreter's own, and those of Python's classes.

    Never modules: on Python 3.12.1 _asyncio tells of objects that it has freed, and who takes hold of one frees
    it twice. Types of C may have such faults too.
    """
    found = known.get(kind)
    if found is None:
        found = issubclass(kind, type) or (
            not issubclass(kind, ModuleType) and all(base in ASKED or _is_of_python(base) for base in kind.__mro__)
        )
        known[kind] = found
    return found


def _is_of_python(kind: type) -> bool:
    module = sys.modules.get(str(vars(kind).get("__module__")))
    if module is None or not issubclass(type(module), ModuleType):
        return False
    names = object.__getattribute__(module, "__dict__")
    return names.get("__name__") == "__main__" or str(names.get("__file__")).endswith(".py")


def _is_large(part: Any) -> bool:
    # Neither isinstance() nor len(): proxies and classes of the application answer these themselves.
    kind = type(part)
    base: Any = kind if kind in SIZED else next((base for base in SIZED if issubclass(kind, base)), None)
    return base is not None and bool(base.__len__(part) > MOST_PARTS)


def _try_to_replace(holder: Any, news: Mapping[int, Any]) -> None:
    try:
        _replace(holder, news)
    except Exception:  # another thread has changed it meanwhile: what it put there is no name bound early
        return


def _replace(holder: Any, news: Mapping[int, Any]) -> None:
    kind = type(holder)
    if kind is list or kind is deque:
        for index, value in enumerate(list(holder)):
            new = news.get(id(value))
            # No other thread comes between these two lines: there is neither a jump back nor a call in them.
            if new is not None and holder[index] is value:
                holder[index] = new
    elif issubclass(kind, dict):
        _replace_values(holder, news)
    elif issubclass(kind, tuple):
        _replace_in_place(holder, news)
    elif kind is CellType:
        if id(holder.cell_contents) in news:
            holder.cell_contents = news[id(holder.cell_contents)]
    elif kind is staticmethod or kind is classmethod:
        if id(holder.__func__) in news:
            holder.__init__(news[id(holder.__func__)])
    elif kind is partial:
        called, arguments, keywords, rest = holder.__reduce__()[2]
        if id(called) in news:
            holder.__setstate__((news[id(called)], arguments, keywords, rest))
    elif not issubclass(kind, (type, ModuleType, FunctionType, MethodType)) and not kind.__module__.startswith(
        "loophound."
    ):
        _replace_attributes(holder, news)


def _replace_values(namespace: dict[Any, Any], news: Mapping[int, Any]) -> None:
    if "__loophound_point__" in namespace:  # the stand-in's own
        return
    plain = type(namespace) is dict
    for key, value in list(dict.items(namespace)):
        if id(value) in news:
            new = news[id(value)]
            if not plain:
                dict.__setitem__(namespace, key, new)
            elif namespace[key] is value:  # still, for other threads run too
                namespace[key] = new


def _replace_in_place(holder: tuple[Any, ...], news: Mapping[int, Any]) -> None:
    """Defaults of a function, arguments of a partial, tables in a tuple: in memory, for a tuple takes no assignment.

    Nobody can tell: a stand-in and its original are equal and have one hash, which bound methods have not. One
    pointer is written at a time, with the GIL held (object layout: cpython/tupleobject.h).
    """
    if not CAN_CHANGE:
        return
    items = (ctypes.c_void_p * tuple.__len__(holder)).from_address(id(holder) + tuple.__basicsize__)
    for index, value in enumerate(tuple.__iter__(holder)):
        new = news.get(id(value))
        if new is not None and type(new) is not MethodType and type(value) is not MethodType:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(new))
            items[index] = id(new)
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(value))


def _replace_attributes(holder: Any, news: Mapping[int, Any]) -> None:
    """Of an object: in its dictionary, or in its slots."""
    try:
        namespace = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        namespace = None
    if type(namespace) is dict:
        _replace_values(namespace, news)
    for base in type(holder).__mro__:
        for slot in list(vars(base).values()):
            if type(slot) is MemberDescriptorType:
                _replace_slot(slot, holder, news)


def _replace_slot(slot: MemberDescriptorType, holder: Any, news: Mapping[int, Any]) -> None:
    try:
        new = news.get(id(slot.__get__(holder)))
        if new is not None:
            slot.__set__(holder, new)
    except (AttributeError, TypeError):  # empty, or read-only
        return


def _tell_classes(namespaces: set[int]) -> None:
    """The interpreter remembers what it found in a class."""
    waiting: list[Any] = [object]
    seen = {object}
    while waiting:
        for kind in type.__subclasses__(waiting.pop()):
            if kind not in seen:
                seen.add(kind)
                waiting.append(kind)
                if any(id(part) in namespaces for part in gc.get_referents(kind)):
                    changed(kind)
