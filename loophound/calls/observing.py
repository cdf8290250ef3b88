"""What runs around each call of the catalogue while somebody observes.

Outside of a request, and on any thread but its loop's, a call costs one look at a context variable
and goes on. Within, the outermost call of the catalogue counts and those that it makes do not.
"""

from __future__ import annotations

import os
from asyncio import _get_running_loop
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import update_wrapper
from threading import get_ident
from time import monotonic_ns
from typing import Any, Protocol, TypeAlias

from loophound.calls.catalogue import Row
from loophound.server.hooks import current_scope


class Observer(Protocol):
    """One who wants to know: a middleware, or a server's detection."""

    minimum_ns: int
    raises: bool
    everywhere: bool  # on the loops that it serves: outside of requests too

    def flag(self, sighting: Sighting, exchange: Exchange) -> None:
        """A call took so long, or is about to happen: see Sighting. On the loop's thread; may raise
        BlockingCallError where the call is about to happen, and nothing else.
        """


class Tally:
    """What was flagged in one request, for those who tell it there."""

    __slots__ = ("blocked_ns", "calls")

    def __init__(self) -> None:
        self.blocked_ns = self.calls = 0


# One request as seen by one observer: (observer, the loop's thread, scope, the same request as another one sees it,
# tally). A tuple and no class: it is made for each request, and an object of a class took a fifth of what the
# middleware costs.
Exchange: TypeAlias = "tuple[Observer, int, Any, Exchange | None, Tally | None]"


def is_eager(exchange: Exchange) -> bool:
    """Whether calls are judged before they happen: where they may be refused, and where quick ones count."""
    observer, _, _, outer, _ = exchange
    return observer.raises or not observer.minimum_ns or (outer is not None and is_eager(outer))


def least_ns(exchange: Exchange) -> int:
    """The least that any of the observers wants to know of."""
    observer, _, _, outer, _ = exchange
    return observer.minimum_ns if outer is None else min(observer.minimum_ns, least_ns(outer))


class Point:
    """A call of the catalogue, where it was found."""

    __slots__ = ("call", "name", "original", "row")

    def __init__(self, row: Row, name: str, original: Callable[..., Any]) -> None:
        self.row, self.name, self.original = row, name, original
        self.call = row.call(name)


class Sighting:
    """A call seen: with its duration, or before it happens."""

    __slots__ = ("args", "began_ns", "kwargs", "point", "took_ns")

    def __init__(
        self, point: Point, args: Sequence[Any], kwargs: Mapping[str, Any], began_ns: int, took_ns: int | None
    ) -> None:
        self.point, self.args, self.kwargs = point, args, kwargs
        self.began_ns, self.took_ns = began_ns, took_ns


current: ContextVar[Exchange | None] = ContextVar("loophound_exchange", default=None)
# Loops whose server marks its requests itself (server/hooks.py), by the thread that runs them.
served: dict[int, Observer] = {}
# Threads that are in a call of the catalogue, or in our own code for one.
busy: set[int] = set()


def of_server() -> Exchange | None:
    """The request that the server of this thread's loop has marked; None where there is none."""
    ident = get_ident()
    observer = served.get(ident)
    if observer is None:
        return None
    scope = current_scope.get(None)
    return None if scope is None and not observer.everywhere else (observer, ident, scope, None, None)


def function(point: Point) -> Callable[..., Any]:
    """What stands for the original: a function, as methods and Python's functions are."""
    original, get, ident = point.original, current.get, get_ident

    def call(*args: Any, **kwargs: Any) -> Any:
        exchange = get()
        if exchange is None:
            if not served or (exchange := of_server()) is None:
                return original(*args, **kwargs)
        elif exchange[1] != ident():
            return original(*args, **kwargs)
        return observed(point, exchange, args, kwargs)

    update_wrapper(call, original)
    call.__loophound_point__ = point  # type: ignore[attr-defined]
    return call


class Stand:
    """What stands for a function of C, which is no descriptor: in a class it must not become a method.

    It is pickled and copied as what it stands for, by its name, and equal to it: os.supports_fd has functions in it.
    """

    def __init__(self, point: Point) -> None:
        self.__loophound_point__ = point
        update_wrapper(self, point.original)
        self.__module__ = point.row.module  # where pickle finds it: not every home of the original is changed
        self._call = function(point)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.__loophound_point__.original

    def __hash__(self) -> int:
        return hash(self.__loophound_point__.original)

    def __reduce__(self) -> str:
        return self.__loophound_point__.name

    def __repr__(self) -> str:
        return repr(self.__loophound_point__.original)


def point_of(value: Any) -> Point | None:
    """The point that a stand-in stands at; None for anything else."""
    if type(value) is Stand:
        return value.__loophound_point__
    found = getattr(value, "__dict__", None)
    point = found.get("__loophound_point__") if type(found) is dict else None
    return point if type(point) is Point else None


def observed(point: Point, exchange: Exchange, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A call within a request, on its loop's thread."""
    thread, row, original = exchange[1], point.row, point.original
    if thread in busy or getattr(_get_running_loop(), "may_block", False):  # a side loop is there to be blocked
        return original(*args, **kwargs)
    if row.tries and original(args[0], False):  # a lock that is free makes nobody wait
        return True
    eager = is_eager(exchange)
    if eager:
        busy.add(thread)
        try:
            blocks = row.when.holds(args, kwargs, before=True)
            if blocks:
                _flag(exchange, Sighting(point, args, kwargs, monotonic_ns(), None))
        finally:
            busy.discard(thread)
        if not blocks:  # what it calls is judged by itself
            return original(*args, **kwargs)
    busy.add(thread)
    began_ns = monotonic_ns()
    try:
        return original(*args, **kwargs)
    finally:
        took_ns = monotonic_ns() - began_ns
        try:
            if took_ns >= least_ns(exchange) and (eager or row.when.holds(args, kwargs, before=False)):
                _flag(exchange, Sighting(point, args, kwargs, began_ns, took_ns))
        finally:
            busy.discard(thread)


def _flag(exchange: Exchange, sighting: Sighting) -> None:
    """Tell each observer for whom it counts."""
    link: Exchange | None = exchange
    while link is not None:
        observer, outer = link[0], link[3]
        if observer.raises if sighting.took_ns is None else sighting.took_ns >= observer.minimum_ns:
            observer.flag(sighting, link)
        link = outer


def _forget_in_child() -> None:
    """A forked child is another process: what it calls is no request's."""
    current.set(None)
    busy.clear()
    served.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
