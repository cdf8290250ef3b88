"""What the application is told and may say (ASGI specification 3.0, "HTTP & WebSocket" and "Extensions")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conformance import app
from tests.conformance.case import Answer, Case, Then, case, chunked, get, post, served

SCOPE = "ASGI, HTTP scope"
RECEIVE = "ASGI, Request receive event"
APP = Path(app.__file__).read_bytes()
WHOLE = ["http.request", "bytes", False]


def scope(name: str, passes: Any, *lines: bytes, section: str = SCOPE) -> Case:
    return served(name, section, get(b"/scope", *lines), passes=passes)


def announced(name: str) -> Any:
    return lambda scope: name in scope.get("extensions", {})


def extension(name: str, target: bytes, *answers: Answer) -> Case:
    return case(name, "ASGI, Extensions", get(target), *answers)


CASES: tuple[Case, ...] = (
    scope("type and version", lambda scope: scope["type"] == "http" and scope["asgi"]["version"] == "3.0"),
    scope("a version of the specification", lambda scope: scope["asgi"]["spec_version"] >= "2.0"),
    scope("the scheme", lambda scope: scope["scheme"] == "http"),
    scope("the method", lambda scope: scope["method"] == "GET"),
    scope("the root path is empty by default", lambda scope: scope.get("root_path", "") == ""),
    scope("client and server are a host and a port",
          lambda scope: len(scope["client"]) == len(scope["server"]) == 2 and isinstance(scope["client"][1], int)),
    scope("headers are pairs, in order", lambda scope: [pair[0] for pair in scope["headers"]] == ["host", "x-b", "x-a"],
          b"X-B: 1", b"X-A: 2"),
    scope("a cookie in two fields is not joined wrongly",
          lambda scope: [value for name, value in scope["headers"] if name == "cookie"] in (["a=1", "b=2"], ["a=1; b=2"]),
          b"Cookie: a=1", b"Cookie: b=2"),
    scope("extensions are a dictionary", lambda scope: isinstance(scope.get("extensions", {}), dict)),
    served("state of the lifespan", "ASGI, Lifespan state", get(b"/state"), b"kept"),
    case("each request has its own copy of the state", "ASGI, Lifespan state", get(b"/mutate") + get(b"/mutate"),
         Answer(body=b"None"), Answer(body=b"None")),
    served("receive: no body", RECEIVE, get(b"/events"), inside={"last": WHOLE}),
    served("receive: a body", RECEIVE, post(b"Content-Length: 3", body=b"abc", target=b"/events"), inside={"last": WHOLE}),
    served("receive: chunks", RECEIVE, chunked(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", target=b"/events"),
           inside={"last": WHOLE, "types": ["http.request"]}),
    served("receive: a large body", RECEIVE, post(b"Content-Length: 300000", body=b"x" * 300_000, target=b"/events"),
           inside={"last": WHOLE, "types": ["http.request"]}),
    served("receive waits while the client is there", "ASGI, Disconnect receive event", get(b"/receive-twice"), b"waits"),
    case("receive says disconnect after the answer", "ASGI, Disconnect receive event",
         (get(b"/disconnect"), get(b"/notes")), Answer(body=b"bye"), Answer(inside={"after answer": "http.disconnect"})),
)  # fmt: skip

EXTENSIONS: tuple[Case, ...] = (
    served("trailers are announced", "ASGI, HTTP Trailers", get(b"/scope"), passes=announced("http.response.trailers")),
    served("trailers are not announced to HTTP/1.0", "ASGI, HTTP Trailers", get(b"/scope", version=b"1.0"),
           passes=lambda scope: not announced("http.response.trailers")(scope), then=Then.CLOSED),
    extension("trailers are sent", b"/trailers", Answer(body=b"abc", headers={"trailer x-sum": "6", "trailer": "x-sum"})),
    served("early hints are announced", "ASGI, Early Hints", get(b"/scope"), passes=announced("http.response.early_hint")),
    served("early hints are not announced to HTTP/1.0", "RFC 9110, 15.2", get(b"/scope", version=b"1.0"),
           passes=lambda scope: not announced("http.response.early_hint")(scope), then=Then.CLOSED),
    extension("early hints are sent", b"/early-hint", Answer((103,), headers={"link": "</a.css>; rel=preload"}),
              Answer(body=b"hinted")),
    served("path send is announced", "ASGI, Path Send", get(b"/scope"), passes=announced("http.response.pathsend")),
    extension("a file is sent by its path", b"/pathsend", Answer(body=APP)),
    served("HEAD of a file", "ASGI, Path Send", get(b"/pathsend", method=b"HEAD"), to_head=True,
           headers={"content-length": str(len(APP))}),
    served("zero copy send is announced", "ASGI, Zero Copy Send", get(b"/scope"),
           passes=announced("http.response.zerocopysend")),
    extension("a part of a file is sent", b"/zerocopysend", Answer(body=APP[4:17])),
)  # fmt: skip
