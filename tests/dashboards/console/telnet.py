"""A telnet client as small as can be (RFC 854, 1073, 1091): it tells its size and type, and reads what is shown."""

from __future__ import annotations

import re
import socket
import time
from typing import Self

IAC, SB, SE, WILL, DO = b"\xff", b"\xfa", b"\xf0", b"\xfb", b"\xfd"
NAWS, TERMINAL_TYPE = b"\x1f", b"\x18"
ANSWERS = (
    IAC + WILL + NAWS + IAC + SB + NAWS + (200).to_bytes(2) + (50).to_bytes(2) + IAC + SE
    + IAC + WILL + TERMINAL_TYPE + IAC + SB + TERMINAL_TYPE + b"\0" + b"xterm" + IAC + SE
)  # fmt: skip
NEGOTIATION = re.compile(rb"\xff\xfa.*?\xff\xf0|\xff[\xfb-\xfe].", re.DOTALL)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")
ASKED_WHERE = b"\x1b[6n"  # the place of the cursor (ECMA-48, DSR)
WAIT_S = 40.0


class Telnet:
    """One session of the console."""

    def __init__(self, port: int) -> None:
        self._socket = self._connect(port)
        self._socket.sendall(ANSWERS)
        self._seen = b""
        self.wait_for(">>>")

    def _connect(self, port: int) -> socket.socket:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
            except ConnectionRefusedError:  # it starts on a thread of its own
                assert time.monotonic() < deadline_s
                time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, command: str, *wanted: str) -> str:
        """Type a command; what is shown after it, as soon as all that is wanted is there."""
        self._seen = b""
        self._socket.sendall(command.encode() + b"\r")
        return self.wait_for(*wanted)

    def wait_for(self, *wanted: str) -> str:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            text = self.text
            if all(word in text for word in wanted):
                return text
            assert time.monotonic() < deadline_s, f"never shown: {wanted}\n{text}"
            self._socket.settimeout(0.5)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            assert data, f"the console hung up:\n{text}"
            if ASKED_WHERE in data:
                self._socket.sendall(b"\x1b[50;1R")
            self._seen += data

    @property
    def text(self) -> str:
        shown = NEGOTIATION.sub(b"", self._seen).decode(errors="replace")
        return ESCAPES.sub("", shown).replace("\r\n", "\n")
