"""What other tools read: the folded format of flamegraph.pl, and speedscope's files."""

from __future__ import annotations

import json
import re

from loophound.dashboards.report.flame import collapsed, speedscope, tree
from loophound.dashboards.report.rows import ranked
from tests.dashboards.report.groups import groups, hostile
from tests.stalls import stall


def test_collapsed_stacks_weigh_their_milliseconds() -> None:
    lines = collapsed(ranked(groups(), "count")).splitlines()
    assert lines[0] == "pay (/srv/app/main.py:9);charge (/srv/app/main.py:7) 600"
    assert lines[1].endswith("readinto (/usr/lib/python3.11/socket.py:706) 800")
    assert lines[2] == "the machine 2000"


def test_a_line_is_a_stack_and_a_weight_whatever_the_names() -> None:
    for line in collapsed(groups(hostile())).splitlines():
        assert re.fullmatch(r"[^;]+(;[^;]+)* [1-9]\d*", line)
        assert line.isprintable()


def test_no_weight_is_zero() -> None:
    assert collapsed(groups(stall(fingerprint="short", duration_s=0.0001, stack=()))).splitlines()[-1].endswith(" 1")


def test_speedscope_files_are_what_its_schema_wants() -> None:
    known = ranked(groups(hostile()), "total")
    file = json.loads(json.dumps(speedscope("stalls.jsonl", known)))
    # The types FileFormat.File and SampledProfile of speedscope's src/lib/file-format-spec.ts.
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(file) == {"$schema", "name", "exporter", "activeProfileIndex", "shared", "profiles"}
    frames = file["shared"]["frames"]
    for frame in frames:
        assert set(frame) <= {"name", "file", "line"}
        assert isinstance(frame["name"], str)
        assert isinstance(frame.get("line", 0), int)
    assert len(file["profiles"]) == 1 + len(known)
    for profile in file["profiles"]:
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert (profile["type"], profile["unit"], profile["startValue"]) == ("sampled", "milliseconds", 0)
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= number < len(frames) for sample in profile["samples"] for number in sample)
        assert all(profile["samples"]), "an empty stack would show as nothing"
        assert profile["endValue"] == round(sum(profile["weights"]), 3)
    assert file["profiles"][0]["endValue"] == 1000 * sum(group.total_s for group in known)


def test_frames_are_shared() -> None:
    frames = speedscope("x", groups())["shared"]["frames"]
    assert len({tuple(frame.items()) for frame in frames}) == len(frames)


def test_one_group_is_one_profile() -> None:
    assert [profile["name"] for profile in speedscope("x", ranked(groups(), "count", 1))["profiles"]] == [
        "sleep: main.py:7 in charge"
    ]


def test_the_tree_folds_libraries_and_adds_up() -> None:
    [sleeping] = ranked(groups(), "count", 1)
    root = tree(sleeping)
    assert (root.depth, round(root.seconds, 6)) == (3, 0.6)
    [pay] = root.calls.values()
    [charge] = pay.calls.values()
    assert (pay.label, charge.label) == ("/srv/app/main.py:9 in pay", "/srv/app/main.py:7 in charge")
    assert charge.seconds == root.seconds
    assert tree(ranked(groups(), "total", 1)[0]).depth == 2, "a stall without a stack has a box too"
