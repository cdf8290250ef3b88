"""One watched process, seen from outside by the observer's own clock.

While a C call holds the GIL nothing in the watched process can look, and those are the
stalls that nobody else names. The observer reads when each loop last spoke from the shared
page, and takes stacks from outside as soon as one is overdue. It sends them to the watched
process, and speaks up itself only when that cannot.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from loophound.detector.adapters.kernel import ThreadProbe
from loophound.detector.adapters.signals import send_to_thread
from loophound.detector.adapters.sleep import MachineSleep
from loophound.detector.blame import is_at_rest, is_debugging
from loophound.detector.episode import Episode, Span
from loophound.detector.facts import Sampled, Source, ThreadSampled
from loophound.detector.limit import held_by
from loophound.detector.machine import ONGOING_NS
from loophound.detector.records import FAILED, OtherThread, Request, Stall
from loophound.detector.report import short, stall_id
from loophound.detector.syscalls import Wait, wait_of
from loophound.observer.announce import Announcer, names_of, thread_name
from loophound.observer.attach import Attachment, Descriptors, enlarge
from loophound.observer.layout import Layout
from loophound.observer.memory import ProcessMemory
from loophound.observer.messages import Encoder, greeting
from loophound.observer.page import ON_ASYNCIO, ON_TRIO, Page, Slot
from loophound.observer.request import ScopeReader, Served
from loophound.observer.states import LoopState, judge
from loophound.observer.turns import place_in, turn_began_ns
from loophound.observer.walk import Thread, Walk, Walker
from loophound.times import iso_of

# A watchdog that has not woken for so long is kept from running: the observer speaks.
SILENT_NS = 250_000_000
RETRY_NS = 250_000_000  # when what was seen so far accuses nobody for a second yet
MOST_OTHER_THREADS = 32
OTHER_FRAMES = 24
LOWEST_PAUSE_NS = 2_000_000
MOST_TOLD = 64
MOST_PARTS = 4  # of a stall that several have caused, each with a record
CALLERS = {ON_ASYNCIO: "Handle._run", ON_TRIO: "unrolled_run"}  # of a callback, or of a task's step
# In these a loop stands since its last beat.
STANDING = frozenset({LoopState.BLOCKED, LoopState.STARVED, LoopState.STOPPED})


Message = dict[str, Any]  # of the feed, docs/feed.md


@dataclass(slots=True)
class Sight:
    """What was seen of one loop since its last beat."""

    generation: int
    episode: Episode
    probe: ThreadProbe
    sampled_ns: int = 0
    signalled_ns: int = 0
    told_ns: int = 0  # when it was last tried to announce the stall
    served: Served | None = None  # whose request it is in, as far as that can be seen from outside
    examined: bool = False  # since the last beat, by a supervisor, which keeps what was found
    others: dict[int, ThreadProbe] = field(default_factory=dict)

    def close(self) -> None:
        for probe in (self.probe, *self.others.values()):
            probe.close()


class Watched:
    """A process under watch. `channel` is our end of the socket on which it attached."""

    def __init__(
        self,
        attachment: Attachment,
        descriptors: Descriptors,
        channel: socket.socket,
        publish: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self.attachment = attachment
        self.descriptors = descriptors
        self.channel = channel
        self.look_ns = 0  # when to look again
        self._page = Page(descriptors.page)
        self._memory, layout = ProcessMemory(descriptors.memory), Layout.from_json(attachment.layout)
        self._walker, self._scopes = Walker(self._memory, layout), ScopeReader(self._memory, layout)
        self._sights: dict[int, Sight] = {}
        self._announcer = Announcer(attachment)
        self._machine = MachineSleep()
        self._encoder = Encoder()
        self._publish = publish
        self._told: dict[str, Stall] = {}  # by id: what the process has said of stalls that go on
        self._begun: dict[int, tuple[int, Message]] = {}  # by slot: the beat before a stall, and whose request it is in
        self._since: dict[int, tuple[tuple[int, LoopState], int]] = {}  # by slot: generation and state, and since when
        self.utilisation: dict[tuple[str, str], float] = {}  # of the last second, by the names of loop and thread
        self._dropped = 0
        enlarge(channel)
        channel.setblocking(False)
        self._next_ns = 0  # when to look again, while nobody is overdue
        self._patience_ns = max(attachment.interval_ns, attachment.threshold_ns * 3 // 10)
        self._resting_ns = attachment.interval_ns * 3
        self._ongoing_ns = max(ONGOING_NS, attachment.threshold_ns)  # what is shorter is no stall
        self._alert_ns = max(LOWEST_PAUSE_NS, attachment.interval_ns // 4)
        self._send(greeting())

    def look_again(self, now_ns: int) -> None:
        """Look, where it is time to."""
        if now_ns >= self.look_ns:
            # A loop that starts meanwhile tells nobody.
            self._next_ns = now_ns + self._resting_ns
            overdue = self.look(now_ns)
            self.look_ns = now_ns + self._alert_ns if overdue else max(self._next_ns, now_ns + LOWEST_PAUSE_NS)

    @property
    def slots(self) -> list[Slot]:
        return self._page.live()

    def want(self, wanted: bool) -> None:
        """Tell the process whether somebody reads the figures of its requests and tasks."""
        self._page.wanted = wanted

    def take_in(self, message: Message) -> None:
        """What the process says of itself: of a request it knows more than can be seen from outside."""
        if message["type"] == "stall" and message["stall"]["ongoing"]:
            self._told[message["stall"]["id"]] = Stall.from_dict(message["stall"])
            if len(self._told) > MOST_TOLD:
                del self._told[next(iter(self._told))]
        elif message["type"] == "begun":
            self._begun[message["slot"]] = message["beat_ns"], message["request"]
        for loop in message.get("loops", ()):
            self.utilisation[loop["loop"], loop["thread"]] = loop["recent_utilisation"]

    def states(self, now_ns: int) -> list[Message]:
        """How each loop does now: messages of the feed."""
        return [self._state(slot, now_ns) for slot in self.slots]

    def _state(self, slot: Slot, now_ns: int) -> Message:
        attachment = self.attachment
        loop, thread = names_of(slot, attachment.pid)
        beat_ns = slot.beat_ns
        late_ns = now_ns - beat_ns - self._pace_ns(slot)
        sight = self._sights.get(slot.index)
        episode = sight.episode if sight is not None and sight.episode.beat_ns == beat_ns else None
        late = late_ns >= self._patience_ns
        began_ns = beat_ns + self._pace_ns(slot) // 2 if episode is None else episode.began_ns
        state = judge(
            now_ns - began_ns,
            threshold_ns=attachment.threshold_ns,
            late=late,
            stopped=late and sight is not None and sight.probe.is_stopped(),
            samples=episode.samples if episode is not None else (),
            utilisation=self.utilisation.get((loop, thread), 0.0),
        )
        since_ns = self._since_when(slot, state, began_ns if state in STANDING else now_ns)
        sample = self._working(episode) if late else None
        holder = self._holder(slot, sight, now_ns) if state is LoopState.BLOCKED else None
        return {
            "type": "state",
            "worker": attachment.worker,
            "pid": attachment.pid,
            "thread": thread,
            "loop": loop,
            "at": iso_of(now_ns),
            "state": state.value,
            "for_s": round((now_ns - since_ns) / 1e9, 3),
            "lag_s": round((max(late_ns, 0) if late else slot.lag_ns) / 1e9, 6),
            "serving": not slot.quiet,
            "debugged": sample is not None and is_debugging(sample.frames, sample.base),
            "line": self._announcer.line_of(sample) if sample is not None and holder is None else None,
            "other_thread": asdict(holder) if holder is not None else None,
            "request": self._request_of(slot, sight if sample is not None else None) if late else None,
        }

    def _holder(self, slot: Slot, sight: Sight | None, now_ns: int) -> OtherThread | None:
        """The thread that keeps the loop's from running, where that waits for the GIL."""
        if sight is None or sight.episode.beat_ns != slot.beat_ns or not sight.episode.samples:
            return None
        waiting = sight.episode.samples[-1].waiting
        if waiting is None or wait_of(waiting) is not Wait.GIL:
            return None
        stalls = self._stalls(slot, sight, now_ns, least_ns=0)
        return stalls[-1].other_thread if stalls else None

    def _request_of(self, slot: Slot, sight: Sight | None) -> Message | None:
        """What the process has said of this stall, in a record or with its first look at it; else what can be seen."""
        ids = (stall_id(self.attachment.pid, slot.index, slot.beat_ns, number) for number in range(MOST_PARTS))
        request = next((self._told[id].request for id in ids if id in self._told), None)
        told = asdict(request) if request is not None else None
        beat_ns, begun = self._begun.get(slot.index, (0, None))
        if told is None and beat_ns == slot.beat_ns:
            told = begun
        if told is None and sight is not None:
            served = self._served(slot, sight)
            told = asdict(served.request) if served is not None else None
        return told

    def _served(self, slot: Slot, sight: Sight) -> Served | None:
        """Whose request the loop is in now, between two walks that show its coroutine."""
        walk = self._walker.walk(slot.thread_state, slot.native_id)
        if walk is not None:
            found = self._scopes.read(walk)
            same = found is not None and found.stands_in(self._walker.walk(slot.thread_state, slot.native_id))
            sight.served = found if same and slot.beat_ns == sight.episode.beat_ns else None
        return sight.served

    def _since_when(self, slot: Slot, state: LoopState, now_ns: int) -> int:
        before, since_ns = self._since.get(slot.index, ((0, LoopState.GONE), 0))
        if before != (slot.generation, state) or state in STANDING:
            since_ns = now_ns
            self._since[slot.index] = (slot.generation, state), now_ns
        return since_ns

    @staticmethod
    def _working(episode: Episode | None) -> Sampled | None:
        """The latest sample in which the loop was at work."""
        samples = episode.samples if episode is not None else []
        return next((sample for sample in reversed(samples) if not sample.idle), None)

    def diagnose(self, now_ns: int) -> Message:
        """All that is known of the process now: states, stalls that go on, and where every thread stands.

        Who asks keeps the stalls: `died()` tells of them no more.
        """
        self.look(now_ns)
        stalls: list[Stall] = []
        for slot in self.slots:
            sight = self._sights.get(slot.index)
            if sight is not None and sight.episode.beat_ns == slot.beat_ns:
                stalls += map(self._as_told, self._stalls(slot, sight, now_ns, least_ns=0))
                sight.examined = True
        return {
            "worker": self.attachment.worker,
            "pid": self.attachment.pid,
            "loops": self.states(now_ns),
            "stalls": [stall.to_dict() for stall in stalls],
            "threads": self._threads(),
        }

    def _as_told(self, stall: Stall) -> Stall:
        """With what the process has said of it in its first second: from outside not all can be seen."""
        told = self._told.get(stall.id)
        if told is None:
            return stall
        request, task = told.request or stall.request, told.task or stall.task
        return replace(stall, task=task, request=request, victims=told.victims, delays=told.delays)

    def _threads(self) -> list[Message]:
        states = [slot.thread_state for slot in self.slots]
        threads = self._walker.threads(states[0]) if states else []
        return [self._thread(thread) for thread in threads[:MOST_OTHER_THREADS]]

    def _thread(self, thread: Thread) -> Message:
        walk = self._walker.walk(thread.state, thread.native_id)
        probe = self._probe(thread.native_id)
        try:
            waiting, _ = probe.look()
            kernel_state = probe.state()
        finally:
            probe.close()
        return {
            "native_id": thread.native_id,
            "name": thread_name(self.attachment.pid, thread.native_id),
            "kernel_state": kernel_state,
            "syscall": waiting.syscall if waiting else None,
            "target": waiting.target if waiting else None,
            "stack": [
                {"file": frame.file, "line": frame.line, "function": short(frame.function)}
                for frame in (walk.frames[-OTHER_FRAMES:] if walk is not None else ())
            ],
        }

    def stands(self) -> bool:
        """Whether a loop was in a stall when it was last looked at."""
        return any(self._open(slot) is not None for slot in self.slots)

    def died(self, now_ns: int) -> None:
        """The process has ended; a stall in which it was ended with it, and nobody else can tell of that."""
        for slot in self.slots:
            sight = self._open(slot)
            if sight is None or slot.quiet or sight.examined:
                continue
            stalls = self._announcer.stalls(
                slot,
                self._seen(sight.episode, now_ns),
                now_ns,
                least_ns=self.attachment.threshold_ns,
                served=sight.served,
                ended_with_process=True,
            )
            self._tell(self._with_request(slot, stalls))
            self._announcer.keep(stalls)

    def _open(self, slot: Slot) -> Sight | None:
        sight = self._sights.get(slot.index)
        same = sight is not None and sight.generation == slot.generation and sight.episode.beat_ns == slot.beat_ns
        return sight if same else None

    def close(self) -> None:
        for sight in self._sights.values():
            sight.close()
        self._sights.clear()
        self._page.close()
        self.channel.close()
        self.descriptors.close()

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
        interval_ns, pace_ns = self.attachment.interval_ns, self._pace_ns(slot)
        late_ns = now_ns - beat_ns - pace_ns
        sight = self._sights.get(slot.index)
        if sight is not None and sight.generation != generation:
            self._sights.pop(slot.index).close()
            sight = None
        if late_ns < self._patience_ns:
            self._next_ns = min(self._next_ns, beat_ns + pace_ns + self._patience_ns)
            return False
        if sight is None:
            probe = self._probe(slot.native_id)
            sight = self._sights[slot.index] = Sight(generation, Episode(0, 0), probe)
        if sight.episode.beat_ns != beat_ns:
            sight.episode = Episode(beat_ns, beat_ns + pace_ns)
            self._machine.slept(now_ns)
            sight.sampled_ns = sight.told_ns = 0
            sight.served, sight.examined = None, False
        rarer_ns = 0 if self.attachment.by_proxy else late_ns // 100  # by proxy there are but a few looks
        if now_ns - sight.sampled_ns >= max(LOWEST_PAUSE_NS, interval_ns // 4, rarer_ns):
            sight.sampled_ns = now_ns
            self._sample(slot, sight)
        if late_ns >= self._ongoing_ns:
            self._speak(slot, sight, now_ns)
        if 0 < self.attachment.limit_ns <= late_ns:
            self._interrupt(slot, sight, now_ns)
        return True

    def _pace_ns(self, slot: Slot) -> int:
        return slot.pace_ns or self.attachment.interval_ns

    def _probe(self, native_id: int) -> ThreadProbe:
        return ThreadProbe(native_id, str(self.attachment.pid), self.attachment.runtime)

    def _sample(self, slot: Slot, sight: Sight) -> None:
        at_ns = time.monotonic_ns()
        cpu_ns, runqueue_ns = sight.probe.cpu_and_runqueue_ns()
        waiting, runnable = sight.probe.look()
        walk = self._walker.walk(slot.thread_state, slot.native_id)
        if walk is None or slot.generation != sight.generation:
            return
        base = slot.base
        idle = is_idle(walk, base, slot.kind) and not (waiting is not None and wait_of(waiting) is Wait.SLEEP)
        sample = Sampled(
            at_ns=at_ns,
            source=Source.OBSERVER,
            frames=walk.frames,
            base=base,
            idle=idle,
            unit=0 if idle or slot.kind == ON_TRIO else self._unit(walk, base),  # from inside, trio's task is not known
            turn=walk.turn,
            cpu_ns=cpu_ns,
            runqueue_ns=runqueue_ns,
            waiting=waiting,
            runnable=runnable,
            stopped=sight.probe.is_stopped(),
            others=self._others(slot, sight),
            turned_ns=turn_began_ns(self._memory, slot, place_in(slot, walk.frames, walk.addresses)),
        )
        sight.episode.add_sample(sample)
        if self._send(self._encoder.encode(slot.index, sight.generation, sample, self._dropped)):
            self._encoder.sent(slot.index, sight.generation, sample)

    def _unit(self, walk: Walk, base: int) -> int:
        """The coroutine that a task runs; by proxy it is not known how deep the loop's own frames lie."""
        return next(filter(None, walk.owners), 0) if self.attachment.by_proxy else owner_at(walk, base)

    def _others(self, slot: Slot, sight: Sight) -> tuple[ThreadSampled, ...]:
        """The other threads, when the watchdog has been kept from running: one of them may
        hold the GIL.
        """
        if time.monotonic_ns() - self._page.ticked_ns < self._pace_ns(slot) + self.attachment.interval_ns * 2:
            return ()
        seen = []
        for thread in self._walker.threads(slot.thread_state)[:MOST_OTHER_THREADS]:
            if thread.native_id == slot.native_id:
                continue
            probe = sight.others.get(thread.native_id)
            if probe is None:
                probe = sight.others[thread.native_id] = self._probe(thread.native_id)
            cpu_ns, runqueue_ns = probe.cpu_and_runqueue_ns()
            walk = self._walker.walk(thread.state, thread.native_id)
            if cpu_ns is not None and walk is not None:
                seen.append(ThreadSampled(thread.native_id, None, cpu_ns, walk.frames[-OTHER_FRAMES:], runqueue_ns))
        return tuple(seen)

    def _speak(self, slot: Slot, sight: Sight, now_ns: int) -> None:
        """Announce a stall that goes on, when the watched process itself cannot."""
        episode, ticked_ns = sight.episode, self._page.ticked_ns
        if slot.quiet or episode.announced or slot.reported_ns == episode.beat_ns or now_ns - ticked_ns < SILENT_NS:
            return
        if now_ns - sight.told_ns < RETRY_NS:
            return
        sight.told_ns = now_ns
        stalls = self._stalls(slot, sight, now_ns, least_ns=self._ongoing_ns)
        if stalls:
            episode.announced = True
            slot.announced_ns = episode.beat_ns
        self._tell(self._with_request(slot, stalls))

    def _with_request(self, slot: Slot, stalls: Sequence[Stall]) -> list[Stall]:
        """Where it cannot be seen from outside whose request it serves, the process may have said so before."""
        told = self._request_of(slot, None) if len(stalls) == 1 else None
        request = Request(**told) if told is not None else None
        return [replace(stall, request=request) if stall.request is None else stall for stall in stalls]

    def _tell(self, stalls: Sequence[Stall]) -> None:
        for stall in stalls:
            self._announcer.announce(stall)
            self._publish({"type": "stall", "worker": self.attachment.worker, "stall": stall.to_dict()})

    def _stalls(self, slot: Slot, sight: Sight, now_ns: int, *, least_ns: int) -> list[Stall]:
        served = self._served(slot, sight)
        seen = self._seen(sight.episode, now_ns)
        stalls = self._announcer.stalls(slot, seen, now_ns, least_ns=least_ns, served=served)
        tried = seen.beat_ns in (slot.tried_ns, slot.aim[0])
        if tried and stalls and stalls[-1].duration_s * 1e9 >= self.attachment.limit_ns:  # and it goes on
            stalls[-1] = replace(stalls[-1], evidence=replace(stalls[-1].evidence, interrupted=FAILED))
        return stalls

    def _interrupt(self, slot: Slot, sight: Sight, now_ns: int) -> None:
        """Beyond the stall limit, and the GIL held: only a signal from here can reach the main thread.

        Its handler looks again whether the same unit of work runs; calls in C that look for signals call it.
        """
        if slot.native_id != self.attachment.pid or slot.quiet or now_ns - self._page.ticked_ns < SILENT_NS:
            return
        held = held_by(sight.episode, now_ns, self.attachment.limit_ns)
        if held is None or held[1] < self.attachment.limit_ns or now_ns - sight.signalled_ns < RETRY_NS:
            return
        sight.signalled_ns = now_ns
        slot.aim = (sight.episode.beat_ns, int(str(held[0].unit)), held[0].turn)
        send_to_thread(self.attachment.pid, slot.native_id)

    def _seen(self, episode: Episode, now_ns: int) -> Episode:
        seen = copy(episode)
        episode.slept = seen.slept = episode.slept or self._machine.slept(now_ns) is not None
        ticked_ns = self._page.ticked_ns
        if now_ns - ticked_ns >= SILENT_NS:
            seen.unseen = [Span(ticked_ns + self.attachment.interval_ns, now_ns)]
        return seen

    def _send(self, message: bytes) -> bool:
        try:
            self.channel.send(message)
        except OSError:  # full: the watched process does not read just now; or gone, which the poll tells
            self._dropped += 1
            return False
        return True


def owner_at(walk: Walk, base: int) -> int:
    """The task's coroutine; 0 for a callback, of which one in C has no frame."""
    return walk.owners[base] if base < len(walk.owners) else 0


def is_idle(walk: Walk, base: int, kind: int) -> bool:
    """As the sampler inside the process has it: no frame above the loop's machinery."""
    if len(walk.frames) <= base or base < 1:
        # A callback in C, such as time.sleep itself, has no frame of its own.
        return not (kind == ON_ASYNCIO and 0 < base == len(walk.frames) and walk.frames[-1].function == CALLERS[kind])
    caller = CALLERS.get(kind)
    if caller is None or walk.frames[base - 1].function == caller:
        return False
    return kind == ON_TRIO or is_at_rest(frame.file for frame in walk.frames[base:])
