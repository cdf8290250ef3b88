from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from loophound.cli.report import command
from loophound.detector.records import Cause, Evidence, Place, StackFrame
from loophound.ledger.groups import Groups
from loophound.ledger.suggest import candidates
from tests.stalls import stall

SOURCE = "import time\n\n\ndef total():\n    return sum(range(10**8))\n\n\nasync def show():\n    time.sleep(1)\n"


def stalls(file: Path) -> list[object]:
    def at(line: int, function: str, cause: Cause, seconds: float, name: str, **changes: object) -> object:
        culprit = Place(str(file), line, function)
        return stall(
            culprit=culprit, cause=cause, duration_s=seconds, fingerprint=name, id=name + str(seconds), **changes
        )

    return [
        at(5, "total", Cause.CPU, 0.5, "a"),
        at(5, "total", Cause.CPU, 0.25, "a"),
        at(5, "total", Cause.NATIVE, 0.5, "b", evidence=Evidence(gil_held=False)),
        at(9, "show", Cause.SLEEP, 1.0, "c"),
        at(9, "show", Cause.GC, 5.0, "d"),
        stall(cause=Cause.STARVED, innocent=True, culprit=None, fingerprint="e", duration_s=9.0),
    ]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    file = tmp_path / "shop.py"
    file.write_text(SOURCE)
    record = tmp_path / "stalls.jsonl"
    record.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in stalls(file)))  # type: ignore[attr-defined]
    return record


def test_functions_by_the_time_that_they_would_have_freed(tmp_path: Path) -> None:
    groups = Groups()
    for one in stalls(tmp_path / "shop.py"):
        groups.add(one)  # type: ignore[arg-type]
    first, second = candidates(groups)
    assert (first.culprit.function, first.executor, first.count, first.freed_s) == ("total", "process", 3, 1.25)
    assert (first.causes, first.fingerprints) == (["cpu", "native"], ["a", "b"])
    assert (second.culprit.function, second.executor, second.freed_s) == ("show", "thread", 1.0)


def test_a_comprehension_is_the_functions_that_has_it(tmp_path: Path) -> None:
    file = str(tmp_path / "shop.py")
    frames = (StackFrame(file, 9, "show", app=True), StackFrame(file, 5, "total", app=True))
    groups = Groups()
    groups.add(
        stall(
            cause=Cause.CPU,
            culprit=Place(file, 5, "<genexpr>"),
            stack=(*frames, StackFrame(file, 5, "<genexpr>", True)),
        )
    )
    [found] = candidates(groups)
    assert found.culprit.function == "total"


def test_in_words(record: Path) -> None:
    done = CliRunner().invoke(command, [str(record), "--suggest"])
    assert done.exit_code == 0
    first, mark, second, move, total = done.output.splitlines()
    assert first.startswith("1.25 s in 3 stalls (worst 500 ms, cpu, native): ")
    assert mark == '  mark `def total` (shop.py:4) with `@loophound.offload(executor="process")`, and await it'
    assert second.startswith("1.00 s in 1 stall ")
    assert "move what blocks in `async def show` (shop.py:8)" in move
    assert 'rules=["/show/{id}"]' in move
    assert total == "in all, the loop would have been free for 2.25 s more"


def test_as_json(record: Path) -> None:
    done = CliRunner().invoke(command, [str(record), "--suggest", "--json"])
    document = json.loads(done.output)
    assert document["schema"] == "loophound.suggest/1"
    assert [(one["function"], one["executor"], one["freed_s"]) for one in document["candidates"]] == [
        ("total", "process", 1.25), ("show", "thread", 1.0),
    ]  # fmt: skip


def test_nothing_to_suggest(tmp_path: Path) -> None:
    record = tmp_path / "stalls.jsonl"
    record.write_text(json.dumps(stall(cause=Cause.GC).to_dict()) + "\n")
    assert "nothing to offload" in CliRunner().invoke(command, [str(record), "--suggest"]).output


def test_what_does_not_go_together(record: Path) -> None:
    done = CliRunner().invoke(command, [str(record), "--suggest", "--html", "x"])
    assert done.exit_code == 2
    assert "--suggest goes with --json" in done.output
