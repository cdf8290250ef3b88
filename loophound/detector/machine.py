"""The state machine of one watched loop: facts in, commands and events out.

It has no clock, no thread and no loop. A watchdog feeds it ticks and carries out its
commands; whatever comes of a command is fed back as another fact.

The loop is asked for a beat at regular times. Silence is measured from when a beat was
*due*, not from when it was asked for: while a C call holds the GIL the watchdog cannot
ask, and that silence counts all the same. Who is to blame for it is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import cast

from loophound.detector.episode import Episode, Span
from loophound.detector.facts import (
    Accounted,
    Collected,
    Fact,
    LoopBeat,
    LoopStopped,
    MachineSlept,
    Sampled,
    SeenAlive,
    Ticked,
)
from loophound.detector.frames import without_stand_ins
from loophound.detector.stats import LoopStats

# The observer's samples come through a socket: a stall is closed this long after its end,
# so that those on their way still count. A watchdog tick late by less than the slack is
# ordinary scheduling: CPython hands the GIL over after 5 ms (sys.getswitchinterval).
GRACE_NS = 50_000_000
SLACK_NS = 10_000_000
ALL_DEPRIVED = 0.8
# Ticks come up to a fifth sooner than they are due: a program that blocks with the period of the watchdog would
# show the lag of one phase alone. Never later: a beat that is asked for late makes a silence seem longer.
MOST_DICE = 0x7FFFFFFF
IRREGULAR = 5 << 15
ONGOING_NS = 1_000_000_000
# In half intervals, by whether samples tell when a turn began: when the next beat is due after an answer, and
# after the loop was seen to turn without being asked. What is asked at each tick is found late at the next one.
ASKED_PACE = (2, 3)
UNASKED_PACE = (2, 5)
# A loop that has had nothing to do for so long is looked at less often: what a process at rest pays for being watched
# are the looks. The observer waits three tenths of a threshold after a beat was due: it still looks within one.
DROWSY_AFTER_NS = 2_000_000_000
DROWSY = 1.4
# Of a threshold below 40 ms little would be left for samples: a hand-over of the GIL takes 5 ms of it.
SHORT_NS = 8_000_000


class State(Enum):
    """Where a watched loop stands."""

    RESTING = auto()  # it answered, and is not due yet
    ASKED = auto()  # a beat was asked for
    OVERDUE = auto()  # the beat is late: samples are taken
    STALLED = auto()  # later than the threshold
    STOPPED = auto()  # its run ended


@dataclass(frozen=True, slots=True)
class AskForBeat:
    """Have the loop answer as soon as it turns."""


@dataclass(frozen=True, slots=True)
class CaptureStack:
    """Take a sample of the loop's thread now."""


@dataclass(frozen=True, slots=True)
class StallWentOn:
    """The stall has outlasted a second and is not over."""

    episode: Episode
    at_ns: int


@dataclass(frozen=True, slots=True)
class StallEnded:
    """A silence longer than the threshold is over, and all that was seen of it is in."""

    episode: Episode


_ASK = (AskForBeat(),)
Command = AskForBeat | CaptureStack
Event = StallWentOn | StallEnded


