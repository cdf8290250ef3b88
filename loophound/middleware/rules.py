"""Which routes run on a side loop: by the path of the request, or by the endpoint that will answer it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Rule = str | re.Pattern[str] | Callable[..., Any]

_WILD = {"*": ".*", "?": "[^/]"}


class Rules:
    """A rule is a path with `*` (anything), `?` (one character) and `{name}` (one segment), a compiled
    pattern for the whole path, or an endpoint of an application with Starlette's router.

    Raises TypeError for another kind of rule.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._paths: list[re.Pattern[str]] = []
        self._endpoints: list[Any] = []
        for rule in rules:
            if isinstance(rule, str):
                self._paths.append(_compiled(rule))
            elif isinstance(rule, re.Pattern):
                self._paths.append(rule)
            elif callable(rule):
                self._endpoints.append(inspect.unwrap(rule))
            else:
                raise TypeError(f"a rule is a path, a compiled pattern or an endpoint, not {rule!r}")

    def __bool__(self) -> bool:
        return bool(self._paths or self._endpoints)

    def match(self, app: Any, scope: Mapping[str, Any]) -> bool:
        """Whether the request of this `http` or `websocket` scope comes under a rule."""
        path = path_of(scope)
        if any(pattern.fullmatch(path) for pattern in self._paths):
            return True
        if not self._endpoints:
            return False
        endpoint = inspect.unwrap(endpoint_of(app, scope) or Rules)
        return any(endpoint is marked for marked in self._endpoints)


def endpoint_of(app: Any, scope: Mapping[str, Any]) -> Any:
    """The endpoint to which the application's router would send the request; None where it has no router."""
    for route in _routes(app):
        if not hasattr(route, "matches"):
            continue
        match, child = route.matches(scope)
        if match.value != 2:  # starlette.routing.Match.FULL: path and method
            continue
        if hasattr(route, "effective_route_contexts"):
            return _endpoint_of_included(route, scope)
        inner = {**scope, **child}
        return endpoint_of(route, inner) if getattr(route, "routes", None) else inner.get("endpoint")
    return None


def _endpoint_of_included(router: Any, scope: Mapping[str, Any]) -> Any:
    """FastAPI keeps an included router as one route, which tells its endpoints only with their full paths."""
    for context in router.effective_route_contexts():
        route = context.starlette_route or context
        endpoint, methods = getattr(route, "endpoint", None), getattr(route, "methods", None)
        suits = not methods or scope.get("method") in methods
        if endpoint is not None and suits and route.path_regex.match(path_of(scope)):
            return endpoint
    return None


def path_of(scope: Mapping[str, Any]) -> str:
    """The path that routers see: since ASGI 2.4 `path` has the root path in front."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] or "/" if root and path.startswith(root) else path


def _routes(app: Any) -> list[Any]:
    """The routes of the application, through the middleware that wraps it (`app` by custom)."""
    while app is not None:
        routes = getattr(app, "routes", None)
        if routes is not None:
            return list(routes)
        app = getattr(app, "app", None)
    return []


def _compiled(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|\?|\{[^{}/]+\})", path)
    return re.compile(
        "".join(_WILD.get(part) or ("[^/]+" if part.startswith("{") else re.escape(part)) for part in parts)
    )
