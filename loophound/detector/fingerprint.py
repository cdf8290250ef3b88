"""The name of a group of stalls: the same culprit function and cause, wherever its lines move."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import PurePath

from loophound.detector.records import Cause


def fingerprint(cause: Cause, file: str | None, function: str | None) -> str:
    """Eight hexadecimal digits. The directory does not count, so that machines agree."""
    return _digest(cause.value, file, function)


def call_fingerprint(call: str, file: str, function: str) -> str:
    """The same for flagged calls: the same call in the same function."""
    return _digest(f"call {call}", file, function)


def _digest(what: str, file: str | None, function: str | None) -> str:
    text = "\0".join((what, PurePath(file).name if file else "", function or ""))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
