from __future__ import annotations

from loophound.calls import observing
from loophound.detector.frames import CodeFrame, without_stand_ins


def test_frames_around_a_flagged_call_are_left_out() -> None:
    own = CodeFrame(observing.__file__, 130, "observed")
    show, read = CodeFrame("/srv/app.py", 3, "show"), CodeFrame("/usr/lib/python3.11/socket.py", 706, "readinto")
    assert without_stand_ins((show, own, own, read, own)) == (show, read)


def test_other_frames_are_left_as_they_are() -> None:
    frames = (CodeFrame("/srv/calls/observing.py", 3, "show"),)
    assert without_stand_ins(frames) is frames
