"""The observer process: it watches from outside, by its own clock.

While a C call holds the GIL nothing in the watched process can look, and those are the
stalls that nobody else names. The observer reads when each loop last spoke from the shared
page, and takes stacks from outside as soon as one is overdue. It sends them to the watched
process, and speaks up itself only when that cannot.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from copy import copy
from dataclasses import dataclass, field

from loophound.detector.adapters.kernel import ThreadProbe
from loophound.detector.episode import Episode, Span
from loophound.detector.facts import Sampled, Source, ThreadSampled
from loophound.detector.machine import ONGOING_NS
from loophound.observer.announce import Announcer
from loophound.observer.layout import Layout
from loophound.observer.memory import ProcessMemory
from loophound.observer.messages import Encoder, greeting
from loophound.observer.page import ON_ASYNCIO, Page, Slot
from loophound.observer.walk import Walk, Walker

# A watchdog that has not woken for so long is kept from running: the observer speaks.
SILENT_NS = 250_000_000
RETRY_NS = 250_000_000  # when what was seen so far accuses nobody for a second yet
MOST_OTHER_THREADS = 32
OTHER_FRAMES = 24
LOWEST_PAUSE_NS = 2_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the watched process passes on: descriptors, the layout and what to do with a stall."""

    page: int
    memory: int
    socket: int
    parent: int  # a pidfd: readable once the watched process has ended
    pid: int
    layout: str
    threshold_ns: int
    interval_ns: int
    announce: bool  # on standard error
    record: str | None
    runtime: tuple[int, int]  # between which addresses the interpreter's runtime state lies there
    worker: int = 0
    as_json: bool = False  # what is announced is a JSON line


@dataclass(slots=True)
class Sight:
    """What was seen of one loop since its last beat."""

    generation: int
    episode: Episode
    probe: ThreadProbe
    sampled_ns: int = 0
    told_ns: int = 0  # when it was last tried to announce the stall
    others: dict[int, ThreadProbe] = field(default_factory=dict)

    def close(self) -> None:
        for probe in (self.probe, *self.others.values()):
            probe.close()


