"""A world of numbers around the core: a loop that does what a script says, and who watches it.

Nothing here sleeps. `World` stands in for the loop, the watchdog, the observer and the
kernel, and feeds the real machine the facts that they would have noted, so that a test
tells what happened and not what was recorded of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from loophound.detector.blame import Origin
from loophound.detector.diagnosis import Finding, diagnose
from loophound.detector.episode import Episode
from loophound.detector.facts import (
    Accounted,
    Collected,
    LoopBeat,
    LoopStopped,
    MachineSlept,
    Sampled,
    Source,
    ThreadSampled,
    Ticked,
    Waiting,
)
from loophound.detector.frames import CodeFrame
from loophound.detector.machine import AskForBeat, CaptureStack, LoopMachine, StallEnded, StallWentOn

MS = 1_000_000
ORIGIN = Origin(
    library_roots=("/usr/lib/python3.11/",),
    own_root="/opt/loophound/loophound/",
    own_applications=("/opt/loophound/loophound/demo/",),
)

# What stands below every callback on asyncio: the program, the wrapped run_forever, the loop.
LOOP = (
    CodeFrame("/srv/app/__main__.py", 9, "<module>", 10),
    CodeFrame("/usr/lib/python3.11/asyncio/base_events.py", 607, "BaseEventLoop.run_forever", 70),
    CodeFrame("/usr/lib/python3.11/asyncio/base_events.py", 1922, "BaseEventLoop._run_once", 800),
    CodeFrame("/usr/lib/python3.11/asyncio/events.py", 80, "Handle._run", 60),
)
BASE = len(LOOP)
IDLE_FRAMES = (*LOOP[:3], CodeFrame("/usr/lib/python3.11/selectors.py", 468, "EpollSelector.select", 90))

HANDLER = CodeFrame("/srv/app/main.py", 44, "show", 120)
HELPER = CodeFrame("/srv/app/prices.py", 7, "total", 30)


def library(module: str, function: str, line: int = 1, instruction: int = 20) -> CodeFrame:
    return CodeFrame(f"/usr/lib/python3.11/{module}.py", line, function, instruction)


def package(module: str, function: str, line: int = 1, instruction: int = 20) -> CodeFrame:
    return CodeFrame(f"/srv/venv/lib/python3.11/site-packages/{module}.py", line, function, instruction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What goes on for a while. Shares are of that while."""

    frames: tuple[CodeFrame, ...] = (HANDLER,)
    unit: int = 1
    idle: bool = False
    cpu: float = 0.0
    others_cpu: float = 0.0
    runqueue: float = 0.0
    pauses_per_s: float | None = None  # how often it gives up its CPU to wait; None when the kernel does not tell
    waiting: Waiting | None = None
    gil_held: bool = False  # the watchdog cannot run, nor any other Python thread
    deprived: bool = False  # the watchdog gets no CPU
    stopped: bool = False  # the whole process stands still
    in_call: bool | None = None
    others: tuple[ThreadSampled, ...] = ()
    cycle: tuple[tuple[CodeFrame, ...], ...] = ()  # frames of successive samples, where they move

    @property
    def keeps_watchdog_away(self) -> bool:
        return self.gil_held or self.deprived or self.stopped


IDLE = Doing(frames=(), unit=0, idle=True, waiting=Waiting("epoll_wait"))


@dataclass(frozen=True, slots=True)
class Act:
    began_ns: int
    ended_ns: int
    doing: Doing

    def part_ns(self, until_ns: int) -> int:
        return max(0, min(self.ended_ns, until_ns) - self.began_ns)


