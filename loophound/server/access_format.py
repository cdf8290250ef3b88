"""`--access-log-format`: a line of the user's own, with the atoms that gunicorn and Apache share.

`%(h)s` and `%h` are one atom, `%({User-Agent}i)s` and `%{User-Agent}i` likewise. A format is read once; a line is
then one function per atom and one `%`. What the client has written is escaped as Apache does it: backslash, quote
and control characters, so that no client can forge a line or an end of a field.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from loophound.errors import ConfigError
from loophound.server.asgi import Application, Message, Receive, Scope, Send
from loophound.server.heads import PHRASES


class Request(Protocol):
    """What a line tells of: `cycle.Cycle`, once it is answered."""

    scope: dict[str, Any]
    target: bytes
    status: int
    began_ns: int
    ended_ns: int


Atom: TypeAlias = Callable[[Request], object]

NAMED = {
    "common": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s',
    "combined": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
}
# A key of the scope of requests: what the application has answered, for the atoms that tell of it.
NOTE = "loophound.answer"
_BODILESS = (204, 304)

_ATOM = re.compile(r"%(?:%|\(([^)]+)\)s|(>?[A-Za-z])|(\{[^}]*\}[A-Za-z]))")
_NAMED_ATOM = re.compile(r"\{([^}]+)\}([ioe])")
_ESCAPED = re.compile(r'[\\"\x00-\x1f\x7f-\x9f]')


class Answer:
    """What an application has sent."""

    __slots__ = ("body_bytes", "headers")

    def __init__(self) -> None:
        self.headers: Any = ()
        self.body_bytes = 0


def noting_answers(app: Application) -> Application:
    """`app`, with an `Answer` in each scope: around the application only where the format asks for it."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        answer = scope[NOTE] = Answer()

        async def noting_send(message: Message) -> None:
            if "headers" in message:
                answer.headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
            answer.body_bytes += len(message.get("body", b""))
            await send(message)  # last, for the line is written within the last one

        await app(scope, receive, noting_send)

    return noted


class LineFormat:
    """A format, ready for use in the worker of that number. Raises ConfigError for an atom that there is none of."""

    def __init__(self, text: str, worker: int = 0) -> None:
        self._worker = f"{worker or '-'}"
        self._atoms: list[Atom] = []
        self._asks_for_answers = False
        template = ""
        at = 0
        text = NAMED.get(text, text)
        for match in _ATOM.finditer(text):
            template += _literal(text[at : match.start()])
            at = match.end()
            name = match[1] or (match[2] or "").removeprefix(">") or match[3]
            if not name:
                template += "%%"
                continue
            template += "%s"
            self._atoms.append(self._atom(name))
        self._template = template + _literal(text[at:])

    def __call__(self, request: Request) -> str:
        return self._template % tuple([atom(request) for atom in self._atoms])

    def around(self, app: Application) -> Application:
        """`app`, watched where the format tells of what it answers."""
        return noting_answers(app) if self._asks_for_answers else app

    def _atom(self, name: str) -> Atom:
        named = _NAMED_ATOM.fullmatch(name)
        self._asks_for_answers |= name in ("B", "b") or (named is not None and named[2] == "o")
        if name in ATOMS:
            return ATOMS[name]
        if name == WORKER:
            return lambda _: self._worker
        if named is None:
            known = ", ".join(f"%({known})s" for known in (*ATOMS, WORKER))
            raise ConfigError(
                f"--access-log-format has no atom %({name})s; known are {known}, %({{name}}i)s, %({{name}}o)s and"
                " %({name}e)s"
            )
        key, kind = named.groups()
        if kind == "e":
            value = os.environ.get(key, "-")
            return lambda _: value
        header = key.lower().encode("latin-1", "replace")
        return request_header(header) if kind == "i" else _response_header(header)


def _literal(text: str) -> str:
    if "%" in text:
        raise ConfigError(f"--access-log-format has a % that begins no atom in {text!r}; %% stands for itself")
    return text


def escaped(text: str) -> str:
    """Safe between quotes in a line."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: "\\" + found[0] if found[0] in '"\\' else f"\\x{ord(found[0]):02x}", text)


def request_header(name: bytes) -> Atom:
    """The atom of a request's header; those of one name are joined."""
    return lambda request: _joined(value for key, value in request.scope["headers"] if key == name)


def _response_header(name: bytes) -> Atom:
    def atom(request: Request) -> str:
        answer = request.scope.get(NOTE)
        return _joined(value for key, value in answer.headers if key.lower() == name) if answer else "-"

    return atom


def _joined(values: Any) -> str:
    text = ", ".join(value.decode("latin-1") for value in values)
    return escaped(text) if text else "-"


def _target(request: Request) -> str:
    return escaped(request.target.decode("latin-1"))


def _host(request: Request) -> str:
    client = request.scope.get("client")
    return f"{client[0]}" if client else "unix"


def _client(request: Request) -> str:
    client = request.scope.get("client")
    if not client:
        return "unix"
    return f"[{client[0]}]:{client[1]}" if ":" in f"{client[0]}" else f"{client[0]}:{client[1]}"


def _user(request: Request) -> str:
    """The name of Basic authentication (RFC 7617)."""
    from base64 import b64decode

    for name, value in request.scope["headers"]:
        scheme, _, credentials = value.partition(b" ")
        if name == b"authorization" and scheme.lower() == b"basic":
            try:
                return escaped(b64decode(credentials, validate=True).partition(b":")[0].decode()) or "-"
            except ValueError:
                return "-"
    return "-"


class _Clock:
    """The time of a line as Apache writes it, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self, _: Request) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(second))
        return self._text


def _duration_ns(request: Request) -> int:
    return request.ended_ns - request.began_ns


def _body_bytes(request: Request) -> int:
    answer = request.scope.get(NOTE)
    if answer is None or request.scope["method"] == "HEAD" or request.status in _BODILESS:
        return 0
    return int(answer.body_bytes)


WORKER = "w"
# In gunicorn's words; `w` besides, `c`, `S`, `R` and `st` are further ones.
ATOMS: dict[str, Atom] = {
    "h": _host,
    "c": _client,
    "l": lambda _: "-",
    "u": _user,
    "t": _Clock(),
    "r": lambda request: f"{request.scope['method']} {_target(request)} HTTP/{request.scope['http_version']}",
    "m": lambda request: request.scope["method"],
    "U": lambda request: _target(request).partition("?")[0],
    "q": lambda request: _target(request).partition("?")[2],
    "R": _target,
    "S": lambda request: request.scope["scheme"],
    "H": lambda request: f"HTTP/{request.scope['http_version']}",
    "s": lambda request: request.status,
    "st": lambda request: PHRASES.get(request.status, "").partition(" ")[2],
    "B": _body_bytes,
    "b": lambda request: _body_bytes(request) or "-",
    "f": request_header(b"referer"),
    "a": request_header(b"user-agent"),
    "T": lambda request: _duration_ns(request) // 1_000_000_000,
    "M": lambda request: _duration_ns(request) // 1_000_000,
    "D": lambda request: _duration_ns(request) // 1_000,
    "L": lambda request: f"{_duration_ns(request) / 1e9:.6f}",
    "p": lambda _: f"<{os.getpid()}>",
}
