"""From the applications that there are to ASGI 3: ASGI 2 by two calls in place of one, WSGI by a2wsgi."""

from __future__ import annotations

import inspect
from typing import Any, cast

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server.asgi import Application, Receive, Scope, Send

_POSITIONAL = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
}


def as_asgi3(app: Any, config: Config) -> Application:
    """`app` as the server calls it, by what --interface says. Raises StartupError."""
    interface = guess(app) if config.interface == "auto" else config.interface
    if interface == "wsgi":
        return _wsgi(app)
    if interface == "asgi2":
        return _asgi2(app)
    return cast(Application, app)


def guess(app: Any) -> str:
    """`asgi3` or `asgi2`, by what `app` takes. Raises StartupError for what looks like WSGI."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):  # a callable in C, say
        return "asgi3"
    takes = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in takes) or len(takes) > 2 or _is_async(app):
        return "asgi3"
    if len(takes) == 2:
        names = " and ".join(parameter.name for parameter in takes)
        raise StartupError(
            f"{app!r} takes {names}, as WSGI applications do, where ASGI has scope, receive and send;"
            " if it is one, add --interface wsgi"
        )
    return "asgi2" if takes else "asgi3"


def _is_async(app: Any) -> bool:
    return inspect.iscoroutinefunction(app if inspect.isroutine(app) else getattr(type(app), "__call__", None))  # noqa: B004


def _asgi2(app: Any) -> Application:
    async def called_twice(scope: Scope, receive: Receive, send: Send) -> None:
        instance = app({**scope, "asgi": {**scope["asgi"], "version": "2.0"}})
        await instance(receive, send)

    return called_twice


def _wsgi(app: Any) -> Application:
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError:
        raise StartupError(
            "--interface wsgi needs the package a2wsgi: install it, or loophound[wsgi], which names it"
        ) from None
    return cast(Application, WSGIMiddleware(app))
