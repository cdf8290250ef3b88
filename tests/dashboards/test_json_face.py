"""Stalls as lines of the log."""

from __future__ import annotations

import io
import json

from loophound.dashboards.json_face import JsonFace
from tests import stalls


def test_a_stall_is_one_line() -> None:
    stream = io.StringIO()
    face = JsonFace(stream)
    stall = stalls.stall()
    face(stall)
    face.tell("done")
    told, last = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert told["stall"] == stall.to_dict()
    assert (told["level"], told["logger"]) == ("warning", "loophound.detector")
    assert told["message"].startswith("BLOCKED ")
    assert last["message"] == "done"


def test_a_closed_stream_is_no_error() -> None:
    stream = io.StringIO()
    stream.close()
    JsonFace(stream)(stalls.stall())
