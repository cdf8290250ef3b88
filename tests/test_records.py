from __future__ import annotations

import json
from typing import Any

import pytest

from loophound.detector.records import INNOCENT, BlockingCall, Cause, Evidence, OtherThread, ProfileLine, Stall
from tests.stalls import blocking_call, stall

STALLS = {
    "full": stall(profile=(ProfileLine("a.py", 1, "f", 0.8),), other_thread=OtherThread("T", "a.py", 1, "f")),
    "bare": stall(culprit=None, blocking=None, stack=(), task=None, request=None, remedy=None, evidence=Evidence()),
    **{cause.value: stall(cause=cause, innocent=cause in INNOCENT) for cause in Cause},
}


@pytest.mark.parametrize("name", STALLS)
def test_a_record_survives_json(name: str) -> None:
    assert Stall.from_dict(json.loads(json.dumps(STALLS[name].to_dict()))) == STALLS[name]


def test_shape() -> None:
    record = stall().to_dict()
    assert record["schema"] == "loophound.stall/1"
    assert record["cause"] == "io"
    assert record["culprit"] == {
        "file": "/srv/app/main.py", "line": 44, "function": "show", "code": "row = requests.get(url)",
    }  # fmt: skip
    assert record["other_thread"] is None
    assert isinstance(record["stack"], list)


def test_fields_of_a_later_version_are_passed_over() -> None:
    record = stall().to_dict()
    record["new"] = 1
    record["evidence"]["new"] = 1
    assert Stall.from_dict(record) == stall()


@pytest.mark.parametrize("schema", [None, "loophound.stall/2", "loophound.call/1"])
def test_another_schema_is_refused(schema: str | None) -> None:
    with pytest.raises(ValueError, match="schema"):
        Stall.from_dict({**stall().to_dict(), "schema": schema})


def test_a_record_without_a_field_is_refused() -> None:
    record: dict[str, Any] = stall().to_dict()
    del record["victims"]
    with pytest.raises(ValueError, match="victims"):
        Stall.from_dict(record)


def test_an_unknown_cause_is_refused() -> None:
    with pytest.raises(ValueError, match="gremlins"):
        Stall.from_dict({**stall().to_dict(), "cause": "gremlins"})


@pytest.mark.parametrize("changes", [{}, {"duration_s": None, "caller": None, "request": None, "stack": ()}])
def test_a_call_survives_json(changes: dict[str, Any]) -> None:
    call = blocking_call(**changes)
    assert BlockingCall.from_dict(json.loads(json.dumps(call.to_dict()))) == call
    assert call.to_dict()["schema"] == "loophound.call/1"


def test_a_stall_is_no_call() -> None:
    with pytest.raises(ValueError, match="schema"):
        BlockingCall.from_dict(stall().to_dict())


def test_a_call_without_a_field_is_refused() -> None:
    record = blocking_call().to_dict()
    del record["remedy"]
    with pytest.raises(ValueError, match="remedy"):
        BlockingCall.from_dict(record)
