"""Work that takes about as long on any machine: small pieces are timed once, and scaled."""

from __future__ import annotations

from functools import cache

from loophound.demo.sizes import exponential_size, linear_size

MOST_GARBAGE = 6_000_000
ROW: dict[str, object] = {"id": 12345, "name": "a name", "tags": ["a", "b", "c"], "price": 1.25, "nested": {"k": 1}}
LONG_S = 0.4  # well above the threshold, even where the measure was off by half


@cache
def backtracking(target_s: float = LONG_S) -> str:
    """A text on which `(a+)+$` backtracks for so long."""
    import re

    pattern = re.compile("(a+)+$")
    return "a" * exponential_size(lambda n: pattern.match("a" * n + "b"), target_s) + "b"


@cache
def loops() -> int:
    def work(n: int) -> int:
        total = 0
        for number in range(n):
            total = (total * 31 + number) % 1_000_003
        return total

    return linear_size(work, LONG_S)


@cache
def numbers() -> list[float]:
    """A list that takes so long to be sorted."""
    import random

    rng = random.Random(1)
    many = [rng.random() for _ in range(200_000)]
    return [rng.random() for _ in range(linear_size(lambda n: sorted(many[:n]), LONG_S))]


@cache
def misses() -> list[float]:
    """A list in which it takes so long to find nothing."""
    some = [0.5] * 1000
    return [0.5] * (1000 * linear_size(lambda n: [1.5 in some for _ in range(n)], LONG_S))


@cache
def rounds() -> int:
    """Of PBKDF2."""
    import hashlib

    return linear_size(lambda n: hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", n), LONG_S)


@cache
def exponent() -> int:
    """So that 3 to its power takes so long; the time grows with its power 1.58 (Karatsuba)."""
    import time

    base, began = 200_000, time.thread_time()
    assert 3**base
    return int(base * (LONG_S / (time.thread_time() - began)) ** (1 / 1.58))


@cache
def document() -> list[dict[str, object]]:
    """What it takes so long to turn into JSON."""
    import json

    return [dict(ROW) for _ in range(linear_size(lambda n: json.dumps([ROW] * n), LONG_S))]


@cache
def pickled() -> list[dict[str, object]]:
    """What it takes so long to pickle."""
    import pickle

    return [dict(ROW) for _ in range(linear_size(lambda n: pickle.dumps([dict(ROW) for _ in range(n)]), 2 * LONG_S))]


@cache
def garbage() -> list[list[object]]:
    """Objects enough for a collection to take long."""
    import gc

    was_on = gc.isenabled()
    gc.disable()
    some: list[list[object]] = [[None] for _ in range(200_000)]

    def collect(n: int) -> None:
        gc.collect()

    import time

    def taken_s() -> float:
        began = time.perf_counter()
        collect(0)
        return time.perf_counter() - began

    collect(0)
    # A few objects tell little of many, which lie in no cache.
    while len(some) < MOST_GARBAGE and (took := min(taken_s(), taken_s())) < LONG_S:
        more = int(len(some) * min(4.0, 1.1 * LONG_S / took)) - len(some)
        some += [[None] for _ in range(min(more, MOST_GARBAGE - len(some)))]
    gc.freeze()
    gc.unfreeze()
    if was_on:
        gc.enable()
    return some


@cache
def compressible() -> bytes:
    """What it takes so long to compress."""
    import zlib

    text = b"".join(b"%d" % (number * number) for number in range(3000))
    return text * linear_size(lambda n: zlib.compress(text * n, 9), LONG_S)
