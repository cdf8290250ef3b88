"""The Host header (RFC 9112, section 3.2; RFC 9110, section 7.2)."""

from __future__ import annotations

from tests.conformance.case import Case, fields, refused, served

HOST = "RFC 9112, 3.2"
NAME = "RFC 9110, 7.2"


def hosts(*lines: bytes) -> bytes:
    return b"GET /hello HTTP/1.1\r\n" + fields(*lines) + b"\r\n"


def good(name: str, value: bytes) -> Case:
    return served(name, NAME, hosts(b"Host: " + value), b"hello")


def bad(name: str, value: bytes) -> Case:
    return refused(name, HOST, hosts(b"Host: " + value))


CASES: tuple[Case, ...] = (
    good("a name", b"example.com"),
    good("a name with a port", b"example.com:8080"),
    good("a name with an empty port", b"example.com:"),
    good("an address", b"127.0.0.1:80"),
    good("an IPv6 address", b"[::1]:80"),
    good("a name with an underscore", b"my_service:80"),
    good("a name with an escape", b"a%20b"),
    good("a name in upper case", b"EXAMPLE.COM"),
    served("Host in upper case", "RFC 9110, 5.1", hosts(b"HOST: a"), b"hello"),
    served("Host without a space", "RFC 9112, 5.1", hosts(b"Host:a"), b"hello"),
    served("Host after a tab", "RFC 9112, 5.1", hosts(b"hoSt:\ta", b"empty:"), b"hello"),
    served("Host last of all", HOST, hosts(b"X-A: 1", b"Host: a"), b"hello"),
    refused("no Host", HOST, hosts()),
    refused("no Host among others", HOST, hosts(b"X-A: 1")),
    refused("two Hosts", HOST, hosts(b"Host: a", b"Host: b")),
    refused("two Hosts that are the same", HOST, hosts(b"Host: a", b"Host: a")),
    refused("two Hosts apart", HOST, hosts(b"Host: a", b"X-A: 1", b"HOST: b")),
    refused("an empty Host", "RFC 9110, 4.2.1", hosts(b"Host:")),
    refused("a Host of white space", "RFC 9110, 4.2.1", hosts(b"Host:  \t ")),
    bad("two names in a Host", b"a, b"),
    bad("two names in a Host by a space", b"a b"),
    bad("a user in Host", b"user@a"),
    bad("a path in Host", b"a/b"),
    bad("a URL in Host", b"http://a"),
    bad("a query in Host", b"a?b"),
    bad("a fragment in Host", b"a#b"),
    bad("a port that is none", b"a:b"),
    bad("a negative port", b"a:-1"),
    bad("two ports", b"a:80:80"),
    bad("a port without a name", b":80"),
    bad("an open bracket", b"[::1"),
    bad("a closed bracket", b"::1]"),
    bad("a bare IPv6 address", b"::1"),
    bad("a backslash in Host", b"a\\b"),
    bad("a quote in Host", b'a"b'),
    bad("an angle in Host", b"<a>"),
    bad("Host that is not ASCII", b"\xc3\xa9.com"),
    bad("a control character in Host", b"a\x01b"),
)
