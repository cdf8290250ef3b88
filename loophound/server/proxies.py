"""What a trusted proxy says of the client behind it: X-Forwarded-* and Forwarded (RFC 7239).

Each proxy appends the address that it was asked from, so the list is read from the right:
the first hop that is not trusted is the client, and what stands left of it is its own
say-so. What is malformed is ignored, for it may come from the client.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from loophound.config import ALLOW_VARIABLE, Config
from loophound.errors import ConfigError

Client: TypeAlias = tuple[str, int]
Said: TypeAlias = tuple[Client | None, str, str, str, str]  # client, scheme, host, port, prefix

LOOPBACK = "127.0.0.1,::1"
FIELDS = ("for", "proto", "host", "port", "prefix")
FORWARDED = b"forwarded"
HOPS = 32  # further ones are not looked at: a client may send thousands
FORWARDED_CHARACTERS = 4096  # the last ones; likewise
REMEMBERED = 1024  # peers, and what was said of clients; then the cache starts anew
REMEMBERED_BYTES = 256

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PORT = re.compile(r"[0-9]{1,5}")
# RFC 3986, section 3.3, but nothing encoded. Two slashes at the start would make a link to another host of it.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)+")
# RFC 7239, section 4. White space around the signs is against it, but harmless.
_PAIR = re.compile(r"""\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;=]+))\s*([;,]|$)""")


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy said of whoever asked it; an empty text where it said nothing."""

    client: str = ""
    proto: str = ""
    host: str = ""
    port: str = ""
    prefix: str = ""


