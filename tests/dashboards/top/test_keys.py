"""What a terminal sends, as names of keys."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loophound.dashboards.top.keys import Keys


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B\x1bOC\x1bOD", ["up", "down", "right", "left"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[Z", ["page up", "page down", "home", "end", "shift-tab"]),
        (b"\r\n\t\x7f\x08\x15", ["enter", "enter", "tab", "backspace", "backspace", "ctrl-u"]),
        ("ä😀".encode(), ["ä", "😀"]),
        (b"\x1b[1;5A\x1b[200~x", ["x"]),  # keys that mean nothing here
        (b"\x1bq", ["escape", "q"]),
        (b"\x00\x01", []),
        (b"\xff\xfeq", ["q"]),
    ],
)
def test_names(sent: bytes, names: list[str]) -> None:
    assert Keys().feed(sent) == names


def test_a_sequence_may_come_in_pieces() -> None:
    keys = Keys()
    assert [name for byte in b"\x1b[6~s" for name in keys.feed(bytes([byte]))] == ["page down", "s"]
    assert [name for byte in "ä".encode() for name in keys.feed(bytes([byte]))] == ["ä"]


def test_escape_alone_is_known_when_nothing_follows() -> None:
    keys = Keys()
    assert (keys.feed(b"\x1b"), keys.waiting) == ([], True)
    assert (keys.flush(), keys.waiting) == (["escape"], False)
    assert keys.feed(b"[A") == ["[", "A"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other loads take the CPU
@given(st.lists(st.binary(max_size=12), max_size=6))
def test_any_bytes_are_taken_and_nothing_is_kept_for_ever(pieces: list[bytes]) -> None:
    keys = Keys()
    for piece in pieces:
        keys.feed(piece)
        keys.flush()
    assert keys.feed(b"\x1b[Aq")[-1] == "q"
