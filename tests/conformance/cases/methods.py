"""The request line and its method (RFC 9112, section 3; RFC 9110, section 9)."""

from __future__ import annotations

from tests.conformance.case import HOST, Answer, Case, Then, case, get, post, refused, served

LINE = "RFC 9112, 3"
METHODS = "RFC 9110, 9.1"
TAIL = b"\r\n" + HOST + b"\r\n"


def unknown(name: str, method: bytes) -> Case:
    answer = Answer((501, 200, 405, 404), body=method)
    return case(name, METHODS, get(b"/method", method=method), answer, then=Then.ANY)


CASES: tuple[Case, ...] = (
    *(
        served(f"{name.decode()} reaches the application", METHODS, get(b"/method", method=name), name)
        for name in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"PURGE")
    ),
    served("HEAD has no body", "RFC 9110, 9.3.2", get(b"/hello", method=b"HEAD"), to_head=True,
           headers={"content-length": "5"}),
    served("HEAD of a stream has no body", "RFC 9110, 9.3.2", get(b"/stream", method=b"HEAD"), to_head=True),
    served("POST without a body", "RFC 9112, 6.3", post(), b""),
    served("GET with a body", "RFC 9110, 9.3.1", get(b"/", b"Content-Length: 3") + b"abc", b"abc"),
    served("DELETE with a body", "RFC 9110, 9.3.5", get(b"/", b"Content-Length: 3", method=b"DELETE") + b"abc", b"abc"),
    served("OPTIONS with a body", "RFC 9110, 9.3.7", get(b"/", b"Content-Length: 3", method=b"OPTIONS") + b"abc",
           b"abc"),
    case("HEAD with a body", "RFC 9110, 9.3.2", get(b"/", b"Content-Length: 3", method=b"HEAD") + b"abc",
         Answer(to_head=True)),
    unknown("an unknown method is no syntax error", b"BREW"),
    unknown("an unknown method with a dash", b"X-BREW"),
    unknown("an unknown method in all characters of a token", b"!#$%&'*+-.^_`|~09Az"),
    case("a method in lower case is another method", METHODS, get(b"/method", method=b"get"),
         Answer((501, 400, 405, 404, 200), body=b"get"), then=Then.ANY, or_closed=True),
    refused("CONNECT is for proxies", "RFC 9110, 9.3.6", get(b"a:80", method=b"CONNECT"), 501, 400, 405),
    # A recipient may take the words of the line apart by white space, whatever there is of it.
    case("two spaces after the method", LINE, b"GET  / HTTP/1.1" + TAIL, Answer((200, 400)), then=Then.ANY,
         or_closed=True),
    case("two spaces before the version", LINE, b"GET /  HTTP/1.1" + TAIL, Answer((200, 400)), then=Then.ANY,
         or_closed=True),
    refused("a space before the method", LINE, b" GET / HTTP/1.1" + TAIL),
    refused("a space after the version", LINE, b"GET / HTTP/1.1 " + TAIL),
    refused("a tab after the method", LINE, b"GET\t/ HTTP/1.1" + TAIL),
    refused("a tab before the version", LINE, b"GET /\tHTTP/1.1" + TAIL),
    refused("no target", LINE, b"GET HTTP/1.1" + TAIL),
    refused("no target but its spaces", LINE, b"GET  HTTP/1.1" + TAIL),
    refused("a method alone", LINE, b"GET" + TAIL),
    refused("a space in the target", "RFC 9112, 3.2", b"GET /a b HTTP/1.1" + TAIL),
    refused("no method", LINE, b"/ HTTP/1.1" + TAIL),
    refused("a method in brackets", "RFC 9110, 5.6.2", b"(GET) / HTTP/1.1" + TAIL),
    refused("a method with a colon", "RFC 9110, 5.6.2", b"GET: / HTTP/1.1" + TAIL),
    refused("a method with a NUL", "RFC 9110, 5.6.2", b"GE\0T / HTTP/1.1" + TAIL),
    refused("a method that is not ASCII", "RFC 9110, 5.6.2", b"G\xc3\x8aT / HTTP/1.1" + TAIL),
    refused("a method of 100 KB", METHODS, b"A" * 100_000 + b" / HTTP/1.1" + TAIL, 400, 501, 414, 431),
    refused("text in front of the method", LINE, b"Extra lineGET / HTTP/1.1" + TAIL, 400, 501, 505),
    refused("a line of white space", "RFC 9112, 2.2", b"   \r\n\r\n"),
    refused("bytes at random", "RFC 9112, 2.2", bytes(range(128, 256)) + b"\r\n\r\n"),
    refused("TLS on a plain port", "RFC 9112, 2.2", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)),
    refused("a response in place of a request", LINE, b"HTTP/1.1 200 OK\r\n\r\n"),
    served("an empty line before the request", "RFC 9112, 2.2", b"\r\n" + get(), b""),
    served("two empty lines before the request", "RFC 9112, 2.2", b"\r\n\r\n" + get(), b""),
    served("an empty line after a body", "RFC 9112, 2.2", post(b"Content-Length: 1", body=b"x\r\n"), b"x"),
    refused("a bare CR ends the request line", "RFC 9112, 2.2", b"GET / HTTP/1.1\r" + HOST + b"\r\n"),
    refused("a bare LF ends the request line", "RFC 9112, 2.2", b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400, 200),
    served("a request line of 8000 bytes", LINE, get(b"/hello?" + b"x" * 7970), b"hello"),
    refused("a request line of 100 KB", LINE, get(b"/" + b"x" * 100_000), 414, 400, 431),
    refused("a query of 100 KB", LINE, get(b"/?" + b"x" * 100_000), 414, 400, 431),
    refused("a request line without end", LINE, b"GET /" + b"x" * 300_000, 414, 400, 431),
)  # fmt: skip
