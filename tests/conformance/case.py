"""What a case is: bytes to send, and what has to come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

HOST = b"Host: a\r\n"


class Then(Enum):
    """What becomes of the connection after the answers."""

    OPEN = "open"  # the next request on it is answered
    CLOSED = "closed"  # and nothing more is said
    WAITING = "waiting"  # no answer yet, and not closed: the request is not whole
    ANY = "any"


@dataclass(frozen=True)
class Answer:
    """One response that has to come; what is None may be anything."""

    statuses: tuple[int, ...] = (200,)  # the first is this project's own answer, the others are as right
    body: bytes | None = None  # where several statuses are right, of 200
    headers: dict[str, str | None] = field(default_factory=dict)  # None: the header must not be there
    inside: dict[str, Any] | None = None  # of a body in JSON
    to_head: bool = False  # the answer to HEAD: its length says nothing of its body
    passes: Callable[[Any], bool] | None = None  # of a body in JSON


@dataclass(frozen=True, eq=False)
class Case:
    """One question to a server. `section` is what makes the answer right."""

    name: str
    section: str
    sends: tuple[bytes, ...]  # sent one after the other, with a pause between
    answers: tuple[Answer, ...]
    then: Then = Then.OPEN
    half_close: bool = False  # the client ends its side after the last of them
    or_closed: bool = False  # to close without an answer is as right
    or_cut: bool = False  # and so is an answer that breaks off
    or_open: bool = False  # and to go on after an answer other than this project's own
    or_waits: bool = False  # and to wait for more
    or_continue: bool = False  # and a 100 before the answer
    cut: bool = False  # the answer has to break off


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Outcome:
    """What did come back."""

    responses: list[Response] = field(default_factory=list)
    then: Then | None = None
    broken: str = ""
    cut: bool = False


def case(
    name: str, section: str, sends: bytes | tuple[bytes, ...], *answers: Answer, then: Then = Then.OPEN, **more: Any
) -> Case:
    return Case(name, section, (sends,) if isinstance(sends, bytes) else sends, answers, then, **more)


def refused(name: str, section: str, sends: bytes | tuple[bytes, ...], *statuses: int, **more: Any) -> Case:
    """A request that gets one of `statuses` (the first is ours) or no answer, and a close."""
    statuses = statuses or (400,)
    return case(
        name, section, sends, Answer(statuses), then=Then.CLOSED, or_closed=True, or_open=200 in statuses, **more
    )


def served(name: str, section: str, sends: bytes | tuple[bytes, ...], body: bytes | None = None, **more: Any) -> Case:
    """A request that is answered with 200, on a connection that goes on."""
    then = more.pop("then", Then.OPEN)
    return case(name, section, sends, Answer(body=body, **more), then=then)


def fields(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


def get(target: bytes = b"/", *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + HOST + fields(*lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    return get(target, *lines, method=b"POST", version=version) + body


def chunked(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body, target=target)


def judge(wanted: Case, outcome: Outcome, *, strict: bool = False) -> str:
    """What is wrong with the outcome, or nothing. `strict` takes this project's own answers only."""
    if wanted.cut:
        return "" if outcome.cut else f"an answer that breaks off wanted; got {outcome.responses or outcome.broken}"
    if not strict and _as_right(wanted, outcome):
        return ""
    if outcome.broken:
        return outcome.broken
    if len(outcome.responses) != len(wanted.answers):
        got = ", ".join(str(response.status) for response in outcome.responses) or "no answer"
        return f"{len(wanted.answers)} answers wanted; got {got}"
    for answer, response in zip(wanted.answers, outcome.responses, strict=True):
        if wrong := _compare(answer, response, strict):
            return wrong
    other = outcome.responses and outcome.responses[-1].status != wanted.answers[-1].statuses[0]
    if wanted.or_open and other and not strict:
        return ""
    if wanted.then is not Then.ANY and outcome.then is not wanted.then:
        return f"the connection is to be {wanted.then.value} then; it is {outcome.then and outcome.then.value}"
    return ""


def _as_right(wanted: Case, outcome: Outcome) -> bool:
    """Whether there was no whole answer, and need not be one."""
    if outcome.cut:
        return wanted.or_cut
    if outcome.broken or len(outcome.responses) >= len(wanted.answers):
        return False
    return (wanted.or_closed and outcome.then is Then.CLOSED) or (wanted.or_waits and outcome.then is Then.WAITING)


def _compare(answer: Answer, response: Response, strict: bool) -> str:
    allowed = answer.statuses[:1] if strict else answer.statuses
    if response.status not in allowed:
        return f"status {' or '.join(map(str, allowed))} wanted; got {response.status} {response.body[:60]!r}"
    bodied = response.status == 200 or len(answer.statuses) == 1
    if answer.body is not None and bodied and response.body != answer.body:
        return f"body {answer.body[:60]!r} wanted; got {response.body[:60]!r}"
    for name, value in answer.headers.items():
        values = response.values(name)
        if (value is None and values) or (value is not None and values != [value]):
            return f"header {name}: {value} wanted; got {values}"
    if answer.inside is None and answer.passes is None:
        return ""
    try:
        found = json.loads(response.body)
    except ValueError:
        return f"JSON wanted; got {response.body[:60]!r}"
    for key, value in (answer.inside or {}).items():
        if found.get(key) != value:
            return f"{key} {value!r} wanted; got {found.get(key)!r}"
    if answer.passes is not None and not answer.passes(found):
        return f"not as wanted: {found!r}"
    return ""
