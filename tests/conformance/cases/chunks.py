"""The chunked coding (RFC 9112, section 7.1)."""

from __future__ import annotations

from tests.conformance.case import Answer, Case, Then, case, chunked, post, refused, served

CHUNK = "RFC 9112, 7.1"
EXTENSION = "RFC 9112, 7.1.1"
TRAILER = "RFC 9112, 7.1.2"
LINES = "RFC 9112, 2.2"
END = b"0\r\n\r\n"


def good(name: str, section: str, body: bytes, wanted: bytes = b"hello") -> Case:
    return served(name, section, chunked(body), wanted)


def bad(name: str, section: str, body: bytes, *statuses: int) -> Case:
    return refused(name, section, chunked(body), *statuses)


CASES: tuple[Case, ...] = (
    good("no chunk", CHUNK, END, b""),
    good("one chunk", CHUNK, b"5\r\nhello\r\n" + END),
    good("several chunks", CHUNK, b"2\r\nhe\r\n3\r\nllo\r\n" + END),
    good("a size in upper case", CHUNK, b"A\r\n0123456789\r\n" + END, b"0123456789"),
    good("a size in lower case", CHUNK, b"a\r\n0123456789\r\n" + END, b"0123456789"),
    good("zeros before a size", CHUNK, b"0005\r\nhello\r\n" + END),
    good("zeros as the last chunk", CHUNK, b"5\r\nhello\r\n000\r\n\r\n"),
    good("line ends in a chunk", CHUNK, b"4\r\n\r\n\r\n\r\n" + END, b"\r\n\r\n"),
    good("a chunk of 64 KB", CHUNK, b"10000\r\n" + b"x" * 65_536 + b"\r\n" + END, b"x" * 65_536),
    good("1000 chunks of a byte", CHUNK, b"1\r\nx\r\n" * 1000 + END, b"x" * 1000),
    served("chunks in single bytes", CHUNK,
           (chunked(b""), *(bytes([byte]) for byte in b"5\r\nhello\r\n0\r\n\r\n")), b"hello"),
    good("an extension", EXTENSION, b"5;a=b\r\nhello\r\n" + END),
    good("an extension without a value", EXTENSION, b"5;a\r\nhello\r\n" + END),
    good("an extension in quotes", EXTENSION, b'5;a="b;c"\r\nhello\r\n' + END),
    good("two extensions", EXTENSION, b"5;a=b;c=d\r\nhello\r\n" + END),
    good("an extension of the last chunk", EXTENSION, b"5\r\nhello\r\n0;a=b\r\n\r\n"),
    good("a trailer", TRAILER, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    good("two trailers", TRAILER, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"),
    *(
        served(f"{name.decode()} in a trailer does not count", "RFC 9110, 6.5.1",
               chunked(b"5\r\nhello\r\n0\r\n" + name + b": " + value + b"\r\n\r\n"), b"hello")
        for name, value in ((b"Host", b"evil"), (b"Authorization", b"evil"), (b"X-Forwarded-For", b"1.2.3.4"))
    ),
    case("Content-Length in a trailer does not count", "RFC 9110, 6.5.1",
         chunked(b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), Answer((400, 200)), then=Then.ANY, or_closed=True),
    case("Transfer-Encoding in a trailer does not count", "RFC 9110, 6.5.1",
         chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), Answer((400, 200)), then=Then.ANY,
         or_closed=True),
    served("a trailer is no header", TRAILER,
           chunked(b"0\r\nX-Sum: 1\r\n\r\n", target=b"/scope"), passes=lambda scope: "x-sum" not in dict(scope["headers"])),
    case("no last chunk", CHUNK, chunked(b"5\r\nhello\r\n"), then=Then.WAITING),
    case("no end of the trailers", CHUNK, chunked(b"5\r\nhello\r\n0\r\n"), then=Then.WAITING),
    case("chunks that break off", "RFC 9112, 8", chunked(b"5\r\nhel"), then=Then.CLOSED, half_close=True),
    bad("a size in 0x", CHUNK, b"0x5\r\nhello\r\n" + END),
    bad("a signed size", CHUNK, b"+5\r\nhello\r\n" + END),
    bad("a negative size", CHUNK, b"-5\r\nhello\r\n" + END),
    bad("an underscore in a size", CHUNK, b"1_0\r\n0123456789abcdef\r\n" + END),
    bad("a size of letters", CHUNK, b"xyz\r\nhello\r\n" + END),
    refused("a size of 65 bits", CHUNK, chunked(b"10000000000000000\r\nhello\r\n" + END), or_waits=True),
    refused("a size of 68 bits", CHUNK, chunked(b"FFFFFFFFFFFFFFFFF\r\nhello\r\n" + END), or_waits=True),
    bad("an empty size", CHUNK, b"\r\nhello\r\n" + END),
    bad("a space before a size", CHUNK, b" 5\r\nhello\r\n" + END),
    bad("a space after a size", CHUNK, b"5 \r\nhello\r\n" + END),
    bad("a tab after a size", CHUNK, b"5\t\r\nhello\r\n" + END),
    bad("a size in two parts", CHUNK, b"5 5\r\nhello\r\n" + END),
    bad("a NUL in a size", CHUNK, b"5\0\r\nhello\r\n" + END),
    bad("a chunk longer than it says", CHUNK, b"5\r\nhello!!\r\n" + END),
    bad("a chunk shorter than it says", CHUNK, b"5\r\nhel\r\n" + END),
    bad("no line end after a chunk", CHUNK, b"5\r\nhello0\r\n\r\n"),
    bad("a bare LF after a size", LINES, b"5\nhello\r\n" + END, 400, 200),
    bad("a bare LF after a chunk", LINES, b"5\r\nhello\n" + END, 400, 200),
    bad("a bare LF at the end", LINES, b"5\r\nhello\r\n0\r\n\n", 400, 200),
    bad("a bare CR after a size", LINES, b"5\rhello\r\n" + END),
    bad("a bare CR after a chunk", LINES, b"5\r\nhello\r0\r\n\r\n"),
    bad("a bare CR in an extension", LINES, b"5;a\rb\r\nhello\r\n" + END),
    bad("a bare LF in an extension", LINES, b"5;a\nhello\r\n" + END, 400, 200),
    bad("a semicolon and nothing", EXTENSION, b"5;\r\nhello\r\n" + END),
    bad("a bracket in an extension", EXTENSION, b"5;a[=b\r\nhello\r\n" + END),
    bad("a NUL in an extension", EXTENSION, b"5;a\0b\r\nhello\r\n" + END),
    case("an extension without a name", EXTENSION, chunked(b"5;=b\r\nhello\r\n" + END), Answer((200, 400)),
         then=Then.ANY, or_closed=True),
    bad("an open quote in an extension", EXTENSION, b'5;a="b\r\nhello\r\n' + END),
    bad("an extension of 100 KB", EXTENSION, b"5;a=" + b"b" * 100_000 + b"\r\nhello\r\n" + END, 431, 400, 413),
    bad("an extension of 64 KB", EXTENSION, b"5;a=" + b"b" * 65_536 + b"\r\nhello\r\n" + END, 431, 400, 413),
    bad("extensions without end", EXTENSION, b"1;a=" + b"b" * 300_000, 431, 400, 413),
    bad("extensions of 200 KB in all", EXTENSION, (b"1;a=" + b"b" * 2000 + b"\r\nx\r\n") * 100 + END, 431, 400, 413),
    bad("a trailer of 100 KB", "RFC 9110, 5.4", b"0\r\nX-A: " + b"v" * 100_000 + b"\r\n\r\n", 431, 400, 413),
    bad("10,000 trailers", "RFC 9110, 5.4", b"0\r\n" + b"X-A: v\r\n" * 10_000 + b"\r\n", 431, 400, 413),
    bad("a folded trailer", "RFC 9112, 5.2", b"0\r\nX-A: v\r\n w\r\n\r\n", 400, 200),
    bad("a space before a trailer's colon", "RFC 9112, 5.1", b"0\r\nX-A : v\r\n\r\n"),
    bad("a trailer without a colon", "RFC 9112, 5", b"0\r\nX-A\r\n\r\n"),
    bad("a NUL in a trailer", "RFC 9110, 5.5", b"0\r\nX-A: a\0b\r\n\r\n"),
    bad("a control character in a trailer's name", "RFC 9110, 5.1", b"0\r\nX\x01A: v\r\n\r\n"),
    served("a request after a chunked one", "RFC 9112, 9.3.2",
           post(b"Transfer-Encoding: chunked", b"X: 1", body=b"5\r\nhello\r\n" + END), b"hello"),
)  # fmt: skip