class Observer:
    """Runs until the watched process ends or lets go of the socket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._page = Page(settings.page)
        self._walker = Walker(ProcessMemory(settings.memory), Layout.from_json(settings.layout))
        self._socket = socket.socket(fileno=settings.socket)
        self._socket.setblocking(False)
        self._sights: dict[int, Sight] = {}
        self._announcer = Announcer(settings)
        self._encoder = Encoder()
        self._dropped = 0

    def run(self) -> None:
        # Terminals, timeout(1) and service managers signal whole groups of processes. The
        # observer ends with the watched process, which may have much to do until it does.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(self._settings.parent, select.POLLIN)
        self._send(greeting())
        resting_ms = max(2.0, self._settings.interval_ns * 1.5 / 1e6)
        alert_ms = max(LOWEST_PAUSE_NS, self._settings.interval_ns // 4) / 1e6
        alert = False
        while not poller.poll(alert_ms if alert else resting_ms):
            alert = self.look(time.monotonic_ns())

    def look(self, now_ns: int) -> bool:
        """Look at every loop once; true while one of them is overdue."""
        overdue = False
        live = set()
        for slot in self._page.live():
            live.add(slot.index)
            overdue |= self._look_at(slot, now_ns)
        for index in self._sights.keys() - live:
            self._sights.pop(index).close()
        return overdue

    def _look_at(self, slot: Slot, now_ns: int) -> bool:
        generation, beat_ns = slot.generation, slot.beat_ns
        interval_ns = self._settings.interval_ns
        late_ns = now_ns - beat_ns - interval_ns
        sight = self._sights.get(slot.index)
        if sight is not None and sight.generation != generation:
            self._sights.pop(slot.index).close()
            sight = None
        if late_ns < max(interval_ns, self._settings.threshold_ns // 5):
            return False
        if sight is None:
            probe = self._probe(slot.native_id)
            sight = self._sights[slot.index] = Sight(generation, Episode(0, 0), probe)
        if sight.episode.beat_ns != beat_ns:
            sight.episode = Episode(beat_ns, beat_ns + interval_ns)
            sight.sampled_ns = sight.told_ns = 0
        if now_ns - sight.sampled_ns >= max(LOWEST_PAUSE_NS, interval_ns // 4, late_ns // 100):
            sight.sampled_ns = now_ns
            self._sample(slot, sight)
        if late_ns >= ONGOING_NS:
            self._speak(slot, sight, now_ns)
        return True

    def _probe(self, native_id: int) -> ThreadProbe:
        return ThreadProbe(native_id, str(self._settings.pid), (self._settings.runtime[0], self._settings.runtime[1]))

    def _sample(self, slot: Slot, sight: Sight) -> None:
        at_ns = time.monotonic_ns()
        cpu_ns, runqueue_ns = sight.probe.cpu_and_runqueue_ns()
        waiting, runnable = sight.probe.look()
        walk = self._walker.walk(slot.thread_state, slot.native_id)
        if walk is None or slot.generation != sight.generation:
            return
        base = slot.base
        idle = is_idle(walk, base, slot.kind)
        sample = Sampled(
            at_ns=at_ns,
            source=Source.OBSERVER,
            frames=walk.frames,
            base=base,
            idle=idle,
            unit=0 if idle else walk.owners[base],
            cpu_ns=cpu_ns,
            runqueue_ns=runqueue_ns,
            waiting=waiting,
            runnable=runnable,
            stopped=sight.probe.is_stopped(),
            others=self._others(slot, sight),
        )
        sight.episode.add_sample(sample)
        if self._send(self._encoder.encode(slot.index, sight.generation, sample, self._dropped)):
            self._encoder.sent(slot.index, sight.generation, sample)

    def _others(self, slot: Slot, sight: Sight) -> tuple[ThreadSampled, ...]:
        """The other threads, when the watchdog has been kept from running: one of them may
        hold the GIL.
        """
        if time.monotonic_ns() - self._page.ticked_ns < self._settings.interval_ns * 3:
            return ()
        seen = []
        for thread in self._walker.threads(slot.thread_state)[:MOST_OTHER_THREADS]:
            if thread.native_id == slot.native_id:
                continue
            probe = sight.others.get(thread.native_id)
            if probe is None:
                probe = sight.others[thread.native_id] = self._probe(thread.native_id)
            cpu_ns, _ = probe.cpu_and_runqueue_ns()
            walk = self._walker.walk(thread.state, thread.native_id)
            if cpu_ns is not None and walk is not None:
                seen.append(ThreadSampled(thread.native_id, None, cpu_ns, walk.frames[-OTHER_FRAMES:]))
        return tuple(seen)

    def _speak(self, slot: Slot, sight: Sight, now_ns: int) -> None:
        """Announce a stall that goes on, when the watched process itself cannot."""
        episode, ticked_ns = sight.episode, self._page.ticked_ns
        if slot.quiet or not (self._settings.announce or self._settings.record):
            return
        if episode.announced or slot.reported_ns == episode.beat_ns or now_ns - ticked_ns < SILENT_NS:
            return
        if now_ns - sight.told_ns < RETRY_NS:
            return
        sight.told_ns = now_ns
        seen = copy(episode)
        seen.unseen = [Span(ticked_ns + self._settings.interval_ns, now_ns)]
        if self._announcer.announce(slot, seen, now_ns):
            episode.announced = True
            slot.announced_ns = episode.beat_ns

    def _send(self, message: bytes) -> bool:
        try:
            self._socket.send(message)
        except OSError:  # full: the watched process does not read just now; or gone, which the poll tells
            self._dropped += 1
            return False
        return True


def is_idle(walk: Walk, base: int, kind: int) -> bool:
    """As the sampler inside the process has it: no frame above the loop's machinery."""
    if len(walk.frames) <= base or base < 1:
        return True
    return kind == ON_ASYNCIO and walk.frames[base - 1].function != "Handle._run"