class LoopMachine:
    """Judges the silence of one loop. `threshold_ns` and `interval_ns` are fixed at start.

    `tells_turns` says that samples will have the time at which the loop's turn began. Then beats need not
    bound it, and are due less often. `pace_ns` is in what time after the first `beat` the first tick is to come, the
    interval where it is not given.
    """

    def __init__(
        self,
        *,
        threshold_ns: int,
        interval_ns: int,
        beat: LoopBeat,
        stats: LoopStats | None = None,
        pace_ns: int | None = None,
    ) -> None:
        self.threshold_ns = threshold_ns
        self.interval_ns = interval_ns
        self.state = State.RESTING
        self.tells_turns = False
        self._account: Accounted | None = None
        self.episode = self._new_episode(beat, interval_ns)
        self._closing: list[Episode] = []
        self._ticked_ns = beat.at_ns
        self._resting_ns = self._pace_ns = interval_ns
        self._dice = beat.at_ns & MOST_DICE
        self._paced_ns = interval_ns if pace_ns is None else pace_ns  # in what time the next tick was to come
        self._rests = False  # it had nothing to do when it was last seen
        self._rested_for_ns = 0  # and before, without a turn that was seen
        self._sampled_ns = 0
        self._present = 0  # ticks in a row that came in time
        self._asked_ns = beat.at_ns
        self._first_look_ns = beat.at_ns + self._paced_ns  # nobody was to ask before
        self.stats = LoopStats() if stats is None else stats
        self.stats.begins(beat)

    @property
    def finished(self) -> bool:
        """Nothing more will come of it."""
        return self.state is State.STOPPED and not self._closing

    @property
    def closing(self) -> bool:
        """A stall is over, and not reported yet: samples of it may be on their way."""
        return bool(self._closing)

    @property
    def watchful(self) -> bool:
        """A sample or evidence from elsewhere may still belong to one of its stalls."""
        return bool(self._closing) or self.state in (State.OVERDUE, State.STALLED)

    @property
    def pace_ns(self) -> int:
        """When to look again: a loop that is late is looked at twice as often."""
        return self.interval_ns // 2 if self.watchful else self._resting_ns

    @property
    def longest_pace_ns(self) -> int:
        """In what time after a beat the next one is due at the latest."""
        pace = UNASKED_PACE if self.interval_ns >= SHORT_NS else ASKED_PACE
        pace_ns = self.interval_ns * pace[self.tells_turns] // 2
        drowsy = self.tells_turns and self._rested_for_ns >= DROWSY_AFTER_NS
        return int(pace_ns * DROWSY) if drowsy else pace_ns

    def episode_at(self, at_ns: int) -> Episode | None:
        """The silence to which something at that time belongs."""
        return next(iter(self._episodes(Span(at_ns, at_ns + 1))), None)

    def feed(self, fact: Fact) -> Sequence[Command | Event]:
        # The two of every healthy tick come first, by their class: a match statement costs four times as much.
        kind = fact.__class__
        if kind is Ticked:
            return self._on_tick(cast(Ticked, fact))
        if kind is LoopBeat and self.state is not State.STOPPED:
            beat = cast(LoopBeat, fact)
            # When nobody could ask, the loop was late since it was due.
            unasked = self._asked_ns - max(self.episode.due_ns, self._first_look_ns) > SLACK_NS
            self.stats.answered(beat, beat.at_ns - (self.episode.due_ns if unasked else self._asked_ns))
            self._rested_for_ns, self._rests = 0, False
            self._end_episode(beat)
            self._goes_on(beat, self.interval_ns * ASKED_PACE[self.tells_turns] // 2)
            return ()
        if kind is SeenAlive and self.state is State.RESTING:
            alive = cast(SeenAlive, fact)
            # The lag is at most that: its last answer, which was one of a loop that turns as well, tells it better.
            self.stats.answered(alive, min(alive.lag_ns, self.stats.last_lag_ns))
            # No silence ends: until then it turned, or had nothing to do.
            rests = not alive.lag_ns
            still = rests and self._rests
            self._rested_for_ns = self._rested_for_ns + alive.at_ns - self.episode.beat_ns if still else 0
            self._rests = rests
            self._goes_on(alive, self.longest_pace_ns)
            return ()
        match fact:
            case LoopStopped() if self.state is not State.STOPPED:
                self._end_episode(fact)
                self.state = State.STOPPED
            case Sampled():
                self._file(_of_the_program(fact))
            case Accounted():
                # Fed at each tick before the beat that it brings: it ends one silence and begins the next.
                self._account = fact
                self.episode.add_account(fact)
            case Collected():
                span = Span(fact.began_ns, fact.ended_ns)
                for episode in self._episodes(span):
                    episode.add_collection(fact)
            case MachineSlept():
                for episode in self._episodes(Span(fact.looked_ns, fact.at_ns)):
                    episode.slept = True
            case _:
                pass  # an answer that was on its way when the watch ended
        return ()

    def _goes_on(self, beat: LoopBeat | SeenAlive, pace_ns: int) -> None:
        self._pace_ns = pace_ns
        self.episode = self._new_episode(beat, pace_ns)
        self.state = State.RESTING

    def _on_tick(self, tick: Ticked) -> Sequence[Command | Event]:
        commands = self._judge(tick, self._note_absence(tick))
        # A linear congruential generator, as in the example of C11, 7.22.2.2: it only has to have no short period.
        self._dice = (self._dice * 1_103_515_245 + 12_345) & MOST_DICE
        # The answer to a question is looked for sooner where questions are rare.
        pace_ns = self._pace_ns if self.state is State.RESTING or not self.tells_turns else self.interval_ns
        # What did not run at all between two looks did not run in step with them either.
        sooner_ns = 0 if self._rests else pace_ns * (self._dice >> 16) // IRREGULAR
        self._resting_ns = pace_ns - sooner_ns
        self._paced_ns = self.pace_ns
        return commands

    def _judge(self, tick: Ticked, unasked_ns: int) -> Sequence[Command | Event]:
        state = self.state
        if state is State.RESTING:
            late_ns = tick.at_ns - self.episode.due_ns
            if unasked_ns:
                # The loop may have been ready to answer all along: it is accused of the rest alone.
                self.episode.unasked_ns = min(unasked_ns, max(0, late_ns))
            if not self._closing and late_ns < self.interval_ns:  # all is well
                return self._ask(late_ns)
        out: list[Command | Event] = []
        if state is not State.STOPPED:
            out += self._advance(tick.at_ns)
        ready = [e for e in self._closing if e.ended_ns is not None and tick.at_ns >= e.ended_ns + GRACE_NS]
        for episode in ready:
            self._closing.remove(episode)
            if (episode.ended_ns or 0) - episode.began_ns >= self.threshold_ns:
                out.append(StallEnded(episode))
        return out

    def _ask(self, late_ns: int) -> Sequence[AskForBeat]:
        # At the tick that is nearest to the due time: a beat comes just after the tick that asked
        # for it, so the first tick after the due time would be the second next one.
        if late_ns < -self.interval_ns // 2:
            return ()
        self.state = State.ASKED
        self.episode.asked_ns = self._asked_ns = self.episode.due_ns + late_ns
        return _ASK

    def _advance(self, now_ns: int) -> list[Command | Event]:
        out: list[Command | Event] = []
        late_ns = now_ns - self.episode.due_ns
        asked_before = self.state is not State.RESTING
        if self.state is State.RESTING:
            out += self._ask(late_ns)
        if self.state is State.ASKED and late_ns >= self.interval_ns:
            self.state = State.OVERDUE
        if self.state is State.OVERDUE and now_ns - self.episode.began_ns >= self.threshold_ns:
            self.state = State.STALLED
        if self.state in (State.OVERDUE, State.STALLED) and now_ns - self._sampled_ns >= self._pause_ns(late_ns):
            self._sampled_ns = now_ns
            out.append(CaptureStack())
        lasted_ns = now_ns - self.episode.began_ns
        # A watchdog that was kept away sees only now what may be over already: it waits for
        # the answer to its question before it says that the stall goes on.
        here = self._present >= 2 and asked_before
        if self.state is State.STALLED and lasted_ns >= ONGOING_NS and here and not self.episode.announced:
            self.episode.announced = True
            out.append(StallWentOn(self.episode, now_ns))
        return out

    def _pause_ns(self, late_ns: int) -> int:
        # A stall that lasts needs fewer samples to be understood: about a hundred in any case.
        return max(self.interval_ns * 3 // 8, late_ns // 100)

    def _note_absence(self, tick: Ticked) -> int:
        """Note that the watchdog is late, and give how much of that was for want of a CPU alone."""
        absent_ns = tick.at_ns - self._ticked_ns - self._paced_ns
        if absent_ns <= SLACK_NS and not tick.deprived_ns:
            self._present += 1
            self._ticked_ns = tick.at_ns
            return 0
        absent = Span(self._ticked_ns + self._paced_ns, tick.at_ns)
        # A thread that waits for the GIL wakes every few milliseconds to ask for it, and on a
        # crowded machine waits for a CPU each time: only an absence that was all waiting for
        # a CPU says nothing about the GIL.
        starved = tick.deprived_ns >= absent.length_ns * ALL_DEPRIVED
        kept_out = absent.length_ns > SLACK_NS and not starved
        self._present = 0 if absent.length_ns > SLACK_NS else self._present + 1
        if kept_out:
            for episode in self._episodes(Span(self._ticked_ns, tick.at_ns)):
                episode.add_unseen(absent)
        self._ticked_ns = tick.at_ns
        return tick.deprived_ns if starved else 0

    def _file(self, sample: Sampled) -> None:
        episode = self.episode_at(sample.at_ns)
        if episode is not None:
            episode.add_sample(sample)

    def _episodes(self, span: Span) -> list[Episode]:
        """The episodes that share time with a span, earliest first."""
        known = self._closing if self.state is State.STOPPED else [*self._closing, self.episode]
        return [e for e in known if e.beat_ns < span.ended_ns and (e.ended_ns is None or span.began_ns < e.ended_ns)]

    def _new_episode(self, beat: LoopBeat | SeenAlive, pace_ns: int) -> Episode:
        return Episode(
            beat_ns=beat.at_ns,
            due_ns=beat.at_ns + pace_ns,
            cpu_ns=beat.cpu_ns,
            process_cpu_ns=beat.process_cpu_ns,
            accounts=[self._account] if self._account is not None else [],
        )

    def _end_episode(self, fact: LoopBeat | LoopStopped) -> None:
        episode = self.episode
        episode.ended_ns = fact.at_ns
        episode.ended_cpu_ns = fact.cpu_ns
        episode.ended_process_cpu_ns = fact.process_cpu_ns
        # Samples on their way may show that it began earlier: it is measured when they are in.
        least_ns = episode.beat_ns + episode.unasked_ns if self.tells_turns else episode.began_ns
        if fact.at_ns - least_ns >= self.threshold_ns:
            self._closing.append(episode)


def _of_the_program(sample: Sampled) -> Sampled:
    """The sample without the frames that flagging puts around calls, on any thread."""
    frames = without_stand_ins(sample.frames)
    others = tuple(
        other if (kept := without_stand_ins(other.frames)) is other.frames else replace(other, frames=kept)
        for other in sample.others
    )
    return replace(sample, frames=frames, others=others)
