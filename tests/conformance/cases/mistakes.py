"""An application that breaks the rules: the wire stays right, and the server lives (ASGI, "Error handling")."""

from __future__ import annotations

from tests.conformance.case import Answer, Case, Then, case, get

SEND = "ASGI, Response send events"
INJECTION = "RFC 9110, 5.5"
FAILED = Answer((500,), headers={"x-evil": None})


def fails(name: str, section: str, target: bytes) -> Case:
    """Nothing is on the wire yet: the client gets a 500, or no whole answer."""
    return case(name, section, get(target), FAILED, then=Then.ANY, or_closed=True, or_cut=True)


def breaks_off(name: str, section: str, target: bytes) -> Case:
    """The answer has begun: it must not look whole, nor go on."""
    return case(name, section, get(target), Answer(), then=Then.ANY, cut=True)


CASES: tuple[Case, ...] = (
    fails("an exception", SEND, b"/raise"),
    fails("SystemExit", SEND, b"/exit"),
    fails("KeyboardInterrupt", SEND, b"/interrupt"),
    fails("CancelledError", SEND, b"/cancel"),
    fails("no answer", SEND, b"/silent"),
    fails("a start and no body", SEND, b"/start-only"),
    fails("a body without a start", SEND, b"/body-first"),
    case("two starts", SEND, get(b"/start-twice"), Answer(body=b"caught"), then=Then.ANY),
    case("a body after the end", SEND, get(b"/after-the-end"), Answer(body=b"done"), then=Then.ANY),
    fails("a body longer than its length", "RFC 9110, 8.6", b"/too-long"),
    fails("a body shorter than its length", "RFC 9110, 8.6", b"/too-short"),
    fails("a header with CR and LF", INJECTION, b"/inject-value"),
    fails("a header with LF", INJECTION, b"/inject-lf"),
    fails("a header with NUL", INJECTION, b"/inject-nul"),
    fails("a header's name with CR and LF", "RFC 9110, 5.1", b"/inject-name"),
    fails("a header's name with a space", "RFC 9110, 5.1", b"/space-in-name"),
    fails("a header without a name", "RFC 9110, 5.1", b"/empty-name"),
    fails("a header that is text", "ASGI, Response Start", b"/text-header"),
    fails("a body that is text", "ASGI, Response Body", b"/text-body"),
    fails("a status that is text", "ASGI, Response Start", b"/text-status"),
    fails("status 100", "RFC 9110, 15.2", b"/status-100"),
    fails("status 99", "RFC 9110, 15", b"/status-99"),
    fails("status 1000", "RFC 9110, 15", b"/status-1000"),
    fails("two lengths that differ", "RFC 9110, 8.6", b"/two-lengths"),
    fails("a length that is none", "RFC 9110, 8.6", b"/wrong-length"),
    fails("a negative length of the answer", "RFC 9110, 8.6", b"/negative-length"),
    breaks_off("an exception in a body", "RFC 9112, 8", b"/raise-later"),
    breaks_off("a return in a body", "RFC 9112, 8", b"/never-ends"),
    breaks_off("a return in a chunked body", "RFC 9112, 8", b"/never-ends-chunked"),
    breaks_off("a stream longer than its length", "RFC 9110, 8.6", b"/too-long-stream"),
    breaks_off("a stream shorter than its length", "RFC 9110, 8.6", b"/too-short-stream"),
    fails("a message that is unknown", SEND, b"/unknown-message"),
    fails("a message of another protocol", SEND, b"/websocket-message"),
    case("a body of 204", "RFC 9110, 15.3.5", get(b"/204-body"), Answer((500, 204)), or_open=True, then=Then.CLOSED),
    case("a body of 304", "RFC 9110, 15.4.5", get(b"/304-body"), Answer((500, 304)), or_open=True, then=Then.CLOSED),
)
