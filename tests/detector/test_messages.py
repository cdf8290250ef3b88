from __future__ import annotations

from dataclasses import replace

import pytest

from loophound.detector.facts import Sampled, Source, ThreadSampled, Waiting
from loophound.detector.frames import CodeFrame
from loophound.observer.messages import Decoder, Encoder, greeting
from tests.detector.facts import HANDLER, HELPER, sampled

OUTSIDE = replace(
    sampled(30, HANDLER, unit=7, source=Source.OBSERVER),
    cpu_ns=5,
    runqueue_ns=6,
    waiting=Waiting("recvfrom", "tcp 127.0.0.1:5432"),
    runnable=False,
    stopped=True,
    others=(ThreadSampled(77, None, 9, (HELPER,)),),
)


def test_a_sample_arrives_as_it_was_sent() -> None:
    received = Decoder().decode(Encoder().encode(3, 4, OUTSIDE, 2))
    assert (received.slot, received.generation, received.dropped, received.sample) == (3, 4, 2, OUTSIDE)


@pytest.mark.parametrize("field", ["waiting", "runnable", "cpu_ns", "runqueue_ns"])
def test_what_is_not_known_stays_unknown(field: str) -> None:
    sample = replace(OUTSIDE, **{field: None})
    assert Decoder().decode(Encoder().encode(0, 1, sample, 0)).sample == sample


def test_names_that_are_no_text_survive() -> None:
    sample = sampled(30, CodeFrame("/srv/\udcff.py", 1, "größe"), source=Source.OBSERVER)
    assert Decoder().decode(Encoder().encode(0, 1, sample, 0)).sample == sample


def test_the_greeting_is_no_sample() -> None:
    assert Decoder().decode(greeting()).sample is None


def exchange(packets: list[tuple[int, int, Sampled, bool]]) -> tuple[list[Sampled | None], list[int]]:
    """Packets (slot, generation, sample, whether it gets through): what arrives, and their sizes."""
    encoder, decoder = Encoder(), Decoder()
    arrived, sizes = [], []
    for slot, generation, sample, through in packets:
        message = encoder.encode(slot, generation, sample, 0)
        sizes.append(len(message))
        if through:
            encoder.sent(slot, generation, sample)
            arrived.append(decoder.decode(message).sample)
    return arrived, sizes


def test_a_stack_that_stands_as_it_stood_is_not_sent_again() -> None:
    samples = [replace(OUTSIDE, at_ns=number) for number in range(3)]
    arrived, sizes = exchange([(0, 1, sample, True) for sample in samples])
    assert arrived == samples
    assert sizes[1] == sizes[2] < sizes[0] - 100


def test_a_stack_whose_packet_was_dropped_is_sent_again() -> None:
    moved = sampled(40, HELPER, source=Source.OBSERVER)
    arrived, _ = exchange([(0, 1, OUTSIDE, True), (0, 1, moved, False), (0, 1, moved, True), (0, 1, OUTSIDE, True)])
    assert arrived == [OUTSIDE, moved, OUTSIDE]


def test_the_stacks_of_loops_are_kept_apart() -> None:
    other = sampled(40, HELPER, source=Source.OBSERVER)
    packets = [(0, 1, OUTSIDE, True), (1, 2, other, True), (0, 1, OUTSIDE, True), (1, 2, other, True)]
    assert exchange(packets)[0] == [OUTSIDE, other, OUTSIDE, other]


def test_another_loop_in_the_same_slot_gets_its_stack_whole() -> None:
    _, sizes = exchange([(0, 1, OUTSIDE, True), (0, 2, OUTSIDE, True)])
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    "message", [b"", b"{", b"[]", b"3", b'"slot"', b"{}", b'{"slot":0,"generation":1,"dropped":0,"sample":{}}', b"\xff"]
)
def test_what_is_none_of_ours_is_refused(message: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Decoder().decode(message)


def test_a_stack_that_never_came_is_not_made_up() -> None:
    encoder = Encoder()
    encoder.sent(0, 1, OUTSIDE)
    with pytest.raises(KeyError):
        Decoder().decode(encoder.encode(0, 1, OUTSIDE, 0))
