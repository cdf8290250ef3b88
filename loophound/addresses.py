"""Where to listen, as `--bind` says it: HOST:PORT, unix:PATH, fd://NUMBER."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from loophound.errors import ConfigError

DEFAULT_PORT = 8000
MAX_PORT = 65_535
FORMS = "--bind takes HOST:PORT, unix:PATH or fd://NUMBER"


@dataclass
class TcpAddress:
    host: str  # empty: all of the machine's
    port: int  # 0: a free one


@dataclass
class UnixAddress:
    path: str


@dataclass
class Descriptor:
    """A socket that another process has bound."""

    fd: int


def written(host: str, port: object) -> str:
    """A host and its port as URLs have them: an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Address: TypeAlias = TcpAddress | UnixAddress | Descriptor


def parse_address(text: str) -> Address:
    """The address that `text` stands for. An IPv6 address with a port stands in brackets. Raises ConfigError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ConfigError(f"{FORMS}; got {text!r}, without a path")
        return UnixAddress(path)
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not _is_number(number):
            raise ConfigError(f"{FORMS}; got {text!r}, without a number")
        return Descriptor(int(number))
    if not text or "/" in text:
        raise ConfigError(f"{FORMS}; got {text!r}")
    host, port = _parted(text)
    if not _is_number(port) or int(port) > MAX_PORT:
        raise ConfigError(f"{FORMS}; got {text!r}, and a port is a number from 0 to {MAX_PORT}")
    return TcpAddress(host, int(port))


def _parted(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConfigError(f"{FORMS}, such as [::1]:8000; got {text!r}")
        return host, rest[1:] if rest else f"{DEFAULT_PORT}"
    if text.count(":") > 1:  # an IPv6 address by itself
        return text, f"{DEFAULT_PORT}"
    host, colon, port = text.partition(":")
    return host, port if colon else f"{DEFAULT_PORT}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
