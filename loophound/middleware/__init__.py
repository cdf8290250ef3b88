"""Pure ASGI middleware, one a file; usable under any ASGI server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loophound.middleware.blocking_calls import BlockingCallMiddleware
    from loophound.middleware.offload import OffloadMiddleware
    from loophound.middleware.watch import WatchMiddleware

__all__ = ["BlockingCallMiddleware", "OffloadMiddleware", "WatchMiddleware"]

# Loaded when asked for: who uses one of them need not load the others.
_HOMES = {
    "BlockingCallMiddleware": "loophound.middleware.blocking_calls",
    "OffloadMiddleware": "loophound.middleware.offload",
    "WatchMiddleware": "loophound.middleware.watch",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'loophound.middleware' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
