"""The watchdog thread: it owns the time, feeds the machines and does what they ask."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loophound.detector.adapters.collections import CollectionWatch
from loophound.detector.adapters.heartbeat import NEVER_NS, Crowd, WatchedLoop
from loophound.detector.adapters.kernel import ThreadProbe
from loophound.detector.adapters.link import ObserverLink
from loophound.detector.adapters.sampler import Sampler
from loophound.detector.adapters.sleep import MachineSleep
from loophound.detector.adapters.work import find_work
from loophound.detector.episode import Episode
from loophound.detector.facts import Accounted, Collected, MachineSlept, Sampled, Ticked, Work
from loophound.detector.machine import (
    SLACK_NS,
    AskForBeat,
    CaptureStack,
    Command,
    Event,
    LoopMachine,
    StallEnded,
    StallWentOn,
    State,
)
from loophound.detector.stats import LoopStats

if TYPE_CHECKING:
    from loophound.detector.adapters.interrupt import Interrupter

logger = logging.getLogger("loophound.detector")

STOPPING_S = 2.0
THOROUGH_EVERY = 5  # ticks
FEW_SAMPLES = 8
MOST_STATS = 64
MOST_RESTS = 16
LINGERING_NS = 1_000_000_000
WAITS_FOR_EVENTS = frozenset({"epoll_wait", "epoll_pwait", "epoll_pwait2"})


@dataclass(slots=True)
class Watch:
    """A loop, its machine, and who was seen at work on it."""

    loop: WatchedLoop
    machine: LoopMachine
    probe: ThreadProbe | None = None  # opened at the first tick: short runs need none
    runqueue_ns: int | None = None  # for how long its thread had waited for a CPU, when that was last read
    rested_ns: int = 0  # when it was last seen at rest, and the machine was not told
    begun_ns: int = 0  # the last beat before the stall whose beginning was told
    nameless: set[object] = field(default_factory=set)  # units whose task was sought in vain


@dataclass(frozen=True, slots=True)
class Incident:
    """A stall that began to be worth telling, with all that the report needs."""

    loop: WatchedLoop
    episode: Episode
    until_ns: int
    ongoing: bool
    crowd: Crowd | None


class Watchdog(threading.Thread):
    """Wakes every `interval_ns` while a loop runs and for a second after, and else not at all."""

    def __init__(
        self,
        *,
        interval_ns: int,
        link: ObserverLink | None,
        report: Callable[[Incident], None],
        interrupter: Interrupter | None = None,
    ) -> None:
        super().__init__(name="loophound-watchdog", daemon=True)
        self._interval_ns = interval_ns
        self._link = link
        self._report = report
        self._interrupter = interrupter
        self._sampler = Sampler()
        self._collections = CollectionWatch()
        self._watches: tuple[Watch, ...] = ()
        self._newcomers: deque[WatchedLoop] = deque()  # that began to run since the last tick
        self._stats: dict[tuple[str, str], LoopStats] = {}
        self._dozes = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._own: ThreadProbe | None = None
        self._deprived_ns = 0
        self._failed = False
        self._machine = MachineSleep()
        self._slept: MachineSlept | None = None  # at this tick
        self._collected: Sequence[tuple[int, Collected]] = ()  # since the tick before, with the thread's ident
        self._ticks = 0
        self._rests = 0
        self._ticked_ns = 0
        self._left_ns = 0  # when a run was last seen to be over, or to begin
        self._paced_ns = interval_ns
        # Told of a run that is over, which somebody may have told already.
        self.ended: Callable[[WatchedLoop], None] = lambda loop: None
        # Told of a stall while it lasts, with the loop's last beat; must not wait.
        self.begun: Callable[[WatchedLoop, int, Sampled], None] | None = None
        self.reported_ns = 0  # what had come in by then is reported, if it was worth it

    def watch(self, loop: WatchedLoop) -> None:
        """Called on the loop's thread when it starts to run. What can be done at the next tick is left to it: many
        a run is over by then, as in a suite of tests.
        """
        self._newcomers.append(loop)
        if self._dozes:
            self._wake.set()

    def over(self, loop: WatchedLoop) -> None:
        """Called on the loop's thread when its run has ended. A run that was too short to be a stall is let go where
        nobody has looked at it yet: to hold thousands of these until the next tick cost each 30 µs, of cold memory
        and of collections.
        """
        if not loop.looked_at and loop.is_short():
            self._left_ns = loop.ended_ns
            with suppress(ValueError):  # it has been looked at
                self._newcomers.remove(loop)

    @property
    def stats(self) -> list[tuple[str, str, LoopStats]]:
        """By the names of loop and thread: a program may run one loop after another."""
        return [(loop, thread, stats) for (loop, thread), stats in list(self._stats.items())]

    def forget_stats(self, loop: WatchedLoop) -> None:
        """What it did until now kept nobody waiting. Called on its thread."""
        loop.begin_anew()
        for watch in self._watches:
            if watch.loop is loop:
                watch.machine.stats.clear()

    def stop(self) -> None:
        """Ends after the stalls that are over have been reported."""
        self._stopping.set()
        self._wake.set()
        self.join(STOPPING_S)

    def abandon(self) -> None:
        """After a fork, in the child, where this thread does not run."""
        self._collections.remove()
        self._close_probes()

    def run(self) -> None:
        self._own = ThreadProbe(threading.get_native_id())
        self._take_deprived_ns()
        self._collections.install()
        rest = False
        try:
            while not self._stopping.is_set():
                if self._watches or self._lingers():
                    if not rest or not self._watches:
                        self._paced_ns = min((w.machine.pace_ns for w in self._watches), default=self._interval_ns)
                    # Not an event with a time-out: that costs thrice as much Python at each tick.
                    time.sleep(self._paced_ns / 1e9)
                    rest = self._all_rest()
                    if rest:
                        continue
                else:
                    self._doze()
                self._tick_or_say_why_not()
            self._close()
        finally:
            self._collections.remove()
            self._close_probes()

    def _lingers(self) -> bool:
        """Whether a run ended lately: to be woken for the next costs it more than a tick that finds nothing."""
        return time.monotonic_ns() - self._left_ns < LINGERING_NS

    def _doze(self) -> None:
        self._dozes = True
        if not self._newcomers:  # who comes after this sees that it dozes
            self._wake.wait()
        self._dozes = False
        self._wake.clear()
        self._ticked_ns = 0  # nobody looked meanwhile: the next tick is not late

    def _admit(self, until_ns: int = NEVER_NS) -> None:
        """Have a machine for each newcomer that began before, but for those whose run is over and was too short to
        be a stall.
        """
        while self._newcomers:
            try:
                loop = self._newcomers.popleft()
            except IndexError:  # it was over
                return
            self._left_ns = self._ticked_ns
            if not loop.ended_ns and loop.began_ns > until_ns:
                self._newcomers.appendleft(loop)  # those that follow began later
                return
            loop.looked_at = True
            if loop.is_short():
                continue
            stats = self._stats_of(loop)
            machine = LoopMachine(
                threshold_ns=loop.threshold_ns,
                interval_ns=self._interval_ns,
                beat=loop.first_beat,
                stats=stats,
                # Its first tick, which it had to be old enough for.
                pace_ns=max(self._interval_ns, self._paced_ns) + self._interval_ns // 2,
            )
            self._watches += (Watch(loop, machine),)

    def _stats_of(self, loop: WatchedLoop) -> LoopStats:
        name = (loop.loop_name, loop.thread_name)
        stats = self._stats.get(name)
        if stats is None:
            if len(self._stats) >= MOST_STATS:
                del self._stats[next(iter(self._stats))]
            stats = self._stats[name] = LoopStats()
        return stats

    def _close_probes(self) -> None:
        self._sampler.close()
        for probe in (self._own, *(watch.probe for watch in self._watches)):
            if probe is not None:
                probe.close()

    def _tick_or_say_why_not(self) -> None:
        try:
            self.tick()
        except Exception:
            if not self._failed:
                self._failed = True  # once: what fails at one tick fails at many
                logger.exception("Loophound's watchdog failed; it goes on, and may miss stalls")

    def tick(self) -> None:
        now_ns = time.monotonic_ns()
        late = self._ticked_ns > 0 and now_ns - self._ticked_ns > self._paced_ns + SLACK_NS
        self._ticks += 1
        # Each of these calls lets go of the GIL, which a busy loop then gives back only after
        # 5 ms: at most ticks they are left out.
        thorough = late or self._ticks % THOROUGH_EVERY == 0
        tick = Ticked(now_ns, self._take_deprived_ns() if thorough else 0)
        self._slept = self._machine.slept(now_ns)
        self._ticked_ns = now_ns
        if self._link is not None:
            self._link.page.ticked_ns = now_ns
        # Taken before: a run that begins after has no part in these.
        self._collected = self._collections.take() if self._collections.any else ()
        if self._newcomers:
            # The probe and the first question of a run cost it more than all other ticks do: few tests last that long.
            self._admit(now_ns - self._interval_ns // 2)
        pending = False
        for watch in self._watches:
            pending |= self._look_at(watch, tick, late, thorough)
        if not pending:
            self.reported_ns = now_ns

    def _look_at(self, watch: Watch, tick: Ticked, late: bool, thorough: bool) -> bool:
        """One loop at one tick; true while a stall of it is over and not reported."""
        machine = watch.machine
        closely = thorough or machine.watchful
        if watch.rested_ns:  # the ticks that were left out
            if watch.runqueue_ns is not None:
                # A thread that has not run has not waited for a CPU: what was known of that is known until then.
                machine.feed(Accounted(watch.rested_ns, watch.runqueue_ns))
            machine.feed(watch.loop.rested(watch.rested_ns))
            machine.feed(Ticked(watch.rested_ns))
            watch.rested_ns = 0
        if closely:
            self._account(watch)
        self._hear(watch)
        if machine.state is State.RESTING and not late:
            self._look_without_asking(watch, tick.at_ns)
        # The samples from outside come before the tick: what ends a stall must find them filed.
        if closely:
            self._drain_observer()
        commands = machine.feed(tick)
        if commands:
            self._carry_out(watch, commands, late)
        if self._interrupter is not None and closely:
            self._interrupter.file(watch.loop, machine.episode_at)
            if watch.loop.check():
                self._interrupter.consider(watch.loop, machine.episode, tick.at_ns)
        if machine.finished:
            self._forget(watch)
        elif closely and watch.nameless and not machine.watchful:
            watch.nameless = set()
        return machine.closing

    def _hear(self, watch: Watch) -> None:
        """What came in since the tick before."""
        machine, answers = watch.machine, watch.loop.answers
        watch.loop.look()
        while answers:
            machine.feed(answers.pop(0))
            watch.loop.tell_lag(machine.stats.last_lag_ns)
        # After the answers, for each tells where one silence ends and the next begins: one may lie here unread since
        # before the collection, which let nobody look.
        for ident, collection in self._collected:
            if ident == watch.loop.ident:
                machine.feed(collection)
        if self._slept is not None:
            machine.feed(self._slept)

    def _look_without_asking(self, watch: Watch, now_ns: int) -> None:
        """To ask costs the loop a wake, and to tell that it turns or rests is often possible without."""
        machine, loop = watch.machine, watch.loop
        if loop.tells_turns and not machine.tells_turns:
            machine.tells_turns = True
        if now_ns - machine.episode.beat_ns >= machine.interval_ns // 2:
            alive = loop.seen_alive(now_ns, machine.interval_ns // 4, lambda: self._waits_for_events(watch))
            if alive is not None:
                machine.feed(alive)
        if machine.tells_turns:
            loop.pace(machine.longest_pace_ns)

    def _waits_for_events(self, watch: Watch) -> bool:
        # While it rests it waits for no CPU either, so that what comes of it later stands out.
        self._account(watch)
        return watch.probe is not None and watch.probe.call() in WAITS_FOR_EVENTS

    def _all_rest(self) -> bool:
        """A tick of loops that have nothing to do, which most have most of the time: no fact changes.

        Every some ticks the machines are told all the same, for the figures that they keep.
        """
        now_ns = time.monotonic_ns()
        self._rests += 1
        if self._newcomers or now_ns - self._ticked_ns > self._paced_ns + SLACK_NS or self._rests >= MOST_RESTS:
            self._rests = 0
            return False
        for watch in self._watches:
            machine = watch.machine
            if machine.state is not State.RESTING or machine.closing or not watch.loop.rests(now_ns):
                self._rests = 0
                return False
            watch.rested_ns = now_ns
        self._ticked_ns = now_ns
        if self._link is not None:
            self._link.page.ticked_ns = now_ns
        return True

    def _carry_out(self, watch: Watch, items: Sequence[Command | Event], late: bool) -> None:
        for item in items:
            match item:
                case AskForBeat():
                    watch.loop.ask(watch.machine.episode.due_ns)
                case CaptureStack():
                    self._capture(watch, late)
                case StallWentOn() | StallEnded() if item.episode.began_ns < watch.loop.quiet_until_ns:
                    pass
                case StallWentOn():
                    self._announce(watch, item)
                case StallEnded():
                    self._report(self._incident(watch, item.episode, item.episode.ended_ns or 0, ongoing=False))

    def _account(self, watch: Watch) -> None:
        if watch.probe is None:
            watch.probe = ThreadProbe(watch.loop.native_id)
        _, runqueue_ns = watch.probe.cpu_and_runqueue_ns()
        if runqueue_ns is not None:
            watch.runqueue_ns = runqueue_ns
            watch.machine.feed(Accounted(time.monotonic_ns(), runqueue_ns))

    def _capture(self, watch: Watch, late: bool) -> None:
        if watch.probe is None or not watch.loop.check():
            return
        sample = self._sampler.sample(watch.loop, watch.probe, self._link, others=late)
        if sample is not None:
            sample = self._with_request(watch, sample)
            watch.machine.feed(sample)
            if self.begun is not None and watch.machine.state is State.STALLED:
                self._tell_begun(watch, sample)

    def _with_request(self, watch: Watch, sample: Sampled) -> Sampled:
        """Where tasks are not marked with their requests, as the hang watch has it, the server is asked, once."""
        unit, work = sample.unit, sample.work
        if work is None or work.request is not None or not unit:
            return sample
        named = (
            earlier.work
            for earlier in reversed(watch.machine.episode.samples[-FEW_SAMPLES:])
            if earlier.unit == unit and earlier.work is not None and earlier.work.request is not None
        )
        found = next(named, None)
        if found is None and unit not in watch.nameless:
            loop = watch.loop
            found = find_work(unit, sample.at_ns, loop.loop, loop.present(), search_tasks=False)
            if found is None:
                watch.nameless.add(unit)
        return replace(sample, work=found) if found is not None else sample

    def _tell_begun(self, watch: Watch, sample: Sampled) -> None:
        """Once a stall, with the first sample that shows somebody at work."""
        beat_ns = watch.machine.episode.beat_ns
        if self.begun is not None and watch.begun_ns != beat_ns and not sample.idle:
            watch.begun_ns = beat_ns
            self.begun(watch.loop, beat_ns, sample)

    def _announce(self, watch: Watch, event: StallWentOn) -> None:
        slot = watch.loop.slot
        if slot is not None:
            if slot.announced_ns == event.episode.beat_ns:
                return  # the observer told it while nothing here could run
            slot.reported_ns = event.episode.beat_ns
        self._report(self._incident(watch, event.episode, event.at_ns, ongoing=True))

    def _incident(self, watch: Watch, episode: Episode, until_ns: int, *, ongoing: bool) -> Incident:
        crowd = next((c for c in watch.loop.crowds if c.late_beat_ns == episode.ended_ns), None)
        if crowd is None and watch.loop.exchanges is not None:
            # It has not settled yet: the next stall may be on already.
            crowd = Crowd(until_ns, time.monotonic_ns(), watch.loop.present())
        return Incident(watch.loop, episode, until_ns, ongoing, crowd)

    def _drain_observer(self) -> None:
        if self._link is None:
            return
        for slot, generation, sample in self._link.take():
            watch = self._by_slot(slot, generation)
            if watch is None and self._newcomers:  # it may be of a run that has begun just now
                self._admit()
                watch = self._by_slot(slot, generation)
            if watch is None:
                continue
            work = self._work_behind(watch, sample)
            watch.machine.feed(replace(sample, work=work) if work is not None else sample)

    def _work_behind(self, watch: Watch, sample: Sampled) -> Work | None:
        """The task of a sample from outside: the one of an earlier sample, or a search for it."""
        episode = watch.machine.episode_at(sample.at_ns)
        if episode is None or not sample.unit or sample.unit in watch.nameless:
            return None
        for earlier in reversed(episode.samples[-FEW_SAMPLES:]):
            if earlier.unit == sample.unit and earlier.work is not None:
                return earlier.work
        loop = watch.loop
        work = find_work(sample.unit, sample.at_ns, loop.loop, loop.present())
        if work is None:
            watch.nameless.add(sample.unit)
        return work

    def _by_slot(self, index: int, generation: int) -> Watch | None:
        for watch in self._watches:
            if watch.loop.slot is not None and (watch.loop.slot.index, watch.loop.generation) == (index, generation):
                return watch
        return None

    def _take_deprived_ns(self) -> int:
        """For how long this thread has waited for a CPU since its last tick."""
        _, total_ns = self._own.cpu_and_runqueue_ns() if self._own is not None else (None, None)
        if total_ns is None:
            return 0
        before_ns, self._deprived_ns = self._deprived_ns, total_ns
        return total_ns - before_ns

    def _forget(self, watch: Watch) -> None:
        self._watches = tuple(other for other in self._watches if other is not watch)
        self._left_ns = self._ticked_ns
        self.ended(watch.loop)
        if watch.probe is not None:
            watch.probe.close()

    def _close(self) -> None:
        """Report what is over; a loop that still runs is no longer watched."""
        for loop in (*self._newcomers, *(watch.loop for watch in self._watches)):
            loop.stop()
        deadline_ns = time.monotonic_ns() + int(STOPPING_S * 0.5e9)
        while (self._watches or self._newcomers) and time.monotonic_ns() < deadline_ns:
            self._tick_or_say_why_not()
            if self._watches:
                time.sleep(self._interval_ns / 1e9)
