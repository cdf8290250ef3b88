"""The looks at the workers that serve: does the loop turn, is the memory within its limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from loophound.config import Config
from loophound.supervisor import kernel
from loophound.supervisor.facts import AskedToLeave, Fact, Hung, TurnedAgain
from loophound.supervisor.processes import Child, Running
from loophound.supervisor.vigil import Condition, Look, Vigil

logger = logging.getLogger("loophound.supervisor")

# A look that comes so late finds old news: the supervisor itself was stopped, or got no CPU.
LATE_S = 2.5

# States of proc(5) in which a process may turn again.
ALIVE = frozenset("RSDTtI")
STARTS = frozenset("RSD")  # and is neither stopped nor in a debugger

# Writes down what a worker does, and answers whether a debugger excuses it.
Examine = Callable[[Running, Condition, float], bool]
ExamineStart = Callable[[Child, float], bool]

SAID = {
    Condition.SUSPENDED: "is in a debugger: it is left alone",
    Condition.STARVED: "is silent because the machine gives it no CPU: it is left alone",
}


@dataclass(slots=True)
class _Sight:
    vigil: Vigil
    condition: Condition = Condition.FINE
    heavy: bool = False


@dataclass(slots=True)
class Watch:
    config: Config
    examine: Examine
    examine_start: ExamineStart
    sights: dict[int, _Sight] = field(default_factory=dict)
    stopped_s: dict[int, float] = field(default_factory=dict)  # while they start
    slow: dict[int, bool] = field(default_factory=dict)  # starts that were examined: in a debugger?
    imports: int = 0  # the process that did so last
    looked_s: float = 0.0

    def look(self, workers: list[Running]) -> Iterator[Fact]:
        """One look at each; what the policy should know of it."""
        now_s = time.monotonic()
        blind = self.looked_s > 0 and now_s - self.looked_s > LATE_S
        self.looked_s = now_s
        starting = {running.pid for running in workers if not running.pulse.turned_ns}
        for pid in (self.stopped_s.keys() | self.slow.keys()) - starting - {self.imports}:
            self.stopped_s.pop(pid, None)
            self.slow.pop(pid, None)
        self.sights = {running.pid: self.sights[running.pid] for running in workers if running.pid in self.sights}
        for running in workers:
            sight = self.sights.get(running.pid)
            if not running.pulse.turned_ns:
                yield from self._wait_for(running, now_s)
                continue
            if sight is None:
                sight = self.sights[running.pid] = _Sight(Vigil(self.config.timeout_worker or 0.0, now_s))
            if blind:
                sight.vigil.forgive(now_s)
            if self.config.timeout_worker is not None:
                yield from self._judge(running, sight, now_s)
            if self.config.max_worker_memory is not None:
                yield from self._weigh(running, sight, self.config.max_worker_memory, now_s)
        self.looked_s = time.monotonic()  # to examine one takes its time, and makes nobody blind for the others

    def look_at_start(self, nursery: Child) -> Iterator[Fact]:
        """The same of the process that imports the application for all."""
        self.imports = nursery.pid
        yield from self._wait_for(nursery, time.monotonic())

    def _wait_for(self, running: Child, now_s: float) -> Iterator[Fact]:
        """A start may take long, but not while it is stopped by a signal, and not for ever."""
        pid, limit_s = running.pid, self.config.timeout_worker
        state = kernel.state(pid)
        if limit_s is None or state != "T":
            self.stopped_s.pop(pid, None)
        elif now_s - self.stopped_s.setdefault(pid, now_s) >= limit_s:
            logger.error("%s is stopped by a signal while it starts", running.who)
            yield Hung(pid, now_s)
        if state not in STARTS:
            return
        took_s, most_s = now_s - running.since_s, self.config.timeout_start
        if pid not in self.slow and limit_s is not None and took_s >= limit_s:
            self.slow[pid] = self.examine_start(running, took_s)
        if most_s is not None and took_s >= most_s and not self.slow.get(pid) and not kernel.is_traced(pid):
            logger.error("%s has not begun to serve in %g s: killed", running.who, most_s)
            yield Hung(pid, now_s)

    def _judge(self, running: Running, sight: _Sight, now_s: float) -> Iterator[Fact]:
        pid = running.pid
        look = Look(
            at_s=now_s,
            turned_s=running.pulse.turned_ns / 1e9,
            state=kernel.state(pid),
            traced=kernel.is_traced(pid),
            starved_s=kernel.starved_s(pid, running.pulse.thread),
        )
        if look.state not in ALIVE:
            return  # its end is told by wait(2)
        before, condition = sight.condition, sight.vigil.judge(look)
        standing = (Condition.HUNG, Condition.STOPPED)
        if condition in standing and before not in standing:
            silent_s = sight.vigil.silent_s
            if self.examine(running, condition, silent_s):
                if kernel.state(pid) not in ALIVE:
                    return
                sight.vigil.forgive(now_s)
                condition = Condition.SUSPENDED
            else:
                yield Hung(pid, now_s)
        elif before in standing and condition in (Condition.FINE, Condition.BUSY):
            yield TurnedAgain(pid, now_s)
        if condition in SAID and before is not condition:
            logger.warning("Worker %d (pid %d) %s", running.worker, pid, SAID[condition])
        sight.condition = condition

    def _weigh(self, running: Running, sight: _Sight, most: int, now_s: float) -> Iterator[Fact]:
        held = kernel.resident_bytes(running.pid) // kernel.MEBIBYTE
        if held > most and not sight.heavy:
            sight.heavy = True  # said once
            why = f"it holds {held} MB of memory, and --max-worker-memory allows {most}"
            yield AskedToLeave(running.pid, why, now_s)
