"""The request target (RFC 9112, section 3.2)."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import HOST, Case, get, refused, served

ORIGIN = "RFC 9112, 3.2.1"
ABSOLUTE = "RFC 9112, 3.2.2"
AUTHORITY = "RFC 9112, 3.2.3"
ASTERISK = "RFC 9112, 3.2.4"


def sees(name: str, section: str, target: bytes, **inside: Any) -> Case:
    return served(name, section, get(target), inside=inside)


def host_is(host: str) -> Any:
    def passes(scope: Any) -> bool:
        return [value for name, value in scope["headers"] if name == "host"] == [host]

    return passes


def not_ascii(path: str) -> Any:
    return lambda scope: scope["path"] == path


CASES: tuple[Case, ...] = (
    sees("path and query", ORIGIN, b"/scope?a=1&b", path="/scope", query_string="a=1&b"),
    sees("an empty query", ORIGIN, b"/scope?", path="/scope", query_string=""),
    sees("two question marks", "RFC 3986, 3.4", b"/scope?a?b", query_string="a?b"),
    sees("an escaped path is decoded once", "ASGI, HTTP scope", b"/x%2520y", path="/x%20y"),
    sees("an escaped path in UTF-8", "ASGI, HTTP scope", b"/caf%C3%A9", path="/caf\u00e9"),
    sees("the raw path is as sent", "ASGI, HTTP scope", b"/a%20b", path="/a b", raw_path="/a%20b"),
    sees("an escaped slash stays in the raw path", "ASGI, HTTP scope", b"/a%2Fb", raw_path="/a%2Fb"),
    sees("the query is not decoded", "ASGI, HTTP scope", b"/scope?x=%20", query_string="x=%20"),
    sees("dots stay", "RFC 3986, 6.2.2", b"/a/../b/./c", path="/a/../b/./c"),
    sees("two slashes stay", ORIGIN, b"//a//b", path="//a//b"),
    sees("all that a path may have", "RFC 3986, 3.3", b"/-._~!$&'()*+,;=:@", path="/-._~!$&'()*+,;=:@"),
    sees("an escape that is none stays", "RFC 3986, 2.1", b"/a%zz", path="/a%zz"),
    served("escapes that are no UTF-8 are no error", "ASGI, HTTP scope", get(b"/%ff"), passes=not_ascii("/\ufffd")),
    served("absolute form", ABSOLUTE, get(b"http://a/hello"), b"hello"),
    served("absolute form with another host", ABSOLUTE, get(b"http://b:81/x?y"), inside={"path": "/x"},
           passes=host_is("b:81")),
    served("absolute form without a path", ABSOLUTE, get(b"http://a"), b""),
    served("absolute form with a query and no path", ABSOLUTE, get(b"http://a?b"), b""),
    served("absolute form in upper case", "RFC 3986, 3.1", get(b"HTTP://A/hello"), b"hello"),
    served("absolute form of https", ABSOLUTE, get(b"https://a/hello"), b"hello"),
    refused("absolute form still wants a Host", "RFC 9112, 3.2", b"GET http://a/hello HTTP/1.1\r\n\r\n"),
    refused("absolute form without a host", "RFC 9110, 4.2.1", get(b"http:///hello")),
    refused("absolute form with a user", "RFC 9110, 4.2.4", get(b"http://user@a/hello")),
    refused("absolute form with a port that is none", "RFC 3986, 3.2.3", get(b"http://a:b/hello")),
    refused("absolute form of another scheme", ABSOLUTE, get(b"ftp://a/hello"), 400, 404, 421),
    refused("authority form is for CONNECT", AUTHORITY, get(b"a:80")),
    served("asterisk form of OPTIONS", ASTERISK, get(b"*", method=b"OPTIONS"), inside={"method": "OPTIONS"}),
    refused("asterisk form of GET", ASTERISK, get(b"*")),
    refused("asterisk and more", ASTERISK, get(b"*/x", method=b"OPTIONS")),
    refused("a path without its slash", ORIGIN, get(b"hello")),
    refused("a fragment", "RFC 9112, 3.2", get(b"/hello#x")),
    refused("a fragment in the query", "RFC 9112, 3.2", get(b"/hello?a#x")),
    refused("a NUL in the target", "RFC 9112, 3.2", get(b"/a\0b")),
    refused("a control character in the target", "RFC 3986, 2", get(b"/a\x01b")),
    refused("DEL in the target", "RFC 3986, 2", get(b"/a\x7fb")),
    refused("a bare CR in the target", "RFC 9112, 2.2", get(b"/a\rb")),
    refused("bytes that are not ASCII in the path", "RFC 3986, 2", get(b"/caf\xc3\xa9")),
    refused("bytes that are not ASCII in the query", "RFC 3986, 2", get(b"/hello?caf\xc3\xa9")),
    refused("overlong UTF-8 in the path", "RFC 3629, 3", get(b"/\xc0\xaf")),
    refused("a question mark alone", ORIGIN, b"GET ?a HTTP/1.1\r\n" + HOST + b"\r\n"),
)  # fmt: skip
