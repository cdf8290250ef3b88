"""`@offload`: a synchronous function that leaves the event loop alone when it is awaited."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Literal, ParamSpec, TypeVar, overload

from loophound.marks import marked
from loophound.offloading.call import Call, name_of
from loophound.offloading.pools import pools
from loophound.offloading.wake import in_event_loop

MOST_NOTED = 10_000
P = ParamSpec("P")
T = TypeVar("T")
BuiltIn = Literal["thread", "process", "interpreter"]


@overload
def offload(function: Callable[P, T], /, *, executor: BuiltIn | str | Executor = ...) -> Callable[P, Awaitable[T]]: ...
@overload
def offload(*, executor: BuiltIn | str | Executor = ...) -> Callable[[Callable[P, T]], Callable[P, Awaitable[T]]]: ...
def offload(function: Callable[..., Any] | None = None, /, *, executor: str | Executor = "thread") -> Any:
    """Mark a synchronous function: called where an event loop runs, it returns an awaitable that runs it on
    the executor; called anywhere else it just runs.

    `executor` is "thread" (default), "process", "interpreter" (Python 3.13 or later), a name given to
    register_executor(), or any PEP 3148 executor. Limits are those of the OffloadMiddleware around the
    application, else the defaults of Pools. To the type checker the result is always awaitable; synchronous
    code that is checked calls `function.__wrapped__`.

    The awaitable raises what the function raises, OffloadQueueFullError, OffloadTimeoutError (TimeoutError),
    OffloadPicklingError, or OffloadError when the call is lost. Raises TypeError here for what cannot be
    offloaded: a coroutine function, a generator function, or what is not callable.
    """
    if not isinstance(executor, str) and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "executor is 'thread', 'process', 'interpreter', a registered name or a PEP 3148 executor, "
            f"not {executor!r}"
        )
    if function is None:
        return functools.partial(_mark, executor)
    return _mark(executor, function)


def executor_of(function: Callable[..., Any]) -> str | Executor | None:
    """What a marked function, or a method of that name, runs on; None for one that is not marked."""
    found: str | Executor | None = getattr(function, "__loophound_offload__", None)
    return found


def _mark(executor: str | Executor, function: Any) -> Any:
    if isinstance(function, staticmethod):
        return staticmethod(_mark(executor, function.__func__))
    if isinstance(function, classmethod):
        return classmethod(_mark(executor, function.__func__))
    _check(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if in_event_loop():
            return pools().run(executor, Call(function, args, kwargs, None))
        return function(*args, **kwargs)

    wrapper.__loophound_offload__ = executor  # type: ignore[attr-defined]
    _note(function, executor)
    return wrapper


def _note(function: Any, executor: str | Executor) -> None:
    """So that a report can say of a stall in it that it was called around the mark."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None and len(marked) < MOST_NOTED:  # offload(f)(x) in a loop over lambdas notes each once
        marked[code.co_filename, code.co_qualname] = executor if isinstance(executor, str) else type(executor).__name__


def _check(function: Any) -> None:
    if isinstance(function, str):
        raise TypeError(f"offload() marks a function; to name an executor write offload(executor={function!r})")
    if not callable(function):
        raise TypeError(
            f"offload() marks a function, got {type(function).__name__} {function!r}; "
            "write offload(f)(x), not offload(f(x))"
        )
    called = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    inner = function.func if isinstance(function, functools.partial) else called
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(
            f"{name_of(function)} is asynchronous: offload() marks synchronous functions. Mark the one that it calls, "
            "or give its route to OffloadMiddleware(rules=...)"
        )
    if inspect.isgeneratorfunction(inner):
        raise TypeError(f"{name_of(function)} is a generator function: its body would run on the loop all the same")
