"""The access log of `--log-format json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from loophound.json_lines import line
from loophound.server.access_log import client_text

if TYPE_CHECKING:
    from loophound.server.cycle import Cycle

LOGGER = "loophound.access"


def json_lines(line_format: Callable[[Cycle], str] | None, worker: int = 0) -> Callable[[Cycle], str]:
    """What makes a line of a request; `line_format`, of `--access-log-format`, makes the message in it.

    With the number of the `worker`, where it is one of several.
    """
    about = {"worker": worker} if worker else {}
    if line_format is not None:
        return lambda cycle: line("info", LOGGER, line_format(cycle), **about)

    def line_of(cycle: Cycle) -> str:
        scope = cycle.scope
        target = cycle.target.decode("latin-1")
        return line(
            "info",
            LOGGER,
            f"{scope['method']} {target} {cycle.status}",
            client=client_text(scope.get("client")),
            method=scope["method"],
            target=target,
            http_version=scope["http_version"],
            status=cycle.status,
            duration_ms=round((cycle.ended_ns - cycle.began_ns) / 1e6, 3),
            **about,
        )

    return line_of