class Trusted:
    """Peers whose word counts: addresses, networks, `unix`, paths of unix sockets, or `*` for all.

    Raises ConfigError for what is none of these.
    """

    def __init__(self, text: str) -> None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        self.all = "*" in words
        self.unix = self.all or any(_is_unix(word) for word in words)
        self._networks: list[IPv4Network | IPv6Network] = []
        self._known: dict[str, bool] = {}
        for word in words:
            if word != "*" and not _is_unix(word):
                self._networks.append(_network(word))

    def __contains__(self, host: str) -> bool:
        """Whether the address `host` is trusted; what is no address never is, unless all is."""
        known = self._known.get(host)
        if known is None:
            known = self.all or self._look_up(host)
            if len(host) <= REMEMBERED_BYTES:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[host] = known
        return known

    def trusts(self, peer: Client | None) -> bool:
        """Whether to believe a connection from `peer`; None is one on a unix socket."""
        return self.unix if peer is None else peer[0] in self

    def _look_up(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


def _is_unix(word: str) -> bool:
    return word == "unix" or word.startswith(("unix:", "/"))


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        raise ConfigError(
            f"--forwarded-allow-ips takes addresses, networks, 'unix' or '*', with commas between; got {word!r}"
        ) from None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A listener for both families shows IPv4 peers as ::ffff:192.0.2.1 (RFC 4291, section 2.5.5.2).
    return getattr(address, "ipv4_mapped", None) or address


def proxies_of(config: Config) -> Proxies | None:
    """The proxies that the options describe. Raises ConfigError."""
    return Proxies(trusted_of(config), config.forwarded_fields) if config.proxy_headers else None


def trusted_of(config: Config) -> str:
    """The list of those whose word counts."""
    if config.forwarded_allow_ips is not None:
        return config.forwarded_allow_ips
    return os.environ.get(ALLOW_VARIABLE) or LOOPBACK


class Proxies:
    """Who is trusted, and which fields of what they say; one for a server. Raises ConfigError."""

    __slots__ = ("_fields", "_known", "_order", "_trusted", "headers")

    def __init__(self, trusted: str, fields: str) -> None:
        self._trusted = Trusted(trusted)
        self._fields = frozenset(word.strip() for word in fields.split(",") if word.strip())
        if unknown := self._fields.difference(FIELDS):
            raise ConfigError(
                f"--forwarded-fields takes {', '.join(FIELDS)}, with commas between; got {min(unknown)!r}"
            )
        # The names of the headers that matter.
        self.headers = frozenset({FORWARDED, *(f"x-forwarded-{field}".encode() for field in self._fields)})
        self._order = tuple(sorted(self.headers))
        # What the same values meant before: a client asks more than once, and parsing costs 9 us and more, this 1.3.
        self._known: dict[tuple[bytes | None, ...], Said] = {}

    def trusts(self, peer: Client | None) -> bool:
        """Whether to believe a connection from `peer`; None is one on a unix socket."""
        return self._trusted.trusts(peer)

    def apply(self, scope: dict[str, Any], noted: Mapping[bytes, bytes], valid_host: Callable[[bytes], bool]) -> None:
        """Put into the scope of a request what `noted`, a mapping of the headers above, says of its client."""
        if self.headers.isdisjoint(noted):  # as for every POST without a proxy: its length is noted too
            return
        values = tuple(map(noted.get, self._order))
        client, scheme, host, port, prefix = self._known.get(values) or self._learn(values)
        if client is not None:
            scope["client"] = client
        if scheme:
            scope["scheme"] = scheme
        if host or port:
            _apply_host(scope, host, port, valid_host)
        if prefix:
            _apply_prefix(scope, prefix)

    def _learn(self, values: tuple[bytes | None, ...]) -> Said:
        noted = {name: value for name, value in zip(self._order, values, strict=True) if value is not None}
        if noted.keys() == {FORWARDED}:
            client, hop = self._from_forwarded(noted[FORWARDED].decode("latin-1"))
        else:
            # Forwarded may be the client's own then: a proxy that writes X-Forwarded-For lets it pass.
            client, hop = self._from_legacy(noted)
        fields = self._fields
        said: Said = (
            client if "for" in fields else None,
            _SCHEMES.get(hop.proto.lower(), "") if "proto" in fields else "",
            hop.host if "host" in fields else "",
            hop.port if "port" in fields else "",
            hop.prefix.rstrip("/") if "prefix" in fields else "",
        )
        if sum(map(len, noted.values())) <= REMEMBERED_BYTES:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[values] = said
        return said

    def _from_legacy(self, noted: Mapping[bytes, bytes]) -> tuple[Client | None, Hop]:
        hops = noted[b"x-forwarded-for"].decode("latin-1").split(",") if b"x-forwarded-for" in noted else []
        client, position = self._client_of(hops)

        def said(field: bytes) -> str:
            """The value that belongs to the client's hop; the nearest proxy's where they do not pair."""
            value = noted.get(b"x-forwarded-" + field)
            if value is None:
                return ""
            values = value.decode("latin-1").split(",")
            return values[position if len(values) == len(hops) else -1].strip()

        return client, Hop("", said(b"proto"), said(b"host"), said(b"port"), said(b"prefix"))

    def _from_forwarded(self, text: str) -> tuple[Client | None, Hop]:
        hops = parse_forwarded(text)
        client, position = self._client_of([hop.client for hop in hops])
        return client, hops[position] if hops else Hop()

    def _client_of(self, hops: list[str]) -> tuple[Client | None, int]:
        """The client and the position of its hop, counted from the right (-1 is the last).

        Where the hop that is not trusted has no address (`unknown`, or malformed), it is the
        last one that has.
        """
        if self._trusted.all:  # the leftmost, then; only what is malformed is passed over
            for index, hop in enumerate(hops[:HOPS]):
                if (client := parse_node(hop)) is not None:
                    return client, index - len(hops)
            return None, -1
        found: tuple[Client | None, int] = None, -1
        for index, hop in enumerate(reversed(hops[-HOPS:])):
            client = parse_node(hop)
            if client is None:
                break
            found = client, -1 - index
            if client[0] not in self._trusted:
                break
        return found


def parse_node(text: str) -> Client | None:
    """Address and port of a node (RFC 7239, section 6); None for what is no IP address. The port is 0 if not told."""
    text = text.strip()
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            return None
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if _address(host) is None:
        return None
    return host, int(port) if _valid_port(port) else 0


def _valid_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and 0 < int(text) <= 65535


def parse_forwarded(text: str) -> list[Hop]:
    """The elements of a Forwarded header, nearest proxy last; what stands left of malformed text is dropped with it."""
    hops: list[Hop] = []
    for element in _elements(text[-FORWARDED_CHARACTERS:]):
        if element is None:
            hops.clear()  # what cannot be read may have been anything, also the end of another's value
        else:
            hops.append(Hop(element.get("for", ""), element.get("proto", ""), element.get("host", "")))
    return hops


def _elements(text: str) -> Iterator[dict[str, str] | None]:
    element: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            yield None
            element = {}
            comma = text.find(",", at)
            if comma < 0:
                return
            at = comma + 1
            continue
        name, quoted, token, end = match.groups()
        element[name.lower()] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
        if end != ";":
            yield element
            element = {}
    if element:
        yield element


def _apply_host(scope: dict[str, Any], host: str, port: str, valid_host: Callable[[bytes], bool]) -> None:
    """The authority that the client asked for, in the Host header and as the server's address."""
    headers = scope["headers"]
    authority = host or next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", authority)
    if not authority or match is None or not valid_host(authority.encode("latin-1")):
        return
    name, own_port = match[1], match[2] or ""
    chosen = port if _valid_port(port) else own_port
    default = _DEFAULT_PORTS[scope["scheme"]]
    number = int(chosen) if _valid_port(chosen) else default
    value = (name if number == default else f"{name}:{number}").encode("latin-1")
    scope["headers"] = [(b"host", value), *(pair for pair in headers if pair[0] != b"host")]
    scope["server"] = (name.strip("[]"), number)


def _apply_prefix(scope: dict[str, Any], prefix: str) -> None:
    """The path under which the proxy mounts this server, and which it has taken off (ASGI: root_path)."""
    if _PREFIX.fullmatch(prefix) is None:
        return
    scope["root_path"] = prefix + scope["root_path"]
    if scope["path"] != "*":
        scope["path"] = prefix + scope["path"]
        scope["raw_path"] = prefix.encode("ascii") + scope["raw_path"]
