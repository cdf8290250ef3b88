"""Records as DESIGN has them: the shape, the names and who waited."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loophound.detector.blame import Origin
from loophound.detector.diagnosis import diagnose
from loophound.detector.episode import Episode
from loophound.detector.facts import Sampled, ThreadSampled, Waiting, Work
from loophound.detector.frames import CodeFrame
from loophound.detector.records import Cause, Request, Stall, Task
from loophound.detector.report import Arrival, Reporter, Scene, short, stall_id
from loophound.detector.syscalls import GIL
from loophound.source import SourceLines
from tests.detector.facts import HANDLER, HELPER, LOOP, MS, ORIGIN, Doing, World, library, sampled

REQUEST = Request("abc", "GET", "/show/7", "/show/{id}", "127.0.0.1:50312")
WORK = Work(Task("Task-812", "show"), REQUEST, scope_id=5)
ON_GIL = Waiting("futex", GIL)
RECEIVING = Waiting("recvfrom", "tcp 127.0.0.1:5432")
WAITING = Doing(frames=(HANDLER, library("socket", "SocketIO.readinto")), waiting=RECEIVING)


def scene(**changes: Any) -> Scene:
    fields: dict[str, Any] = {
        "pid": 71, "worker": 0, "loop": "uvloop.Loop", "thread": "MainThread", "threshold_ns": 100 * MS,
        "error_ns": 5 * MS, "beat_ns": 1000, "slot": 0, "ongoing": False,
        "wall_offset_ns": 1_795_000_000_000_000_000,
    }  # fmt: skip
    return Scene(**{**fields, **changes})


def report(world: World, origin: Origin = ORIGIN, **changes: Any) -> list[Stall]:
    return Reporter(origin, SourceLines()).make(world.findings(), scene(**changes))


def stall_of(doing: Doing, **changes: Any) -> Stall:
    [stall] = report(World().rests(53).does(300, doing), **changes)
    return stall


def worked(samples: list[Sampled]) -> Stall:
    """A stall of a task whose request is known."""
    episode = Episode(0, 10 * MS, ended_ns=300 * MS)
    for sample in samples:
        episode.add_sample(sample)
    findings = diagnose(episode, until_ns=300 * MS, threshold_ns=100 * MS, origin=ORIGIN)
    arrivals = [
        Arrival(1, 5, 1 * MS, 0),  # the culprit's own
        Arrival(1, 11, 310 * MS, 0),  # and what its client sent next
        Arrival(2, 6, 50 * MS, 0, "POST", "/late"),  # came while it was blocked
        Arrival(3, 7, 2 * MS, 150 * MS),  # was there, and was answered late
        Arrival(3, 12, 160 * MS, 0),  # the same client again
        Arrival(4, 8, 320 * MS, 400 * MS),  # waited in the socket's queue
        Arrival(5, 9, 1 * MS, 3 * MS),  # was over before
        Arrival(6, 10, 900 * MS, 0),  # came when all was read
    ]
    [stall] = Reporter(ORIGIN, SourceLines()).make(findings, scene(arrivals=arrivals, settled_ns=350 * MS))
    return stall


KEYS = [
    "schema", "id", "at", "pid", "worker", "loop", "thread", "duration_s", "duration_error_s", "threshold_s",
    "ongoing", "cause", "innocent", "culprit", "blocking", "other_thread", "stack", "profile", "samples", "task",
    "request", "evidence", "victims", "fingerprint", "remedy", "delays",
]  # fmt: skip
TYPES: dict[str, Any] = {
    "delays": list,
    "schema": str, "id": str, "at": str, "pid": int, "worker": int, "loop": str, "thread": str, "duration_s": float,
    "duration_error_s": float, "threshold_s": float, "ongoing": bool, "cause": str, "innocent": bool, "culprit": dict,
    "blocking": dict, "other_thread": type(None), "stack": list, "profile": list, "samples": int, "task": dict,
    "request": dict, "evidence": dict, "victims": int, "fingerprint": str, "remedy": str,
}  # fmt: skip


def test_the_shape_of_a_record() -> None:
    stall = worked([sampled(at, HANDLER, HELPER, unit=3, waiting=RECEIVING, work=WORK) for at in (30, 150)])
    record = json.loads(json.dumps(stall.to_dict()))
    assert list(record) == KEYS
    assert {key: type(value) for key, value in record.items()} == TYPES
    assert list(record["culprit"]) == list(record["blocking"]) == ["file", "line", "function", "code"]
    assert list(record["stack"][0]) == ["file", "line", "function", "app"]
    assert list(record["profile"][0]) == ["file", "line", "function", "share"]
    assert list(record["task"]) == ["name", "coro"]
    assert list(record["request"]) == ["id", "method", "path", "route", "client"]
    assert list(record["evidence"])[:6] == ["cpu_share", "syscall", "target", "runqueue_s", "gc_s", "captured_by"]
    assert Stall.from_dict(record) == stall


@pytest.mark.parametrize(
    "doing",
    [
        WAITING,
        Doing(cpu=1.0, gil_held=True),
        Doing(stopped=True),
        Doing(cpu=0.05, runqueue=0.9),
        Doing(waiting=ON_GIL, gil_held=True, others_cpu=1.0, others=(ThreadSampled(9, "T", 1, (HELPER,)),)),
    ],
)
def test_every_record_survives_json(doing: Doing) -> None:
    stall = stall_of(doing)
    assert Stall.from_dict(json.loads(json.dumps(stall.to_dict()))) == stall


@pytest.mark.parametrize("part", ["culprit", "blocking", "task", "request", "stack", "profile"])
@pytest.mark.parametrize("broken", [{"file": "x"}, "x", 3, [3]])
def test_a_broken_part_is_a_value_error(part: str, broken: Any) -> None:
    record = stall_of(WAITING).to_dict()
    with pytest.raises(ValueError, match=part):
        Stall.from_dict({**record, part: broken})


def test_times() -> None:
    stall = stall_of(WAITING)
    assert re.fullmatch(r"2026-11-18T\d\d:\d\d:\d\d\.\d{3}Z", stall.at)
    assert abs(stall.duration_s - 0.3) < 0.02
    assert (stall.duration_error_s, stall.threshold_s) == (0.005, 0.1)


def test_what_the_evidence_says() -> None:
    evidence = stall_of(WAITING).evidence
    assert (evidence.syscall, evidence.target) == ("recvfrom", "tcp 127.0.0.1:5432")
    assert evidence.cpu_share is not None
    assert evidence.cpu_share < 0.05
    assert evidence.captured_by in ("observer", "watchdog")
    assert evidence.gil_held is False


def test_a_thread_that_computes_waits_for_nothing() -> None:
    evidence = stall_of(Doing(cpu=0.9, waiting=Waiting("futex"), in_call=False)).evidence
    assert (evidence.syscall, evidence.target) == (None, None)


def test_nobody_in_the_loops_code_is_named_when_it_is_innocent() -> None:
    stall = stall_of(Doing(stopped=True))
    assert stall.innocent
    assert stall.culprit is None
    assert stall.remedy is None


def test_another_thread_is_named_by_its_applications_line() -> None:
    spinner = ThreadSampled(9, None, 1, (library("threading", "Thread.run"), HELPER, library("re", "match")))
    stall = stall_of(
        Doing(waiting=ON_GIL, gil_held=True, others_cpu=1.0, others=(spinner,)), thread_names={9: "worker"}
    )
    assert stall.cause is Cause.CONTENTION
    assert stall.other_thread is not None
    assert (stall.other_thread.name, stall.other_thread.file, stall.other_thread.line) == (
        "worker", HELPER.file, HELPER.line,
    )  # fmt: skip


def test_the_groups_of_the_innocent_do_not_depend_on_bystanders() -> None:
    def group(doing: Doing, line: CodeFrame) -> str:
        return stall_of(Doing(frames=(line,), **doing)).fingerprint  # type: ignore[arg-type]

    stopped: Any = {"stopped": True}
    assert group(stopped, HANDLER) == group(stopped, HELPER)
    kept_out: Any = {
        "waiting": ON_GIL,
        "gil_held": True,
        "others_cpu": 1.0,
        "others": (ThreadSampled(9, "T", 1, (HELPER,)),),
    }
    other: Any = {**kept_out, "others": (ThreadSampled(9, "T", 1, (HANDLER,)),)}
    assert group(kept_out, HANDLER) == group(kept_out, HELPER)
    assert group(kept_out, HANDLER) != group(other, HANDLER)


def test_the_request_that_ran_is_named_and_is_not_its_own_victim() -> None:
    stall = worked([sampled(at, HANDLER, unit=3, waiting=RECEIVING, work=WORK) for at in (30, 150)])
    assert (stall.request, stall.task) == (REQUEST, WORK.task)
    assert stall.victims == 3


def test_of_two_requests_each_finding_names_its_own() -> None:
    other = Work(Task("Task-9", "other"), Request(None, "GET", "/other", None, None), 6)
    samples = [sampled(at, HANDLER, unit=3, waiting=RECEIVING, work=WORK) for at in (30, 80, 130)]
    samples += [sampled(at, HELPER, unit=4, waiting=RECEIVING, work=other) for at in (160, 220, 280)]
    episode = Episode(0, 10 * MS, samples=samples)
    findings = diagnose(episode, until_ns=300 * MS, threshold_ns=100 * MS, origin=ORIGIN)
    first, second = Reporter(ORIGIN, SourceLines()).make(findings, scene())
    assert [stall.request and stall.request.path for stall in (first, second)] == ["/show/7", "/other"]
    assert first.id != second.id


def test_without_a_server_there_is_no_request_and_no_victim() -> None:
    stall = stall_of(WAITING)
    assert (stall.request, stall.task, stall.victims) == (None, None, 0)


@pytest.mark.parametrize(
    ("qualified", "shown"),
    [
        ("show", "show"),
        ("Shop.show", "Shop.show"),
        ("make_app.<locals>.show", "show"),
        ("make.<locals>.Shop.show.<locals>.<lambda>", "<lambda>"),
    ],
)
def test_short_names(qualified: str, shown: str) -> None:
    assert short(qualified) == shown


def test_the_line_of_code_and_its_call(tmp_path: Path) -> None:
    source = tmp_path / "main.py"
    source.write_text("def show(url):\n    größe = ('ß', load(url), requests.get(url).json())\n")
    text = source.read_text().splitlines()[1]
    start = len(text[: text.index("requests")].encode())
    frame = CodeFrame(str(source), 2, "show", 10, start, start + len("requests.get(url)"))
    stall = stall_of(Doing(frames=(frame,), waiting=RECEIVING))
    assert stall.culprit is not None
    assert stall.culprit.code == "größe = ('ß', load(url), requests.get(url).json())"
    assert stall.remedy is not None
    assert "httpx" in stall.remedy


def test_a_source_that_cannot_be_read_has_no_code() -> None:
    stall = stall_of(WAITING)
    assert stall.culprit is not None
    assert stall.culprit.code is None
    assert "offload(show" in (stall.remedy or "") or "asyncio streams" in (stall.remedy or "")


def test_an_announcement_and_its_final_record_agree_on_the_id() -> None:
    announced = stall_of(WAITING, ongoing=True)
    ended = stall_of(WAITING)
    assert announced.id == ended.id == stall_id(71, 0, 1000, 0)
    assert (
        len({stall_id(71, 0, 1000, 0), stall_id(72, 0, 1000, 0), stall_id(71, 1, 1000, 0), stall_id(71, 0, 1, 0)}) == 4
    )


def test_the_stack_runs_outermost_first_and_says_what_is_the_users() -> None:
    stall = stall_of(WAITING)
    assert [frame.file for frame in stall.stack] == [f.file for f in (*LOOP, *WAITING.frames)]
    assert [frame.app for frame in stall.stack] == [True, False, False, False, True, False]


def test_how_long_each_victim_waited() -> None:
    stall = worked([sampled(at, HANDLER, unit=3, waiting=RECEIVING, work=WORK) for at in (30, 150)])
    assert stall.victims == 3
    delays = [(delay.path, delay.delay_s) for delay in stall.delays]
    assert delays[0] == ("/late", 0.25)
    assert delays[1][1] is not None
    assert 0.13 <= delays[1][1] <= 0.15
    assert delays[2][1] is None  # it was still with the kernel
    assert Stall.from_dict(stall.to_dict()) == stall
    record = stall.to_dict()
    del record["delays"]
    assert Stall.from_dict(record).delays == ()
