"""Who else holds a function: modules that took it by name, defaults, closures, tables.

`from time import sleep` binds the function itself, so that a change of the module `time` does not
reach it. The garbage collector knows who refers to an object; to ask it takes some 40 ms in a process of
60,000 objects (Python 3.11), once or twice at the start and at the end of the observation.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any

from loophound.calls.patching_types import changed

# They import modules and open files for the interpreter itself, or want the functions as they were.
LEFT_ALONE = ("posix", "nt", "_io", "_thread", "_queue", "_frozen_importlib", "_imp", "zipimport", "gc")
LEFT_ALONE_BELOW = ("importlib.", "loophound.", "coverage.", "_pydev", "pydev", "debugpy.", "blockbuster.")


def exchange(pairs: Sequence[tuple[Any, Any]]) -> None:
    """Put the second of each pair in the place of the first, wherever that is referred to.

    Left alone are sets, tuples that are no defaults, and what lives in C alone.
    """
    if not pairs:
        return
    olds = [old for old, _ in pairs]
    news = {id(old): new for old, new in pairs}
    own_cells = {id(cell) for pair in pairs for stand in pair for cell in _cells(stand)}
    alone = _namespaces_left_alone()
    shared: list[Any] = []  # dictionaries of classes and tuples of defaults: known by who holds them
    for holder in gc.get_referrers(*olds):
        if holder is olds or id(holder) in alone or id(holder) in own_cells:
            continue
        if type(holder) is tuple or (type(holder) is dict and "__name__" not in holder):
            shared.append(holder)
        _replace(holder, news)
    if shared:
        _tell_owners(shared, news)


def _cells(stand: Any) -> Iterator[CellType]:
    for function in (stand, getattr(stand, "_call", None)):
        yield from getattr(function, "__closure__", None) or ()


def _namespaces_left_alone() -> set[int]:
    return {
        id(vars(module))
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and (name in LEFT_ALONE or f"{name}.".startswith(LEFT_ALONE_BELOW))
    }


def _replace(holder: Any, news: Mapping[int, Any]) -> None:
    kind = type(holder)
    if kind is dict:
        _replace_values(holder, news)
    elif kind is list:
        for index, value in enumerate(holder):
            if id(value) in news:
                holder[index] = news[id(value)]
    elif kind is CellType:
        if id(holder.cell_contents) in news:
            holder.cell_contents = news[id(holder.cell_contents)]
    elif kind is partial:
        called, arguments, keywords, rest = holder.__reduce__()[2]
        if id(called) in news:
            holder.__setstate__((news[id(called)], arguments, keywords, rest))
    elif _keeps_attributes(holder):
        _replace_values(vars(holder), news)


def _replace_values(namespace: dict[Any, Any], news: Mapping[int, Any]) -> None:
    if "__loophound_point__" not in namespace:  # the stand-in's own
        namespace.update({key: news[id(value)] for key, value in list(namespace.items()) if id(value) in news})


def _tell_owners(shared: list[Any], news: Mapping[int, Any]) -> None:
    tuples = {id(part) for part in shared if type(part) is tuple}
    for owner in gc.get_referrers(*shared):
        if isinstance(owner, type):
            changed(owner)
        elif isinstance(owner, FunctionType) and id(owner.__defaults__) in tuples:
            owner.__defaults__ = tuple(news.get(id(value), value) for value in owner.__defaults__ or ())


def _keeps_attributes(holder: Any) -> bool:
    """An object whose attributes have not been spread into a dictionary yet."""
    return (
        not isinstance(holder, (type, ModuleType, FunctionType))
        and type(getattr(holder, "__dict__", None)) is dict
        and not type(holder).__module__.startswith("loophound.")
    )
