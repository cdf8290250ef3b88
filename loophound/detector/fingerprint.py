"""The name of a group of stalls: the same culprit function and cause, wherever its lines move."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import PurePath

from loophound.detector.records import Cause


def fingerprint(cause: Cause, file: str | None, function: str | None) -> str:
    """Eight hexadecimal digits. The directory does not count, so that machines agree."""
    text = "\0".join((cause.value, PurePath(file).name if file else "", function or ""))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
