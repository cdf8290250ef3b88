"""Header fields (RFC 9112, section 5; RFC 9110, section 5)."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import HOST, Case, get, refused, served

NAME = "RFC 9110, 5.1"
VALUE = "RFC 9110, 5.5"
LINE = "RFC 9112, 5"
SPACE = "RFC 9112, 5.1"
FOLD = "RFC 9112, 5.2"
START = b"GET /scope HTTP/1.1\r\n"


def has(*wanted: list[str]) -> Any:
    return lambda scope: [pair for pair in scope["headers"] if pair[0].startswith("x-")] == list(wanted)


def gives(name: str, section: str, *lines: bytes, headers: Any) -> Case:
    return served(name, section, get(b"/scope", *lines), passes=has(*headers))


def bad(name: str, section: str, raw: bytes, *statuses: int) -> Case:
    return refused(name, section, START + HOST + raw + b"\r\n", *statuses)


CASES: tuple[Case, ...] = (
    gives("names are in lower case", "ASGI, HTTP scope", b"X-Upper: V", headers=[["x-upper", "V"]]),
    gives("white space around a value is no part of it", SPACE, b"X-A: \t v w \t", headers=[["x-a", "v w"]]),
    gives("a value without a space", SPACE, b"X-A:v", headers=[["x-a", "v"]]),
    gives("an empty value", VALUE, b"X-A:", headers=[["x-a", ""]]),
    gives("a value of white space", VALUE, b"X-A:   ", headers=[["x-a", ""]]),
    gives("a value with colons", VALUE, b"X-A: a:b: c", headers=[["x-a", "a:b: c"]]),
    gives("a tab in a value", VALUE, b"X-A: a\tb", headers=[["x-a", "a\tb"]]),
    gives("bytes above ASCII in a value", VALUE, b"X-A: caf\xe9", headers=[["x-a", "caf\u00e9"]]),
    gives("quotes in a value", VALUE, b'X-A: "a, \\"b\\""', headers=[["x-a", '"a, \\"b\\""']]),
    gives("fields of one name stay apart and in order", "RFC 9110, 5.3", b"X-A: 1", b"X-B: 2", b"X-A: 3",
          headers=[["x-a", "1"], ["x-b", "2"], ["x-a", "3"]]),
    gives("a name with all characters of a token", NAME, b"x-!#$%&'*+-.^_`|~09AZ: 1",
          headers=[["x-!#$%&'*+-.^_`|~09az", "1"]]),
    gives("100 fields", "RFC 9110, 5.4", *(b"X-%d: v" % index for index in range(99)),
          headers=[[f"x-{index}", "v"] for index in range(99)]),
    gives("a field of 8000 bytes", "RFC 9110, 5.4", b"X-A: " + b"v" * 8000, headers=[["x-a", "v" * 8000]]),
    bad("a space before the colon", SPACE, b"X-A : v\r\n"),
    bad("a tab before the colon", SPACE, b"X-A\t: v\r\n"),
    bad("a space before the colon of Content-Length", SPACE, b"Content-Length : 3\r\n"),
    bad("a space before the colon of Transfer-Encoding", SPACE, b"Transfer-Encoding : chunked\r\n"),
    bad("a space in a name", NAME, b"X A: v\r\n"),
    bad("an empty name", NAME, b": v\r\n"),
    bad("no colon", LINE, b"X-A\r\n"),
    bad("a bracket in a name", NAME, b"X[A]: v\r\n"),
    bad("a quote in a name", NAME, b'X"A: v\r\n'),
    bad("a slash in a name", NAME, b"X/A: v\r\n"),
    bad("a NUL in a name", NAME, b"X\0A: v\r\n"),
    bad("a control character in a name", NAME, b"X\x01A: v\r\n"),
    bad("DEL in a name", NAME, b"X\x7fA: v\r\n"),
    bad("a name that is not ASCII", NAME, b"X\xc3\xabA: v\r\n"),
    bad("a folded value", FOLD, b"X-A: v\r\n w\r\n", 400, 200),
    bad("a folded value by a tab", FOLD, b"X-A: v\r\n\tw\r\n", 400, 200),
    bad("a value that begins folded", FOLD, b"X-A:\r\n v\r\n", 400, 200),
    bad("an empty fold", FOLD, b"X-A: v\r\n \r\n", 400, 200),
    bad("a folded Transfer-Encoding", FOLD, b"Transfer-Encoding:\r\n chunked\r\n"),
    refused("white space before the first field", "RFC 9112, 2.2", START + b" " + HOST + b"\r\n"),
    refused("a line of white space before the first field", "RFC 9112, 2.2", START + b" \r\n" + HOST + b"\r\n"),
    bad("a NUL in a value", VALUE, b"X-A: a\0b\r\n"),
    bad("a bare CR in a value", "RFC 9112, 2.2", b"X-A: a\rb\r\n"),
    bad("a bare CR at the end of a value", "RFC 9112, 2.2", b"X-A: a\r\r\n"),
    bad("a bare CR before a field", "RFC 9112, 2.2", b"\rX-A: a\r\n"),
    bad("a bare LF after a value", "RFC 9112, 2.2", b"X-A: a\nX-B: b\r\n", 400, 200),
    refused("bare LFs at the end of the head", "RFC 9112, 2.2", START + HOST + b"X-A: a\n\n", 400, 200),
    bad("BEL in a value", VALUE, b"X-A: a\x07b\r\n"),
    bad("a vertical tab in a value", VALUE, b"X-A: a\x0bb\r\n"),
    bad("ESC in a value", VALUE, b"X-A: a\x1bb\r\n"),
    bad("DEL in a value", VALUE, b"X-A: a\x7fb\r\n"),
    bad("1000 fields", "RFC 6585, 5", b"X-A: v\r\n" * 1000, 431, 400),
    bad("10,000 fields", "RFC 6585, 5", b"X-A: v\r\n" * 10_000, 431, 400),
    bad("a value of 100 KB", "RFC 6585, 5", b"X-A: " + b"v" * 100_000 + b"\r\n", 431, 400),
    bad("a name of 100 KB", "RFC 6585, 5", b"X" * 100_000 + b": v\r\n", 431, 400),
    refused("a value without end", "RFC 6585, 5", START + HOST + b"X-A: " + b"v" * 300_000, 431, 400),
    refused("a head without end", "RFC 6585, 5", START + HOST + b"X-A: " + b"v" * 100 + b"\r\nX-A: v" * 30_000, 431, 400),
    served("Content_Length is another field", NAME, get(b"/", b"Content_Length: 3"), b""),
    served("two Content-Types", "RFC 9110, 5.3", get(b"/hello", b"Content-Type: a/b", b"Content-Type: c/d"), b"hello"),
)  # fmt: skip
