"""Frames without a socket: whatever comes, in whatever pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loophound.server.websocket.frames import FrameReader, Violation, close_payload, frame_head, read_close
from loophound.server.websocket.handshake import _negotiate
from loophound.server.websocket.offer import WebSocketOptions
from tests.server.websocket_wire import BINARY, CONTINUATION, PING, TEXT, frame

MAX_SIZE = 70_000

frames = st.builds(
    frame,
    st.sampled_from([CONTINUATION, TEXT, BINARY, PING, 0x8, 0x3]),
    st.one_of(st.binary(max_size=130), st.text().map(str.encode), st.just(b"x" * 66_000)),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 1]),
    masked=st.sampled_from([True, True, True, False]),
)
streams = st.one_of(st.lists(frames, max_size=6).map(b"".join), st.binary(max_size=300))


def events(pieces: list[bytes], *, deflate: bool) -> list[Any]:
    """What a reader makes of these pieces, a violation last."""
    _, extension = _negotiate(b"permessage-deflate", WebSocketOptions(deflate=deflate))
    reader = FrameReader(MAX_SIZE, extension)
    found: list[Any] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (event := reader.next()) is not None:
                found.append(event)
    except Violation as violation:
        found.append(violation.code)
    return found


@given(streams, st.lists(st.integers(0, 70_000), max_size=8), st.booleans())
def test_pieces_make_no_difference(stream: bytes, cuts: list[int], deflate: bool) -> None:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in pairwise(places)]
    assert events(pieces, deflate=deflate) == events([stream], deflate=deflate)


@given(st.sampled_from([TEXT, BINARY]), st.integers(0, 70_000), st.booleans())
def test_6455_5_2_a_head_says_the_length_in_the_shortest_way(opcode: int, size: int, compressed: bool) -> None:
    head = frame_head(opcode, size, compressed)
    assert head[0] == 0x80 | opcode | (0x40 if compressed else 0)
    if len(head) == 2:
        assert head[1] == size < 126
    elif len(head) == 4:
        assert 126 <= int.from_bytes(head[2:], "big") == size < 65_536
    else:
        assert 65_536 <= int.from_bytes(head[2:], "big") == size


@given(st.binary(max_size=125))
def test_6455_5_5_1_a_close_that_is_read_can_be_sent(payload: bytes) -> None:
    try:
        code, reason = read_close(payload)
    except Violation:
        return
    assert close_payload(code, reason) == payload


def test_an_unfinished_message_costs_what_it_has() -> None:
    reader = FrameReader(16_777_216)
    reader.feed(frame(BINARY, b"x" * 100_000)[:10])
    assert reader.next() is None
    for _ in range(1000):
        reader.feed(b"x")
        assert reader.next() is None
    assert len(reader._payload) < 1100


@pytest.mark.parametrize(
    "offer", [b"permessage-deflate; server_max_window_bits=8", b"permessage-deflate; x=1", b"other"]
)
def test_7692_7_1_offers_that_cannot_be_met_are_declined(offer: bytes) -> None:
    assert _negotiate(offer, WebSocketOptions()) == ("", None)


def test_7692_5_the_first_offer_that_can_be_met_is_taken() -> None:
    extensions, deflate = _negotiate(
        b"permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits", WebSocketOptions()
    )
    assert extensions == "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
    assert deflate is not None
