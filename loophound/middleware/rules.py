"""Which routes run on a side loop: by the path of the request, or by the endpoint that will answer it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root):  # since ASGI 2.4 the path contains the root path
            path = path[len(root) :] or "/"
        if any(pattern.fullmatch(path) for pattern in self._paths):
            return True
        if not self._endpoints:
            return False
        endpoint = inspect.unwrap(endpoint_of(app, scope) or Rules)
        return any(endpoint is marked for marked in self._endpoints)


def endpoint_of(app: Any, scope: Mapping[str, Any]) -> Any:
    """The endpoint to which the application's router would send the request; None where it has no router."""
    for route in _routes(app):
        match, child = route.matches(scope)
        if match.value == 2:  # starlette.routing.Match.FULL: path and method
            inner = {**scope, **child}
            return endpoint_of(route, inner) if getattr(route, "routes", None) else inner.get("endpoint")
    return None


def _routes(app: Any) -> Iterator[Any]:
    """The routes of the application, through the middleware that wraps it (`app` by custom)."""
    while app is not None:
        routes = getattr(app, "routes", None)
        if routes is not None:
            yield from (route for route in routes if hasattr(route, "matches"))
            return
        app = getattr(app, "app", None)


def _compiled(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|\?|\{[^{}/]+\})", path)
    return re.compile(
        "".join(_WILD.get(part) or ("[^/]+" if part.startswith("{") else re.escape(part)) for part in parts)
    )
