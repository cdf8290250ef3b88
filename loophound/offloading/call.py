"""One call as data: it runs as it is, and travels to another process by the function's name."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from importlib import import_module
from types import FunctionType
from typing import Any

from loophound.offloading.errors import OffloadPicklingError


def name_of(function: Callable[..., Any]) -> str:
    """The dotted name for messages: "shop.reports.render"."""
    if isinstance(function, Reference):
        return f"{function.module}.{function.qualname}"
    qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or '?'}.{qualname}"


class Call:
    """`function(*args, **kwargs)`. Called where it was made, it runs in `context`; unpickled
    elsewhere it has none, for a context cannot be pickled.
    """

    __slots__ = ("args", "context", "function", "kwargs")

    def __init__(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], context: Context | None
    ) -> None:
        self.function, self.args, self.kwargs, self.context = function, args, kwargs, context

    def __call__(self) -> Any:
        if self.context is None:
            return self.function(*self.args, **self.kwargs)
        return self.context.run(self.function, *self.args, **self.kwargs)

    def __reduce__(self) -> tuple[Callable[[bytes], Call], tuple[bytes]]:
        return load, (self.dump(),)

    def dump(self) -> bytes:
        """Raises OffloadPicklingError, which names the function or the argument that cannot travel."""
        function = reference(self.function)
        try:
            return pickle.dumps((function, self.args, self.kwargs), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # __reduce__ of the user's classes may raise anything
            raise OffloadPicklingError(self._explain(function, error)) from error

    def _explain(self, function: Any, error: Exception) -> str:
        name = name_of(self.function)
        if not _pickles(function):
            return f"{name} cannot be pickled: {error}"
        try:
            arguments: Mapping[str, Any] = inspect.signature(self.function).bind(*self.args, **self.kwargs).arguments
        except (TypeError, ValueError):  # a builtin without a signature, or a wrong call
            arguments = {f"number {index + 1}": value for index, value in enumerate(self.args)} | dict(self.kwargs)
        bad = [f"{key} ({type(value).__qualname__})" for key, value in arguments.items() if not _pickles(value)]
        return f"{name}: argument {', '.join(bad) or '?'} cannot be pickled: {error}"


def load(data: bytes) -> Call:
    """Read back what dump() wrote, in the process that runs it."""
    function, args, kwargs = pickle.loads(data)
    return Call(function, args, kwargs, None)


class Reference:
    """A function under its module's name, `depth` wrappers below what the name holds.

    pickle itself sends a function only if its name holds the very same object; the name of
    a marked function holds the wrapper. The module is imported when it is called.
    """

    __slots__ = ("depth", "module", "qualname")

    def __init__(self, module: str, qualname: str, depth: int) -> None:
        self.module, self.qualname, self.depth = module, qualname, depth

    def __reduce__(self) -> tuple[type[Reference], tuple[str, str, int]]:
        return Reference, (self.module, self.qualname, self.depth)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = _named(self.module, self.qualname)
        for _ in range(self.depth):
            function = _inside(function)
        return function(*args, **kwargs)


def reference(function: Callable[..., Any]) -> Reference | Callable[..., Any]:
    """How to send the function: by its name, or as it is when it is not a function of Python."""
    if not isinstance(function, FunctionType):
        return function
    try:
        found, depth = _named(function.__module__, function.__qualname__), 0
        while found is not None and found is not function:
            found, depth = _inside(found), depth + 1
    except (ImportError, AttributeError):
        found = None
    if found is None:
        raise OffloadPicklingError(
            f"{name_of(function)} cannot be found by its name in another process: define it at the top of a module"
        )
    return Reference(function.__module__, function.__qualname__, depth)


def _named(module: str, qualname: str) -> Any:
    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _inside(wrapper: Any) -> Any:
    return getattr(wrapper, "__func__", None) or getattr(wrapper, "__wrapped__", None)


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return False
    return True
