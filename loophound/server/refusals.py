"""A request that the server itself turns down."""

from __future__ import annotations


class Refusal(Exception):
    """The request is refused with `status`; `str()` tells the client and the log why."""

    def __init__(self, status: int, why: str, headers: bytes = b"") -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers  # whole lines that the response is to have
