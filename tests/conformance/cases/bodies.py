"""Where a body ends (RFC 9112, section 6; RFC 9110, section 8.6)."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Answer, Case, Then, case, get, post, refused, served

LENGTH = "RFC 9110, 8.6"
FRAMING = "RFC 9112, 6.3"
CODING = "RFC 9112, 6.1"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def length(name: str, value: bytes, body: bytes = b"abc", **more: Any) -> Case:
    return refused(name, LENGTH, post(b"Content-Length: " + value, body=body), **more)


def coding(name: str, value: bytes, *statuses: int, section: str = CODING) -> Case:
    return refused(name, section, post(b"Transfer-Encoding: " + value, body=CHUNKS), *statuses)


def both(name: str, section: str, *lines: bytes) -> Case:
    """Content-Length and Transfer-Encoding: what follows could be smuggled, so nothing may be made of it.

    A server may go by Transfer-Encoding, but has to close.
    """
    answer = Answer((400, 501, 200))
    return case(name, section, post(*lines, body=CHUNKS + get(b"/smuggled")), answer, then=Then.CLOSED, or_closed=True)


CASES: tuple[Case, ...] = (
    served("a body of its length", FRAMING, post(b"Content-Length: 3", body=b"abc"), b"abc"),
    served("a body in pieces", FRAMING, (post(b"Content-Length: 3", body=b"a"), b"b", b"c"), b"abc"),
    served("an empty body", FRAMING, post(b"Content-Length: 0"), b""),
    served("a body of 200 KB", FRAMING, post(b"Content-Length: 200000", body=b"x" * 200_000), b"x" * 200_000),
    served("white space around Content-Length", "RFC 9110, 5.5", post(b"Content-Length:  3 ", body=b"abc"), b"abc"),
    served("a tab before Content-Length", "RFC 9110, 5.5", post(b"Content-Length:\t3", body=b"abc"), b"abc"),
    served("a body of bytes", FRAMING, post(b"Content-Length: 4", body=b"\0\r\n\xff"), b"\0\r\n\xff"),
    served("a body that looks like a request", FRAMING, post(b"Content-Length: %d" % len(get()), body=get()), get()),
    served("Content-Length in upper case", "RFC 9110, 5.1", post(b"CONTENT-LENGTH: 3", body=b"abc"), b"abc"),
    case("a body that is not all there", FRAMING, post(b"Content-Length: 10", body=b"abc"), then=Then.WAITING),
    case("a huge length and no body", FRAMING, post(b"Content-Length: 999999999"), then=Then.WAITING),
    case("a body that breaks off", "RFC 9112, 8", post(b"Content-Length: 10", body=b"abc"), then=Then.CLOSED,
         half_close=True),
    length("a signed length", b"+3"),
    length("a negative length", b"-3"),
    length("a length of minus zero", b"-0", b""),
    length("a length in hex", b"0x3"),
    length("a length in octal", b"0o3"),
    length("a length with an underscore", b"0_3"),
    length("a length with a space in it", b"1 0", b"0123456789"),
    length("a length with a dot", b"3.0"),
    length("a length with an exponent", b"3e0"),
    length("a length of letters", b"abc"),
    length("a length in quotes", b'"3"'),
    length("an empty length", b""),
    length("a length in other digits", b"\xd9\xa3"),
    length("a length of 20 digits", b"99999999999999999999", or_waits=True),
    length("a length of 2 to the 64th", b"18446744073709551616", or_waits=True),
    length("a length of 40 digits", b"1" * 40, or_waits=True),
    length("two lengths in a list", b"3, 4"),
    refused("one length twice in a list", LENGTH, post(b"Content-Length: 3, 3", body=b"abc"), 400, 200),
    length("a length and a comma", b"3,"),
    length("a comma and a length", b",3"),
    refused("two lengths", FRAMING, post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd")),
    refused("two lengths, the second one less", FRAMING, post(b"Content-Length: 4", b"Content-Length: 0", body=b"abcd")),
    refused("one length twice", LENGTH, post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400, 200),
    both("Transfer-Encoding, then Content-Length", CODING, b"Transfer-Encoding: chunked", b"Content-Length: 3"),
    both("Content-Length, then Transfer-Encoding", CODING, b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    both("Content-Length of 0 and Transfer-Encoding", CODING, b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    both("Content-Length and an unknown coding", CODING, b"Content-Length: 3", b"Transfer-Encoding: xchunked"),
    both("Content-Length and identity", CODING, b"Content-Length: 3", b"Transfer-Encoding: identity"),
    both("Content-Length and an empty Transfer-Encoding", CODING, b"Content-Length: 3", b"Transfer-Encoding:"),
    both("Content-Length and chunked with a vertical tab", CODING, b"Content-Length: 3", b"Transfer-Encoding: \x0bchunked"),
    both("Content-Length and chunked with a NUL", CODING, b"Content-Length: 3", b"Transfer-Encoding: chunked\0"),
    both("Content-Length and two codings", CODING, b"Content-Length: 3", b"Transfer-Encoding: chunked",
         b"Transfer-Encoding: identity"),
    served("chunked", "RFC 9112, 7.1", post(b"Transfer-Encoding: chunked", body=CHUNKS), b"abc"),
    served("Chunked in another case", "RFC 9112, 7", post(b"Transfer-Encoding: CHUNKED", body=CHUNKS), b"abc"),
    served("white space around chunked", "RFC 9110, 5.5", post(b"Transfer-Encoding: \tchunked ", body=CHUNKS), b"abc"),
    coding("an unknown coding", b"xchunked", 501, 400),
    coding("gzip alone", b"gzip", 501, 400),
    coding("identity", b"identity", 501, 400),
    coding("an unknown coding before chunked", b"gzip, chunked", 501, 400),
    coding("chunked is not the last", b"chunked, gzip", 400, section=FRAMING),
    coding("chunked twice", b"chunked, chunked", 400, 501),
    coding("chunked with a parameter", b"chunked;a=b", 400, 501, section="RFC 9112, 7"),
    coding("an empty coding", b"", 400, 501),
    coding("chunked in quotes", b'"chunked"', 400, 501),
    refused("chunked twice in two fields", CODING,
            post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS), 400, 501),
    refused("chunked and gzip in two fields", FRAMING,
            post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", body=CHUNKS)),
    refused("chunked in HTTP/1.0", CODING, post(b"Transfer-Encoding: chunked", body=CHUNKS, version=b"1.0"), 400, 501),
    refused("chunked in a GET of HTTP/1.0", CODING,
            get(b"/", b"Transfer-Encoding: chunked", version=b"1.0") + CHUNKS, 400, 501),
    served("Transfer_Encoding is another field", "RFC 9110, 5.1",
           post(b"Transfer_Encoding: chunked", b"Content-Length: 3", body=b"abc"), b"abc"),
    served("Content-Length of a GET of 0", LENGTH, get(b"/", b"Content-Length: 0"), b""),
)  # fmt: skip
