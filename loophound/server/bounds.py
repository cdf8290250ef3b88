"""What one connection may cost the server: sizes here, times in `Timeouts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from loophound.config import Config


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sizes in bytes, and one number of fields. The defaults are those of the options."""

    request_line: int = 16_384  # RFC 9112, section 3, recommends at least 8000
    head: int = 65_536  # also of the trailers, and of what a chunked body has besides its chunks
    headers: int = 256
    body: int | None = None
    unread_body: int = 65_536  # while the application does not receive; then reading pauses
    unwritten: int = 65_536  # while the client does not read; then send() waits


class Timeouts(NamedTuple):
    """Seconds that a connection may keep silent: while idle, in a head, and in a body."""

    keep_alive_s: float
    head_s: float
    body_s: float


def bounds_of(config: Config) -> Bounds:
    return Bounds(
        request_line=config.limit_request_line,
        head=config.limit_head,
        headers=config.limit_headers,
        body=config.limit_body,
        unread_body=config.limit_unread_body,
        unwritten=config.limit_unwritten,
    )


def timeouts_of(config: Config) -> Timeouts:
    return Timeouts(config.timeout_keep_alive, config.timeout_head, config.timeout_body)
