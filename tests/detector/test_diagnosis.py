"""Each cause on recorded facts, and the neighbours that must not be taken for each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loophound.detector.diagnosis import Finding
from loophound.detector.facts import ThreadSampled, Waiting
from loophound.detector.frames import CodeFrame
from loophound.detector.records import INNOCENT, Cause
from loophound.detector.syscalls import GIL
from tests.detector.facts import HANDLER, HELPER, MS, Doing, World, library, package

SLEEPING = Waiting("clock_nanosleep")
RECEIVING = Waiting("recvfrom", "tcp 127.0.0.1:5432")
ON_FUTEX = Waiting("futex")
ON_GIL = Waiting("futex", GIL)

REQUEST = (HANDLER, package("requests/api", "get", 73), library("socket", "SocketIO.readinto", 706))
ACQUIRE = (HANDLER, library("threading", "Condition.wait", 320))
STARTING = (
    HANDLER,
    library("threading", "Thread.start", 969),
    library("threading", "Event.wait", 629),
    library("threading", "Condition.wait", 327),
)
IMPORTING = (
    HANDLER,
    CodeFrame("<frozen importlib._bootstrap>", 1176, "_find_and_load", 40),
    CodeFrame("<frozen importlib._bootstrap_external>", 940, "SourceLoader.exec_module", 20),
    CodeFrame("/srv/app/big_tables.py", 3, "<module>", 50),
)
PDB = (HANDLER, library("bdb", "Bdb.trace_dispatch", 90), library("pdb", "Pdb.user_line", 300))

# Frames of a loop in Python: the instruction moves, and from inside it is seen at jumps only.
MOVING = tuple((HANDLER._replace(instruction=at),) for at in (100, 110, 120, 130, 140))


def spinning(cpu_ns: int = 10**9) -> ThreadSampled:
    return ThreadSampled(77, "spinner", cpu_ns, (library("threading", "Thread.run"), HELPER))


COMPUTING = Doing(cpu=1.0, cycle=MOVING, in_call=False)
IN_C = Doing(cpu=1.0, gil_held=True)
SLEEP = Doing(waiting=SLEEPING, in_call=True)

RECORDINGS = {
    "time.sleep": (Cause.SLEEP, Doing(waiting=SLEEPING, in_call=True)),
    "nanosleep with the GIL held": (Cause.SLEEP, Doing(waiting=Waiting("nanosleep"), gil_held=True)),
    "requests.get": (Cause.IO, Doing(frames=REQUEST, waiting=RECEIVING)),
    "a child process": (Cause.IO, Doing(frames=(HANDLER,), waiting=Waiting("wait4", "child process 9 (sleep)"))),
    "a slow disk": (Cause.IO, Doing(waiting=Waiting("fsync", "/srv/data"), cpu=0.1)),
    "a lock": (Cause.LOCK, Doing(frames=(HANDLER,), waiting=ON_FUTEX)),
    "a queue": (Cause.LOCK, Doing(frames=ACQUIRE, waiting=ON_FUTEX)),
    "a loop in Python": (Cause.CPU, COMPUTING),
    "a loop of helpers": (Cause.CPU, Doing(cpu=0.95, cycle=((HANDLER, HELPER), (HANDLER,), MOVING[0]), in_call=False)),
    "a regular expression": (Cause.NATIVE, IN_C),
    "hashing without the GIL": (Cause.NATIVE, Doing(cpu=1.0, in_call=True)),
    "a C call on a busy machine": (Cause.NATIVE, Doing(cpu=0.4, runqueue=0.55, gil_held=True)),
    "a first import": (Cause.IMPORT, Doing(frames=IMPORTING, cpu=0.8)),
    "an import from a slow disk": (Cause.IMPORT, Doing(frames=IMPORTING, cpu=0.1, waiting=Waiting("read", "x.py"))),
    "a thread that holds the GIL in C": (
        Cause.CONTENTION,
        Doing(waiting=ON_GIL, others_cpu=1.0, gil_held=True, others=(spinning(),)),
    ),
    "many threads of Python": (
        Cause.CONTENTION,
        Doing(waiting=ON_GIL, cpu=0.1, others_cpu=0.9, others=(spinning(),), cycle=MOVING),
    ),
    "no CPU": (Cause.STARVED, Doing(cpu=0.05, runqueue=0.9)),
    "a thread that it started is given no CPU": (Cause.STARVED, Doing(frames=STARTING, waiting=ON_FUTEX)),
    "no CPU, in a quota": (Cause.STARVED, Doing(cpu=0.1, runqueue=0.0)),
    "a thread that it started holds the GIL in C": (
        Cause.CONTENTION,
        Doing(frames=STARTING, waiting=ON_GIL, others_cpu=1.0, gil_held=True, others=(spinning(),)),
    ),
    "stopped by a signal": (Cause.SUSPENDED, Doing(stopped=True)),
    "a breakpoint": (Cause.SUSPENDED, Doing(frames=PDB, waiting=Waiting("read", "/dev/pts/1"))),
}  # fmt: skip


def place(frame: CodeFrame | None) -> tuple[str, int] | None:
    return None if frame is None else (frame.file, frame.line)


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("length_ms", [130, 300, 2500])
def test_a_cause_is_told_from_what_was_recorded(name: str, length_ms: int) -> None:
    cause, doing = RECORDINGS[name]
    if cause is Cause.STARVED:
        length_ms = min(length_ms, 300)  # the little that it computed must not be a stall by itself
    elif doing.runqueue:
        length_ms = max(length_ms, 300)  # and here it must
    finding = World().rests(53).does(length_ms, doing).finding()
    assert finding.cause is cause
    assert place(finding.culprit) == (None if cause in INNOCENT else place(HANDLER))
    assert abs(finding.span.length_ns - length_ms * MS) <= 16 * MS


NEEDS_OBSERVER = {
    "stopped by a signal", "many threads of Python", "a thread that holds the GIL in C",
    "a thread that it started holds the GIL in C",
    "nanosleep with the GIL held", "a regular expression", "a C call on a busy machine", "no CPU, in a quota",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(RECORDINGS.keys() - NEEDS_OBSERVER))
def test_most_causes_are_told_without_the_observer_too(name: str) -> None:
    cause, doing = RECORDINGS[name]
    assert World(observer=False).rests(53).does(300, doing).finding().cause is cause


@pytest.mark.parametrize(("generation", "collected"), [(2, 500_000), (0, 0)])
def test_a_collection(generation: int, collected: int) -> None:
    world = World().rests(53).does(20, COMPUTING).collects(250, generation=generation, collected=collected)
    finding = world.does(20, COMPUTING).finding()
    assert finding.cause is Cause.GC
    assert place(finding.culprit) == place(HANDLER)
    assert finding.collection is not None
    assert (finding.collection.generation, finding.collection.collected) == (generation, collected)
    assert finding.gil_held


def test_a_short_collection_is_not_the_cause_of_a_long_computation() -> None:
    world = World().rests(53).does(200, COMPUTING).collects(30, cycle=MOVING).does(200, COMPUTING)
    assert world.finding().cause is Cause.CPU


def flood(task_ms: float, count: int, **what: object) -> World:
    world = World().rests(53)
    for number in range(count):
        frame = CodeFrame(f"/srv/app/job{number % 3}.py", 5, "job")
        world.does(task_ms, frames=(frame,), unit=number + 1, **what)
    return world


@pytest.mark.parametrize(("task_ms", "count"), [(15, 20), (30, 40)])
def test_a_flood_has_no_single_line(task_ms: float, count: int) -> None:
    finding = flood(task_ms, count, cpu=1.0).finding()
    assert finding.cause is Cause.FLOOD
    assert finding.culprit is None
    assert {frame.file for frame, _ in finding.profile} == {f"/srv/app/job{n}.py" for n in range(3)}
    assert 0.8 < sum(share for _, share in finding.profile) <= 1.01


# Neighbours


@pytest.mark.parametrize("cpu", [0.48, 0.42, 0.35])
def test_python_that_shares_the_gil_waits_for_no_lock(cpu: float) -> None:
    # Half the looks find it waiting for the GIL, half find it running.
    world = World().rests(53)
    for _ in range(30):
        world.does(5, cpu=2 * cpu, cycle=MOVING, in_call=False)
        world.does(5, cycle=MOVING, waiting=ON_GIL, in_call=False, others_cpu=1.0, others=(spinning(),))
    assert world.finding().cause is Cause.CPU


def test_a_wait_for_the_gil_without_any_cpu_time_is_no_computing() -> None:
    doing = Doing(waiting=ON_GIL, others_cpu=0.2, others=(spinning(),))  # the other one sleeps with the GIL held
    assert World().rests(53).does(300, doing).finding().cause is Cause.CONTENTION


def test_a_lock_that_is_waited_for_after_some_computing_is_a_lock() -> None:
    world = World().rests(53).does(60, COMPUTING).does(300, waiting=ON_FUTEX, in_call=True)
    finding = world.finding()
    assert finding.cause is Cause.LOCK
    assert finding.portrait.waiting == ON_FUTEX


def test_one_hot_line_of_python_is_not_native() -> None:
    # Every look from outside finds another instruction of the one line.
    assert World().rests(53).does(500, COMPUTING).finding().cause is Cause.CPU


def test_a_crowded_machine_does_not_excuse_own_computing() -> None:
    finding = World().rests(53).does(500, COMPUTING, cpu=0.4, runqueue=0.6).finding()
    assert finding.cause is Cause.CPU
    assert finding.culprit is not None


def test_a_crowded_machine_excuses_what_alone_is_no_stall() -> None:
    finding = World().rests(53).does(200, COMPUTING, cpu=0.4, runqueue=0.6).finding()
    assert finding.cause is Cause.STARVED
    assert finding.culprit is None


@pytest.mark.parametrize("cpu", [0.45, 0.3])
def test_a_cpu_that_a_hypervisor_took_away_is_no_system_call(cpu: float) -> None:
    # Neither on a CPU nor in a queue for one, and never seen to wait.
    finding = World().rests(53).does(600, COMPUTING, cpu=cpu).finding()
    assert (finding.cause, place(finding.culprit)) == (Cause.CPU, place(HANDLER))


@pytest.mark.parametrize("observer", [True, False])
def test_a_pause_that_is_booked_as_cpu_time_of_an_idle_loop_accuses_nobody(observer: bool) -> None:
    paused = Doing(frames=(), unit=0, idle=True, cpu=0.9)
    world = World(observer=observer, latency_ms=150).rests(53).does(400, paused)
    assert {finding.cause for finding in world.findings()} <= {Cause.SUSPENDED, Cause.STARVED}


def test_a_stopped_process_is_not_kept_out_by_a_thread() -> None:
    finding = World().rests(53).does(500, SLEEP, stopped=True).finding()
    assert finding.cause is Cause.SUSPENDED


def test_a_stopped_idle_process_is_suspended_too() -> None:
    world = World().rests(53)
    world.does(500, Doing(frames=(), unit=0, idle=True, stopped=True, waiting=Waiting("epoll_wait")))
    findings = world.findings()
    assert [f.cause for f in findings] == [Cause.SUSPENDED]


def test_a_frozen_machine_accuses_nobody() -> None:
    # A hypervisor stops the observer as well: nobody looked, and nobody used a CPU.
    findings = World(observer=False).rests(53).does(500, COMPUTING, cpu=0.01, stopped=True).findings()
    assert all(f.cause in INNOCENT and f.culprit is None for f in findings)


def test_a_sleep_while_another_thread_holds_the_gil_is_a_sleep() -> None:
    doing = Doing(waiting=SLEEPING, gil_held=True, others_cpu=1.0, others=(spinning(),))
    assert World().rests(53).does(300, doing).finding().cause is Cause.SLEEP


def test_contention_names_the_thread_that_computed() -> None:
    idle = ThreadSampled(78, "pool", 5, (library("threading", "Condition.wait"),))
    world = World().rests(53)
    for number in range(10):
        world.does(30, Doing(waiting=ON_GIL, others_cpu=1.0, gil_held=True, others=(idle, spinning(number * 30 * MS))))
    finding = world.finding()
    assert finding.other_thread is not None
    assert (finding.other_thread.name, finding.other_thread.frames[-1]) == ("spinner", HELPER)
    assert finding.gil_held


def test_contention_on_a_crowded_machine_is_no_c_call_of_the_loop() -> None:
    # Each time it asks for the GIL it waits for a CPU; the thread that has the GIL gets little of one too.
    doing = Doing(others_cpu=0.35, gil_held=True, in_call=True, others=(spinning(),))
    world = World().rests(53)
    for _ in range(60):
        world.does(20, doing, waiting=ON_GIL).does(8, doing, waiting=ON_FUTEX).does(22, doing, runqueue=1.0)
    finding = world.finding()
    assert (finding.cause, finding.culprit) == (Cause.CONTENTION, None)


def test_a_wait_for_a_thread_that_computes_is_none_for_the_gil() -> None:
    """The watchdog is kept waiting by that thread as well; the observer sees for what the loop waits."""
    joins = Doing(waiting=ON_FUTEX, others_cpu=0.97, others=(spinning(),))
    hidden = replace(joins, gil_held=True)
    world = World().rests(100)
    for _ in range(8):
        world.does(30, hidden).does(10, joins)
    finding = world.finding()
    assert finding.portrait.unseen >= 0.5
    assert (finding.cause, finding.culprit) == (Cause.LOCK, HANDLER)


def test_contention_of_an_idle_loop_is_told_too() -> None:
    doing = Doing(frames=(), unit=0, idle=True, waiting=ON_GIL, gil_held=True, others_cpu=1.0, others=(spinning(),))
    [finding] = World().rests(53).does(300, doing).findings()
    assert finding.cause is Cause.CONTENTION


@pytest.mark.parametrize("length_ms", [105, 300])
def test_a_thread_that_computed_while_the_loop_had_nothing_to_do_kept_it_from_nothing(length_ms: int) -> None:
    doing = Doing(frames=(), unit=0, idle=True, waiting=Waiting("epoll_wait"), gil_held=True, others_cpu=1.0)
    assert World().rests(53).does(length_ms, doing, others=(spinning(),)).findings() == []


@pytest.mark.parametrize("rest_ms", [300, 700, 3000])
@pytest.mark.parametrize("kept_ms", [150, 500])
def test_what_a_loop_is_kept_from_begins_when_it_has_something_to_do(rest_ms: int, kept_ms: int) -> None:
    held = Doing(frames=(), unit=0, idle=True, gil_held=True, others_cpu=1.0, others=(spinning(),))
    world = World().rests(53).does(rest_ms, held, waiting=Waiting("epoll_wait")).does(kept_ms, held, waiting=ON_GIL)
    finding = world.finding()
    assert (finding.cause, finding.other_thread) == (Cause.CONTENTION, spinning())
    assert finding.span.length_ns / MS == pytest.approx(kept_ms, abs=10)


def test_what_a_loop_is_kept_from_for_a_moment_after_a_rest_is_no_stall() -> None:
    held = Doing(frames=(), unit=0, idle=True, gil_held=True, others_cpu=1.0, others=(spinning(),))
    world = World().rests(53).does(500, held, waiting=Waiting("epoll_wait")).does(60, held, waiting=ON_GIL)
    assert world.findings() == []


def test_contention_that_goes_on_accuses_nobody() -> None:
    # While it goes on, the CPU time of the other threads is not known yet.
    doing = Doing(waiting=ON_GIL, others_cpu=1.0, cycle=MOVING, others=(spinning(),))
    world = World().rests(53).does(3000, doing).play(1500)
    [(at_ns, announcement)] = world.announcements
    [finding] = world.judge(announcement.episode, at_ns)
    assert (finding.cause, finding.culprit) == (Cause.CONTENTION, None)


@pytest.mark.parametrize("observer", [True, False])
def test_an_idle_loop_with_a_late_watchdog_is_no_finding(observer: bool) -> None:
    world = World(observer=observer).rests(53).does(
        300, Doing(frames=(), unit=0, idle=True, deprived=True, waiting=Waiting("epoll_wait"))
    )  # fmt: skip
    assert world.findings() == []


def test_a_busy_loop_whose_watchdog_got_no_cpu_is_no_finding() -> None:
    # It turns all the time: short callbacks, a beat whenever one was asked for.
    watched = World(observer=False).rests(53).does(300, Doing(idle=True, frames=(), unit=0, cpu=0.9, deprived=True))
    assert watched.findings() == []


@pytest.mark.parametrize("phase_ms", range(0, 11, 2))
def test_a_c_call_that_nobody_could_look_at_is_told_without_a_line(phase_ms: int) -> None:
    # The watchdog came back when the loop was idle again, in time for a look at that or not.
    world = World(observer=False, latency_ms=3).rests(50 + phase_ms).does(300, IN_C)
    [finding] = world.findings()
    assert (finding.cause, finding.culprit) == (Cause.NATIVE, None)


# Who did it


def test_an_early_innocent_sample_does_not_outweigh_the_culprit() -> None:
    innocent = CodeFrame("/srv/app/other.py", 5, "other")
    finding = World().rests(53).does(25, frames=(innocent,), unit=9, cpu=1.0).does(280, SLEEP).finding()
    assert (finding.cause, finding.culprit) == (Cause.SLEEP, HANDLER)
    assert finding.span.length_ns > 290 * MS  # the loop did not turn in between


def test_an_early_innocent_line_of_the_same_task_does_not_outweigh_the_culprit() -> None:
    finding = World().rests(53).does(40, SLEEP, frames=(HANDLER._replace(line=40),)).does(260, SLEEP).finding()
    assert finding.culprit == HANDLER
    assert [frame.line for frame, _ in finding.profile] == [44, 40]


def test_two_culprits_back_to_back_are_two() -> None:
    other = CodeFrame("/srv/app/other.py", 5, "other")
    first, second = World().rests(53).does(200, SLEEP).does(150, frames=(other,), unit=2, waiting=RECEIVING).findings()
    assert [(f.cause, f.culprit) for f in (first, second)] == [(Cause.SLEEP, HANDLER), (Cause.IO, other)]
    assert first.span.ended_ns == second.span.began_ns
    assert abs(first.span.length_ns - 200 * MS) < 16 * MS


def test_the_same_endpoint_twice_back_to_back_is_two() -> None:
    findings = World().rests(53).does(150, SLEEP, unit=1).does(150, SLEEP, unit=2).findings()
    assert [f.culprit for f in findings] == [HANDLER, HANDLER]


def test_one_task_with_many_leaves_is_one() -> None:
    leaves = tuple((HANDLER, CodeFrame(f"/srv/app/leaf{n}.py", n, "leaf")) for n in range(40))
    finding = World().rests(53).does(800, Doing(cpu=1.0, cycle=leaves, in_call=False)).finding()
    assert finding.cause is Cause.CPU
    assert finding.samples > 30
    assert len(finding.profile) == 8


def test_a_long_callback_among_many_short_ones_is_charged_for_its_own_time() -> None:
    world = flood(15, 40, cpu=1.0).does(150, SLEEP, unit=99)
    [finding] = [f for f in world.findings() if f.cause is not Cause.FLOOD]
    assert finding.culprit == HANDLER
    assert finding.span.length_ns < 200 * MS


def test_callbacks_outside_tasks_are_told_apart_by_their_function() -> None:
    other = CodeFrame("/srv/app/other.py", 5, "other")
    findings = World().rests(53).does(150, SLEEP, unit=0).does(150, SLEEP, unit=0, frames=(other,)).findings()
    assert [f.culprit for f in findings] == [HANDLER, other]


def test_a_stack_without_application_code_names_the_innermost_library() -> None:
    frames = (package("driver/connection", "Connection.query", 5), library("socket", "recv", 7))
    assert World().rests(53).does(300, frames=frames, waiting=RECEIVING).finding().culprit == frames[-1]


def test_without_any_figure_the_frames_decide() -> None:
    def judged(frames: tuple[CodeFrame, ...]) -> Finding:
        world = World(observer=False).rests(53).does(300, frames=frames).play()
        [episode] = world.stalls
        episode.cpu_ns = episode.process_cpu_ns = None
        episode.ended_cpu_ns = episode.ended_process_cpu_ns = None
        episode.accounts.clear()
        nothing = {"cpu_ns": None, "runqueue_ns": None, "waiting": None, "runnable": None, "in_call": None}
        episode.samples = [replace(sample, **nothing) for sample in episode.samples]
        [finding] = world.judge(episode, episode.ended_ns or 0)
        return finding

    assert judged(ACQUIRE).cause is Cause.LOCK
    assert judged(REQUEST).cause is Cause.IO


def test_one_look_at_a_long_silence_without_computing_accuses_nobody() -> None:
    # Measured on a virtual machine: 1.15 s, 0.17 s of it on a CPU, one sample at the end.
    world = World(observer=False).rests(53).does(1150, COMPUTING, cpu=0.15, stopped=True)
    assert all(f.cause in INNOCENT for f in world.findings())


@pytest.mark.parametrize("file", ["watchdog.py", "feeding.py"])
def test_contention_never_names_a_thread_of_ours(file: str) -> None:
    ours = CodeFrame(f"/opt/loophound/loophound/detector/adapters/{file}", 90, "run")
    inner = (CodeFrame(ours.file, 95, "tick"), CodeFrame("/usr/lib/python3.11/threading.py", 327, "wait"))
    watchdog = ThreadSampled(79, "loophound-watchdog", 10**12, (ours, *inner))
    world = World().rests(53)
    for number in range(10):
        others = (replace(watchdog, cpu_ns=(number + 1) * 10**12), spinning(number * 30 * MS))
        world.does(30, Doing(waiting=ON_GIL, others_cpu=1.0, gil_held=True, others=others))
    finding = world.finding()
    assert finding.other_thread is not None
    assert finding.other_thread.name == "spinner"


@pytest.mark.parametrize(
    ("waiting", "cause"),
    [(Waiting("fsync", "/srv/data"), Cause.IO), (SLEEPING, Cause.SLEEP), (ON_FUTEX, Cause.LOCK), (None, Cause.CPU)],
)
def test_short_waits_seen_now_and_then_are_no_computing(waiting: Waiting | None, cause: Cause) -> None:
    """As a loop of fsync looks on a crowded machine: seen to wait for a twelfth of the time."""
    between = Doing(cpu=0.27, runqueue=0.25, in_call=True)
    world = World().rests(100)
    for _ in range(5):
        world.does(55, between).does(5, replace(between, waiting=waiting))
    finding = world.finding()
    assert finding.cause is cause
    assert finding.culprit == HANDLER


@pytest.mark.parametrize(
    ("pauses_per_s", "cause"), [(1200, Cause.IO), (490, Cause.IO), (110, Cause.CPU), (None, Cause.CPU)]
)
def test_one_who_waits_for_moments_again_and_again_does_not_compute(pauses_per_s: float | None, cause: Cause) -> None:
    """Recorded of a loop of fsync on a crowded machine: 26 % CPU, a third in the run queue.

    Measured of such a loop: it gives up its CPU 1,200 times a second, beside a thread that computes 490 times. A
    thread that computes did so 110 times beside two others.
    """
    between = Doing(cpu=0.28, runqueue=0.34, in_call=True, pauses_per_s=pauses_per_s, cycle=((HANDLER,), MOVING[0]))
    on_gil = replace(between, waiting=ON_GIL)
    world = World().rests(100)
    for _ in range(6):
        world.does(26, between).does(20, on_gil).does(6, replace(between, waiting=Waiting("fsync", "/srv/data")))
    assert world.finding().cause is cause


def test_many_pauses_without_a_wait_that_was_seen_are_no_wait() -> None:
    assert World().rests(100).does(300, cpu=1.0, pauses_per_s=3000, cycle=MOVING).finding().cause is Cause.CPU


def test_one_who_was_on_a_cpu_all_along_did_not_pause() -> None:
    """Recorded on a fast machine: the watchdog's looks alone made it give up its CPU 570 times a second."""
    computes = Doing(cpu=0.93, pauses_per_s=570, cycle=MOVING)
    world = World().rests(100).does(290, computes).does(10, replace(computes, waiting=Waiting("epoll_wait")))
    assert world.finding().cause is Cause.CPU
