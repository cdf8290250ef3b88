"""A while of fuzzing; `python -m tests.fuzz --minutes 60` goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.check import check, compare
from tests.fuzz.harness import Broken, Harness
from tests.fuzz.streams import WORDS, pieces

PLAYED_S = 30.0


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.close()


@pytest.fixture(autouse=True)
def clean(harness: Harness) -> Iterator[None]:
    yield
    harness.abandon()


@pytest.mark.once
@pytest.mark.slow
def test_streams(harness: Harness) -> None:
    until_s = time.monotonic() + PLAYED_S
    seed = 0
    while time.monotonic() < until_s:
        try:
            check(harness, seed)
        except Broken as error:
            raise AssertionError(f"python -m tests.fuzz --only --seed {seed}: {error}") from error
        seed += 1


WORDS_OF_REQUESTS = st.lists(
    st.sampled_from([*WORDS, b"GET", b"/", b"5", b"hello"]) | st.binary(max_size=4), max_size=60
)


@pytest.mark.once
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS_OF_REQUESTS, seed=st.integers(0, 1000))
def test_words(harness: Harness, words: list[bytes], seed: int) -> None:
    data = b"GET / HTTP/1.1\r\n" + b"".join(words)
    compare(harness, data, pieces(data, Random(seed)))


def test_the_harness_sees_an_exception(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_body(self: object, data: bytes) -> None:
        raise KeyError("on purpose")

    monkeypatch.setattr("loophound.server.protocol.HttpConnection.on_body", on_body)
    with pytest.raises(Broken, match="on purpose"):
        harness.play([b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"])


def test_the_harness_sees_requests_that_pile_up(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loophound.server.reader.MAX_PIPELINED", 10_000)
    with pytest.raises(Broken, match="requests wait"):
        harness.play([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 300] * 20)


def test_the_harness_sees_what_differs(harness: Harness) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with pytest.raises(Broken, match="whole it is 2 requests, in pieces 1"):
        compare(harness, request * 2, [request])
