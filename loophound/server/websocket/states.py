"""How far a WebSocket connection is (RFC 6455, sections 4 and 7).

                  accept          Close sent               Close received
    CONNECTING ───────────► OPEN ───────────► CLOSING ───────────────────► CLOSED
       └─ denied ─► DENYING  ├─ Close received, and answered ──────────────►┤
                       │     └─ Violation, no pong ─► FAILED ─ linger ─────►┤
                       └─ the response is out ─────────────────────────────►┘

A connection that is lost is CLOSED from any state.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """How far the connection is."""

    CONNECTING = auto()  # the application has not answered the handshake
    DENYING = auto()  # it sends a response of its own in place of the 101
    OPEN = auto()
    CLOSING = auto()  # our Close is sent, the client's is due
    FAILED = auto()  # our Close is sent, what comes is thrown away (section 7.1.7)
    CLOSED = auto()


CONNECTING, DENYING, OPEN = State.CONNECTING, State.DENYING, State.OPEN
CLOSING, FAILED, CLOSED = State.CLOSING, State.FAILED, State.CLOSED
