"""Reading on after an Upgrade that is ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from loophound.server.reader import RequestReader


def parser_of_the_rest(connection: RequestReader, framing: bytes) -> httptools.HttpRequestParser:
    """A parser for the body that `framing` (a header line) describes, and for the requests after it.

    httptools takes what follows a head with Upgrade for another protocol's bytes.
    """
    parser = httptools.HttpRequestParser(_BodyFirst(connection))
    parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
    return parser


class _BodyFirst:
    """The callbacks of a parser whose first head is made up: only the body after it is real."""

    def __init__(self, connection: RequestReader) -> None:
        self.connection = connection
        self.real = False

    def on_url(self, piece: bytes) -> None:
        if self.real:
            self.connection.on_url(piece)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.real:
            self.connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.real:
            self.connection.on_headers_complete()
        self.real = True

    def on_body(self, data: bytes) -> None:
        self.connection.on_body(data)

    def on_message_complete(self) -> None:
        self.connection.on_message_complete()
