"""One stream, played several times."""

from __future__ import annotations

from random import Random

from tests.fuzz.harness import Broken, Harness, Seen
from tests.fuzz.streams import pieces, stream


def check(harness: Harness, seed: int) -> None:
    """Play the stream of `seed`. Raises Broken."""
    random = Random(seed)
    data = stream(random)
    harness.play(pieces(data, random), random)
    compare(harness, data, pieces(data, random))


def compare(harness: Harness, data: bytes, parts: list[bytes]) -> None:
    """Whole or in parts, the application sees the same. Raises Broken."""
    whole, _ = harness.play([data])
    cut, _ = harness.play(parts)
    if _whole_ones(whole) != _whole_ones(cut):
        ours, theirs = _whole_ones(whole), _whole_ones(cut)
        same = next((index for index, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
        where = min(len(ours), len(theirs)) if same is None else same
        raise Broken(
            f"whole it is {len(ours)} requests, in pieces {len(theirs)};"
            f" number {where} is {ours[where : where + 1]} or {theirs[where : where + 1]}"
        )


def _whole_ones(seen: Seen) -> list[list[object]]:
    return [entry for entry in seen.requests if entry[-1] is not None]
