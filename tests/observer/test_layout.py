from __future__ import annotations

import json
from dataclasses import fields

import pytest

from loophound.observer.layout import Layout

LAYOUT = Layout(**{entry.name: number for number, entry in enumerate(fields(Layout), start=-1)})


def test_json_gives_the_same_layout_back() -> None:
    assert Layout.from_json(LAYOUT.to_json()) == LAYOUT


def test_what_is_no_layout_is_refused() -> None:
    values = json.loads(LAYOUT.to_json())
    lacking = {name: value for name, value in values.items() if name != "frame_code"}
    for other in ([], lacking, {**values, "more": 1}, {**values, "frame_code": "32"}, {**values, "frame_code": True}):
        with pytest.raises(ValueError, match="layout"):
            Layout.from_json(json.dumps(other))
    with pytest.raises(ValueError, match="Expecting value"):
        Layout.from_json("no JSON")
