"""A connection before its first request, under `--proxy-protocol`: a trusted proxy says whom it speaks for.

    PREFACE ─► (HANDSHAKE, with TLS) ─► an HttpConnection takes the transport over

From others no such word is taken: their connections are HTTP, or TLS, from the first byte on. The word comes before
the handshake of TLS, which is why the listener cannot begin that by itself.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, cast

from loophound.config import Config
from loophound.server.bounds import Timeouts
from loophound.server.flow import WriteFlow
from loophound.server.protocol import HttpConnection
from loophound.server.proxies import Trusted, trusted_of
from loophound.server.proxy_header import ProxyHeader, ProxyHeaderError, read_proxy_header
from loophound.server.seat import Give
from loophound.server.site import Site

logger = logging.getLogger("loophound.server")


class Stage(Enum):
    """What the bytes that come belong to."""

    PREFACE = auto()
    HANDSHAKE = auto()  # TLS is to take them
    SECURED = auto()  # TLS is there, and they are the first ones of HTTP
    OVER = auto()


class PrefacedConnection(asyncio.Protocol):
    """Waits for the head of the PROXY protocol, and makes the connection that its client would have made."""

    __slots__ = (
        "_data",
        "_handshake",
        "_handshake_s",
        "_since_s",
        "_stage",
        "_trusted",
        "client",
        "client_text",
        "flow",
        "site",
        "transport",
    )

    transport: asyncio.Transport
    cycle = None
    waiting = ()

    def __init__(self, site: Site, trusted: Trusted, handshake_s: float) -> None:
        self.site = site
        self.flow = WriteFlow(site.loop)
        self._since_s = site.now_s
        self._trusted = trusted
        self._handshake_s = handshake_s
        self._stage = Stage.PREFACE
        self._data = b""
        self._handshake: asyncio.Task[None] | None = None

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.client = (peer[0], peer[1]) if type(peer) is tuple else None
        self.client_text = f"{peer[0]}:{peer[1]}" if self.client else "unix"
        self.site.connections.add(self)
        if self.site.stopping:
            self.stop()
        elif not self._trusted.trusts(self.client):
            self._go_on(None)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._stage is not Stage.PREFACE:
            return
        try:
            found = read_proxy_header(self._data)
        except ProxyHeaderError as error:
            self._refuse(f"{error}: this port wants it from {self.client_text}")
            return
        if found is not None:
            header, size = found
            self._data = self._data[size:]
            self._go_on(header)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stage = Stage.OVER
        self._data = b""
        self.site.left(self)

    # -- on to HTTP

    def _go_on(self, header: ProxyHeader | None) -> None:
        if self.site.tls is None:
            self._hand_over(self.transport, header)
            return
        self._stage = Stage.HANDSHAKE
        self.transport.pause_reading()
        self._handshake = self.site.loop.create_task(self._secure(header))

    async def _secure(self, header: ProxyHeader | None) -> None:
        assert self.site.tls is not None
        loop, transport = self.site.loop, self.transport
        loop.call_soon(loop.call_soon, self._feed_tls)  # after start_tls() has told its own protocol of the transport
        try:
            secured = await loop.start_tls(
                transport,
                self,
                self.site.tls.context,
                server_side=True,
                ssl_handshake_timeout=self._handshake_s,
            )
        except (OSError, ssl.SSLError) as error:
            logger.debug("%s: no TLS: %s", self.client_text, error)
            transport.abort()
            self.site.left(self)
            return
        assert secured is not None
        if self._stage is Stage.OVER:
            secured.abort()
        else:
            self._hand_over(secured, header)

    def _feed_tls(self) -> None:
        """Give the protocol of TLS what came right behind the head."""
        self._stage = Stage.SECURED
        data, self._data = self._data, b""
        protocol = cast(Any, self.transport.get_protocol())
        while data and not self.transport.is_closing():
            buffer = protocol.get_buffer(len(data))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            protocol.buffer_updated(size)
            data = data[size:]

    def _hand_over(self, transport: asyncio.Transport, header: ProxyHeader | None) -> None:
        connection = HttpConnection(self.site)
        self._stage = Stage.OVER
        transport.set_protocol(connection)
        connection.connection_made(transport)
        self.site.connections.discard(self)
        if header is not None:
            connection.speaks_for(header)
        data, self._data = self._data, b""
        if data:
            connection.data_received(data)

    # -- the end

    def _refuse(self, why: str) -> None:
        logger.info("%s: refused: %s", self.client_text, why)
        if self.site.tls is None:  # whoever has forgotten to switch it on in the proxy sees this there
            self.transport.write(self.site.heads.farewell(400, why))
        self._stage = Stage.OVER
        self.transport.close()

    def stop(self) -> None:
        """Nothing was asked yet."""
        self.transport.abort()

    def retire(self, give: Give) -> None:
        self.stop()

    def answered(self, cycle: Any) -> None:
        """Nothing is answered here."""

    def adjust_reading(self) -> None:
        """Nor read."""

    def sweep(self, now_s: float, timeouts: Timeouts) -> None:
        """The head of the PROXY protocol has as long as the head of a request; TLS has its own timer."""
        if self._stage is Stage.PREFACE and now_s - self._since_s >= timeouts.head_s:
            self.transport.abort()


def prefaced(site: Site, config: Config) -> Callable[[], PrefacedConnection]:
    """What makes the connections of a listener. Raises ConfigError."""
    trusted = Trusted(trusted_of(config))
    return lambda: PrefacedConnection(site, trusted, config.timeout_head)
