"""What the client hears of bytes that httptools takes for no HTTP/1.1 request."""

from __future__ import annotations

import re

import httptools

from loophound.server.refusals import Refusal

# The parser knows a list of methods, and stops at any other without telling where. A request line with a token that
# it does not know is a request for something that is not implemented here (RFC 9110, section 9.1), not a mistake.
_UNKNOWN_METHOD = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64} [!-~]+ HTTP/1\.[01]\r$", re.MULTILINE)
# RFC 9110, section 15.6.6: another version of HTTP, rightly written.
_OTHER_VERSION = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP/[0-9]\.[0-9]\r$", re.MULTILINE)
# Parts of the parser's messages: for another version, and for the preface of HTTP/2 (RFC 9113, section 3.4).
_VERSION_WORDS = ("HTTP version", "PRI")
_USUAL = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) ")


def refusal_of(error: Exception, data: bytes) -> Refusal:
    """The refusal for `error` of the parser, which came somewhere in `data`."""
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        if any(_USUAL.match(line) is None for line in _UNKNOWN_METHOD.findall(data)):
            return Refusal(501, "Method not implemented")
    elif _OTHER_VERSION.search(data) is not None and any(word in str(error) for word in _VERSION_WORDS):
        return Refusal(505, "HTTP version not supported")
    return Refusal(400, f"Malformed request: {error}")
