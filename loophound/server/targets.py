"""Request targets and hosts: validated, decoded, and remembered (RFC 9112, section 3.2)."""

from __future__ import annotations

import re
from urllib.parse import unquote

REMEMBERED = 1024  # entries of each cache; then it starts anew
REMEMBERED_BYTES = 256

# RFC 3986, section 3.2.2: a registered name or an IPv4 address, or an IP literal in brackets; then a port.
# Not empty: a URL of http has a host (RFC 9110, section 4.2.1). Without the comma that RFC 3986 would allow in a name:
# it is two Hosts that something joined.
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+;=]+|\[[0-9A-Fa-f:.vV]+\])(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#@]+)(/[^?]*)?(\?.*)?", re.DOTALL)


class TargetError(ValueError):
    """The target is in none of the forms that this server serves."""


class Targets:
    """Decodes the paths and checks the hosts of one server's requests."""

    __slots__ = ("_hosts", "_paths", "_root_path")

    def __init__(self, root_path: str = "") -> None:
        self._root_path = root_path
        self._paths: dict[bytes, str] = {}
        self._hosts: set[bytes] = set()

    def path(self, raw_path: bytes) -> str | None:
        """The decoded path of an origin-form target, root path first; None for another form."""
        path = self._paths.get(raw_path)
        return path if path is not None else self._decode(raw_path)

    def _decode(self, raw_path: bytes) -> str | None:
        if raw_path[:1] != b"/":
            return None
        if b"#" in raw_path:
            raise TargetError("a request target has no fragment")
        text = raw_path.decode("latin-1")
        path = self._root_path + (unquote(text) if "%" in text else text)
        if len(raw_path) <= REMEMBERED_BYTES:
            if len(self._paths) >= REMEMBERED:
                self._paths.clear()
            self._paths[raw_path] = path
        return path

    def valid_host(self, host: bytes) -> bool:
        """Whether `host` can be the value of a Host header (RFC 9110, section 7.2)."""
        if host in self._hosts:
            return True
        if _HOST.fullmatch(host) is None:
            return False
        if len(host) <= REMEMBERED_BYTES:
            if len(self._hosts) >= REMEMBERED:
                self._hosts.clear()
            self._hosts.add(host)
        return True


def split_absolute(target: bytes) -> tuple[bytes, bytes]:
    """The authority and the origin form of an absolute-form target. Raises TargetError."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise TargetError("the request target is neither a path nor an http URL")
    return match[1], (match[2] or b"/") + (match[3] or b"")
