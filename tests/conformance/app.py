"""The application that the cases are put to. It runs under any ASGI server: `tests.conformance.app:app`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

TEXT = (b"content-type", b"text/plain")


async def answer(send: Any, body: bytes, status: int = 200, headers: Any = ()) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [TEXT, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Any, value: Any) -> None:
    await answer(send, json.dumps(value, default=lambda raw: raw.decode("latin-1")).encode())


async def whole_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client is gone")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, await whole_body(receive))


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello")


async def show_scope(scope: Any, receive: Any, send: Any) -> None:
    await answer_json(send, {key: value for key, value in scope.items() if key != "app"})


async def events(scope: Any, receive: Any, send: Any) -> None:
    """What receive() says until the body is whole, and the kinds and types of it."""
    seen = []
    while True:
        message = await receive()
        seen.append([message["type"], type(message.get("body")).__name__, message.get("more_body")])
        if not message.get("more_body", False):
            break
    await answer_json(send, {"last": seen[-1], "types": sorted({entry[0] for entry in seen})})


async def slow(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.05)
    await answer(send, b"slow")


async def method(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, scope["method"].encode())


def sends(*messages: dict[str, Any]) -> Callable[..., Awaitable[None]]:
    async def send_all(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return send_all


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def two_after_start(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    try:
        await send(start())
    except Exception:
        await send(body(b"caught"))


async def after_the_end(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"done")
    await send(body(b"more"))


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("on purpose")


async def raises_later(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, (b"content-length", b"10")))
    await send(body(b"01234", True))
    raise ValueError("on purpose")


async def exits(scope: Any, receive: Any, send: Any) -> None:
    raise SystemExit(1)


async def interrupts(scope: Any, receive: Any, send: Any) -> None:
    raise KeyboardInterrupt


async def cancels(scope: Any, receive: Any, send: Any) -> None:
    raise asyncio.CancelledError


async def silent(scope: Any, receive: Any, send: Any) -> None:
    return


async def disconnect_after_answer(scope: Any, receive: Any, send: Any) -> None:
    await whole_body(receive)
    await answer(send, b"bye")
    NOTES["after answer"] = (await receive())["type"]


async def receives_twice(scope: Any, receive: Any, send: Any) -> None:
    """A second receive() must wait while the client is there: the first said all of the body."""
    await receive()
    try:
        second = await asyncio.wait_for(receive(), 0.05)
        await answer(send, second["type"].encode())
    except TimeoutError:
        await answer(send, b"waits")


async def notes(scope: Any, receive: Any, send: Any) -> None:
    await answer_json(send, NOTES)


async def mutates_scope(scope: Any, receive: Any, send: Any) -> None:
    seen = scope["state"].get("mark") if "state" in scope else None
    if "state" in scope:
        scope["state"]["mark"] = "set"
    scope["headers"].append((b"x-mine", b"1"))
    await answer(send, str(seen).encode())


async def state(scope: Any, receive: Any, send: Any) -> None:
    shared = scope.get("state", {})
    await answer(send, str(shared.get("from lifespan")).encode())


async def trailers(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.trailers" not in scope.get("extensions", {}):
        await answer(send, b"not announced")
        return
    await send(start(200, (b"trailer", b"x-sum"), trailers=True))
    await send(body(b"abc"))
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"6")], "more_trailers": False})


async def early_hint(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.early_hint" in scope.get("extensions", {}):
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await answer(send, b"hinted")


async def pathsend(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.pathsend" not in scope.get("extensions", {}):
        await answer(send, b"not announced")
        return
    await send(start(200))
    await send({"type": "http.response.pathsend", "path": __file__})


async def zerocopysend(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.zerocopysend" not in scope.get("extensions", {}):
        await answer(send, b"not announced")
        return
    with open(__file__, "rb") as file:
        await send(start(200))
        await send({"type": "http.response.zerocopysend", "file": file.fileno(), "offset": 4, "count": 13})


EVIL = b"a\r\nx-evil: 1"
NOTES: dict[str, str] = {}
ROUTES: dict[str, Any] = {
    "/": echo,
    "/hello": hello,
    "/scope": show_scope,
    "/events": events,
    "/slow": slow,
    "/method": method,
    "/notes": notes,
    "/state": state,
    "/mutate": mutates_scope,
    "/receive-twice": receives_twice,
    "/disconnect": disconnect_after_answer,
    # responses
    "/no-length": sends(start(), body(b"hello")),
    "/stream": sends(start(), body(b"one", True), body(b"two", True), body(b"", True), body(b"three")),
    "/stream-length": sends(start(200, (b"content-length", b"6")), body(b"one", True), body(b"two")),
    "/no-more-body-key": sends(start(), {"type": "http.response.body"}),
    "/no-headers-key": sends({"type": "http.response.start", "status": 200}, body(b"hello")),
    "/list-headers": sends({"type": "http.response.start", "status": 200, "headers": [[b"x-a", b"1"]]}, body(b"x")),
    "/many-headers": sends(start(200, *((b"x-%d" % i, b"v") for i in range(100))), body(b"x")),
    "/upper-header": sends(start(200, (b"X-Upper", b"1")), body(b"x")),
    "/repeated-header": sends(start(200, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")), body(b"x")),
    "/obs-text": sends(start(200, (b"x-text", b"caf\xe9")), body(b"x")),
    "/own-date": sends(start(200, (b"date", b"today"), (b"server", b"me")), body(b"x")),
    "/close": sends(start(200, (b"connection", b"close"), (b"content-length", b"1")), body(b"x")),
    "/own-chunked": sends(start(200, (b"transfer-encoding", b"chunked")), body(b"hello", True), body(b"")),
    "/204": sends(start(204), body()),
    "/204-length": sends(start(204, (b"content-length", b"0")), body()),
    "/304": sends(start(304, (b"etag", b'"x"')), body()),
    "/304-length": sends(start(304, (b"content-length", b"5")), body()),
    "/205": sends(start(205, (b"content-length", b"0")), body()),
    "/404": sends(start(404, (b"content-length", b"2")), body(b"no")),
    "/299": sends(start(299, (b"content-length", b"1")), body(b"x")),
    "/599": sends(start(599, (b"content-length", b"1")), body(b"x")),
    "/large": sends(start(200, (b"content-length", b"1000000")), body(b"x" * 1_000_000)),
    "/large-stream": sends(start(), *(body(b"x" * 10_000, True) for _ in range(50)), body()),
    # mistakes
    "/raise": raises,
    "/raise-later": raises_later,
    "/exit": exits,
    "/interrupt": interrupts,
    "/cancel": cancels,
    "/silent": silent,
    "/start-only": sends(start()),
    "/body-first": sends(body(b"x")),
    "/start-twice": two_after_start,
    "/after-the-end": after_the_end,
    "/too-long": sends(start(200, (b"content-length", b"3")), body(b"abcdef")),
    "/too-long-stream": sends(start(200, (b"content-length", b"3")), body(b"ab", True), body(b"cdef")),
    "/too-short": sends(start(200, (b"content-length", b"10")), body(b"abc")),
    "/too-short-stream": sends(start(200, (b"content-length", b"10")), body(b"abc", True), body(b"d")),
    "/never-ends": sends(start(200, (b"content-length", b"10")), body(b"abc", True)),
    "/never-ends-chunked": sends(start(), body(b"abc", True)),
    "/inject-value": sends(start(200, (b"x-a", EVIL)), body(b"x")),
    "/inject-lf": sends(start(200, (b"x-a", b"a\nx-evil: 1")), body(b"x")),
    "/inject-nul": sends(start(200, (b"x-a", b"a\0b")), body(b"x")),
    "/inject-name": sends(start(200, (b"x-a: 1\r\nx-evil", b"1")), body(b"x")),
    "/space-in-name": sends(start(200, (b"x a", b"1")), body(b"x")),
    "/empty-name": sends(start(200, (b"", b"1")), body(b"x")),
    "/text-header": sends(start(200, ("x-a", "1")), body(b"x")),  # type: ignore[arg-type]
    "/text-body": sends(start(200), {"type": "http.response.body", "body": "text"}),
    "/text-status": sends(start("200"), body(b"x")),  # type: ignore[arg-type]
    "/status-100": sends(start(100), body(b"x")),
    "/status-99": sends(start(99), body(b"x")),
    "/status-1000": sends(start(1000), body(b"x")),
    "/two-lengths": sends(start(200, (b"content-length", b"1"), (b"content-length", b"2")), body(b"x")),
    "/wrong-length": sends(start(200, (b"content-length", b"one")), body(b"x")),
    "/negative-length": sends(start(200, (b"content-length", b"-1")), body(b"x")),
    "/unknown-message": sends({"type": "http.response.unheard"}),
    "/websocket-message": sends({"type": "websocket.accept"}),
    "/204-body": sends(start(204), body(b"x")),
    "/304-body": sends(start(304), body(b"x")),
    # extensions
    "/trailers": trailers,
    "/early-hint": early_hint,
    "/pathsend": pathsend,
    "/zerocopysend": zerocopysend,
}


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    scope.get("state", {})["from lifespan"] = "kept"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await ROUTES.get(scope["path"], show_scope)(scope, receive, send)
    else:
        await receive()
        await send({"type": "websocket.close"})
