"""All cases, by the part of HTTP that they ask about."""

from __future__ import annotations

from tests.conformance.case import Case
from tests.conformance.cases import (
    bodies,
    chunks,
    connections,
    fields,
    hosts,
    methods,
    mistakes,
    responses,
    scopes,
    targets,
    versions,
)

GROUPS: dict[str, tuple[Case, ...]] = {
    "request line and methods": methods.CASES,
    "request target": targets.CASES,
    "version": versions.CASES,
    "Host": hosts.CASES,
    "header fields": fields.CASES,
    "Content-Length and Transfer-Encoding": bodies.CASES,
    "chunked": chunks.CASES,
    "connections, Expect and Upgrade": connections.CASES,
    "responses": responses.CASES,
    "ASGI": scopes.CASES,
    "ASGI's extensions": scopes.EXTENSIONS,
    "the application's mistakes": mistakes.CASES,
}
ALL = tuple(case for group in GROUPS.values() for case in group)
