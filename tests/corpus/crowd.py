"""Whether others had the machine while a scenario ran: what is told of it then is not all its own doing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

MUCH = 0.2  # of all CPUs


@dataclass(frozen=True, slots=True)
class Machine:
    """CPU times in seconds, of all CPUs and of this process with its children; proc(5)."""

    total_s: float
    idle_s: float
    own_s: float

    @classmethod
    def now(cls) -> Machine:
        ticks = [int(n) for n in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        each_s = 1 / os.sysconf("SC_CLK_TCK")
        times = os.times()
        own_s = times.user + times.system + times.children_user + times.children_system
        return cls(sum(ticks) * each_s, (ticks[3] + ticks[4]) * each_s, own_s)

    def others_since(self, before: Machine) -> float:
        """The share of the machine that others had since then, a hypervisor included."""
        passed_s = self.total_s - before.total_s
        busy_s = passed_s - (self.idle_s - before.idle_s)
        return (busy_s - (self.own_s - before.own_s)) / passed_s if passed_s > 0 else 0.0


def wait_for_room(patience_s: float) -> None:
    """Wait until others leave room, at most so long."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        before = Machine.now()
        time.sleep(0.25)
        if Machine.now().others_since(before) < MUCH:
            return
