"""A record file with whatever may be in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loophound.ledger.reading import read_stall
from loophound.ledger.recording import read_lines
from tests.stalls import stall


def line(**changes: Any) -> bytes:
    return json.dumps(stall(**changes).to_dict()).encode() + b"\n"


def spoiled(**changes: Any) -> bytes:
    return json.dumps({**stall().to_dict(), **changes}).encode()


def test_groups_of_a_file() -> None:
    recording = read_lines([line(id="1"), line(id="2"), line(id="3", fingerprint="other")])
    assert {group.fingerprint: group.count for group in recording.groups} == {"c0ffee12": 2, "other": 1}
    assert (recording.records, recording.broken) == (3, [])


def test_a_record_reads_as_it_was_written() -> None:
    assert read_stall(line(remedy="a\u2028\udc80")) == stall(remedy="a\u2028\udc80")


def test_an_announcement_counts_only_without_its_end() -> None:
    recording = read_lines([
        line(id="ended", ongoing=True, duration_s=1.0), line(id="ended", duration_s=1.5),
        line(id="killed", ongoing=True, duration_s=1.0), line(id="killed", ongoing=True, duration_s=2.0),
    ])  # fmt: skip
    [group] = recording.groups
    assert (group.count, group.total_s) == (2, 3.5)


def test_empty_lines_and_flagged_calls_are_passed_over() -> None:
    recording = read_lines([b"\n", b'{"schema": "loophound.call/1", "call": "time.sleep"}\n', line(), b"  \n"])
    assert (recording.records, recording.broken) == (1, [])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b'{"schema": "loophound.stall/1", "id', "not JSON (column 36): Invalid control character at"),
        (b"[1, 2]", "not a record: a JSON list"),
        (b"7", "not a record: a JSON int"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not a record: nested too deeply"),
        (spoiled(schema="loophound.stall/9"), "expected schema 'loophound.stall/1', got 'loophound.stall/9'"),
        (spoiled(cause="boredom"), "'boredom' is not a valid Cause"),
        (spoiled(duration_s="long"), "duration_s is 'long', not a number"),
        (spoiled(duration_s=-1), "duration_s is no length of a stall: -1"),
        (spoiled(duration_s=1e308), "duration_s is no length of a stall: 1e+308"),
        (spoiled(at="0001-01-01T00:00:00+14:00"), "at is no time: '0001-01-01T00:00:00+14:00'"),
        (spoiled(at="9999-12-31T23:59:59-14:00"), "at is no time: '9999-12-31T23:59:59-14:00'"),
        (spoiled(duration_s=float("nan")), "duration_s is nan, not a number"),
        (spoiled(victims=True), "victims is True, not a whole number"),
        (spoiled(at="yesterday"), "at is no time: 'yesterday'"),
        (spoiled(stack=7), "the record's stack is no list"),
        (spoiled(stack=[{"file": "f", "line": "x", "function": "g", "app": True}]),
         "stack[0].line is 'x', not a whole number"),
        (spoiled(culprit={"file": None, "line": 1, "function": "f"}), "culprit.file is None, not text"),
        (spoiled(evidence=None), "evidence is None, not Evidence"),
    ],
)  # fmt: skip
def test_a_broken_line_is_told_and_the_rest_is_kept(text: bytes, wrong: str) -> None:
    recording = read_lines([line(), text + b"\n", line()])
    assert recording.broken == [f"line 2: {wrong}"]
    assert [group.count for group in recording.groups] == [2]


def test_a_missing_field_is_told() -> None:
    record = stall().to_dict()
    del record["victims"]
    recording = read_lines([json.dumps(record).encode()])
    assert recording.broken == ["line 1: the record lacks 'victims'"]