@dataclass
class World:
    """`does()` writes the script, `play()` lets the watchers see it. Times are milliseconds."""

    threshold_ms: float = 100
    interval_ms: float = 20
    observer: bool = True
    oversleep_ms: float = 0.08  # timed waits end late
    latency_ms: float = 0.03  # from the question to the answer of a loop that is free
    acts: list[Act] = field(default_factory=list)
    collections: list[Collected] = field(default_factory=list)
    stops_at_ms: float | None = None
    sleeps_at_ms: float | None = None  # the machine, for however long: no clock here goes on meanwhile
    happened: list[tuple[int, Any]] = field(default_factory=list)  # commands and events with their time
    samples_taken: int = 0

    def does(self, ms: float, doing: Doing | None = None, /, **what: Any) -> World:
        began_ns = self.acts[-1].ended_ns if self.acts else 0
        doing = doing if doing is not None else Doing()
        self.acts.append(Act(began_ns, began_ns + round(ms * MS), replace(doing, **what) if what else doing))
        return self

    def rests(self, ms: float) -> World:
        return self.does(ms, IDLE)

    def collects(self, ms: float, *, generation: int = 2, collected: int = 1000, **what: Any) -> World:
        """A collection, which holds the GIL."""
        self.does(ms, **{"cpu": 1.0, "gil_held": True, **what})
        act = self.acts[-1]
        self.collections.append(Collected(act.began_ns, act.ended_ns, generation, collected))
        return self

    # What the world is like at a time

    def doing_at(self, at_ns: float) -> Doing:
        return next((act.doing for act in self.acts if act.began_ns <= at_ns < act.ended_ns), IDLE)

    def free_at(self, at_ns: int) -> int:
        """When the loop turns next."""
        for act in self.acts:
            busy = not act.doing.idle or act.doing.stopped
            if busy and act.began_ns <= at_ns < act.ended_ns:
                at_ns = act.ended_ns
        return at_ns

    def cpu_ns(self, at_ns: int) -> int:
        return round(sum(act.part_ns(at_ns) * act.doing.cpu for act in self.acts))

    def process_cpu_ns(self, at_ns: int) -> int:
        return round(sum(act.part_ns(at_ns) * (act.doing.cpu + act.doing.others_cpu) for act in self.acts))

    def runqueue_ns(self, at_ns: int) -> int:
        return round(sum(act.part_ns(at_ns) * act.doing.runqueue for act in self.acts))

    def switches(self, at_ns: int) -> int | None:
        if self.doing_at(at_ns).pauses_per_s is None:
            return None
        return round(sum(act.part_ns(at_ns) * (act.doing.pauses_per_s or 0.0) / 1e9 for act in self.acts))

    def beat(self, at_ns: int) -> LoopBeat:
        return LoopBeat(at_ns, self.cpu_ns(at_ns), self.process_cpu_ns(at_ns))

    def sample(self, at_ns: int, source: Source) -> Sampled:
        doing = self.doing_at(at_ns)
        frames = doing.cycle[self.samples_taken % len(doing.cycle)] if doing.cycle else doing.frames
        self.samples_taken += 1
        return Sampled(
            at_ns=at_ns,
            source=source,
            frames=IDLE_FRAMES if doing.idle else (*LOOP, *frames),
            base=BASE,
            idle=doing.idle,
            unit=doing.unit,
            cpu_ns=self.cpu_ns(at_ns),
            runqueue_ns=self.runqueue_ns(at_ns),
            waiting=doing.waiting,
            runnable=doing.waiting is None,
            stopped=doing.stopped and source is Source.OBSERVER,
            in_call=doing.in_call if source is Source.WATCHDOG else None,
            switches=self.switches(at_ns) if source is Source.WATCHDOG else None,
            others=doing.others,
        )

    # How it is watched

    def play(self, until_ms: float | None = None) -> World:
        """Let the machine see the script, and 100 ms of rest after it."""
        interval_ns = round(self.interval_ms * MS)
        end_ns = round((until_ms if until_ms is not None else self.acts[-1].ended_ns / MS + 100) * MS)
        self.machine = LoopMachine(
            threshold_ns=round(self.threshold_ms * MS), interval_ns=interval_ns, beat=self.beat(0)
        )
        ticked_ns, looked_ns, beat_ns = 0, 0, 0
        answer_ns: int | None = None
        stops_ns = None if self.stops_at_ms is None else round(self.stops_at_ms * MS)
        while ticked_ns < end_ns:
            now_ns, deprived_ns = self._next_tick(ticked_ns, self.machine.pace_ns)
            for collection in [c for c in self.collections if ticked_ns < c.ended_ns <= now_ns]:
                self._feed(collection)
            outside = []
            while self.observer and looked_ns < now_ns:
                looked_ns += interval_ns // 4
                last_ns = answer_ns if answer_ns is not None and answer_ns <= looked_ns else beat_ns
                if looked_ns - last_ns - interval_ns >= max(interval_ns, self.threshold_ms * MS // 5):
                    outside.append(self.sample(looked_ns, Source.OBSERVER))
            self._feed(Accounted(now_ns, self.runqueue_ns(now_ns)))
            if answer_ns is not None and answer_ns <= now_ns:
                self._feed(self.beat(answer_ns))
                beat_ns, answer_ns = answer_ns, None
            if self.sleeps_at_ms is not None and ticked_ns < self.sleeps_at_ms * MS <= now_ns:
                self._feed(MachineSlept(ticked_ns, now_ns))
            if stops_ns is not None and stops_ns <= now_ns:
                self._feed(LoopStopped(stops_ns, self.cpu_ns(stops_ns), self.process_cpu_ns(stops_ns)))
                stops_ns, answer_ns = None, None
            for sample in outside:
                self._feed(sample)
            for item in self._feed(Ticked(now_ns, deprived_ns)):
                self.happened.append((now_ns, item))
                if isinstance(item, AskForBeat):
                    answer_ns = self.free_at(now_ns + round(self.latency_ms * MS))
                elif isinstance(item, CaptureStack):
                    self._feed(self.sample(now_ns, Source.WATCHDOG))
            ticked_ns = now_ns
        return self

    def _next_tick(self, ticked_ns: int, interval_ns: int) -> tuple[int, int]:
        due_ns = ticked_ns + interval_ns + round(self.oversleep_ms * MS)
        now_ns, deprived_ns = due_ns, 0
        for act in self.acts:
            if act.began_ns <= now_ns < act.ended_ns and act.doing.keeps_watchdog_away:
                deprived_ns += act.ended_ns - now_ns if act.doing.deprived else 0
                now_ns = act.ended_ns
        return now_ns, deprived_ns

    def _feed(self, fact: Any) -> list[Any]:
        return self.machine.feed(fact)

    # What came of it

    @property
    def stalls(self) -> list[Episode]:
        return [item.episode for _, item in self.happened if isinstance(item, StallEnded)]

    @property
    def announcements(self) -> list[tuple[int, StallWentOn]]:
        return [(at_ns, item) for at_ns, item in self.happened if isinstance(item, StallWentOn)]

    def findings(self) -> list[Finding]:
        """All that is said of all stalls, in order."""
        self.play()
        return [f for episode in self.stalls for f in self.judge(episode, episode.ended_ns or 0)]

    def finding(self) -> Finding:
        """The one thing that is said."""
        [finding] = self.findings()
        return finding

    def judge(self, episode: Episode, until_ns: int) -> list[Finding]:
        return diagnose(
            episode,
            until_ns=until_ns,
            threshold_ns=round(self.threshold_ms * MS),
            origin=ORIGIN,
            observed=self.observer,
        )


def episode_of(samples: Iterable[Sampled], *, beat_ms: float = 0, due_ms: float = 10, **fields: Any) -> Episode:
    episode = Episode(round(beat_ms * MS), round(due_ms * MS), **fields)
    for sample in samples:
        episode.add_sample(sample)
    return episode


def sampled(at_ms: float, *frames: CodeFrame, **fields: Any) -> Sampled:
    """One sample; without frames, of an idle loop."""
    return Sampled(
        at_ns=round(at_ms * MS),
        source=fields.pop("source", Source.WATCHDOG),
        frames=(*LOOP, *frames) if frames else IDLE_FRAMES,
        base=BASE,
        idle=not frames,
        **fields,
    )
