"""Whether the loops turn: told from the feed's states, by the observer's clock. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

# In these states a loop answers nobody.
STANDING = frozenset({"blocked", "starved", "stopped"})
FRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` says it in a word; `standing` has each loop that does not turn: worker, state, seconds."""

    well: bool
    status: str
    standing: tuple[tuple[int, str, float], ...] = ()

    def to_dict(self) -> Message:
        loops = [{"worker": worker, "state": state, "for_s": round(for_s, 1)} for worker, state, for_s in self.standing]
        return {"status": self.status, "standing": loops}


class Health:
    """Fed with the messages of the feed; times are seconds of one clock."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._workers: dict[int, Message] = {}  # by pid
        self._states: dict[tuple[int, str, str], tuple[Message, float]] = {}
        self._heard_s = 0.0

    def feed(self, message: Message, now_s: float) -> None:
        kind = message["type"]
        if kind == "state":
            self._heard_s = now_s
            self._states[message["pid"], message["thread"], message["loop"]] = message, now_s
        elif kind == "worker":
            self._heard_s = now_s
            self._workers[message["pid"]] = message
            if message["state"] == "gone":
                del self._workers[message["pid"]]
                self._states = {key: state for key, state in self._states.items() if key[0] != message["pid"]}

    def alive(self, now_s: float) -> Answer:
        """Unwell when a loop has stood still for longer than the limit."""
        standing = self._standing(now_s)
        return Answer(False, "blocked", standing) if standing else Answer(True, "ok")

    def ready(self, now_s: float) -> Answer:
        """Well when a worker accepts requests, and none of its loops stands still."""
        standing = self._standing(now_s)
        stuck = {worker for worker, _, _ in standing}
        if any(w["state"] == "ready" and w["worker"] not in stuck for w in self._workers.values()):
            return Answer(True, "ready", standing)
        states = {w["state"] for w in self._workers.values()}
        return Answer(False, "blocked" if "ready" in states else next(iter(states), "starting"), standing)

    def _standing(self, now_s: float) -> tuple[tuple[int, str, float], ...]:
        found = []
        for key, (state, heard_s) in list(self._states.items()):
            if now_s - heard_s > FRESH_S and now_s - self._heard_s <= FRESH_S:
                del self._states[key]  # others are told of still: this loop has ended
                continue
            if state["state"] in STANDING and state.get("serving", True) and not state.get("debugged", False):
                for_s = state["for_s"] + now_s - heard_s
                if for_s > self.limit_s:
                    found.append((state["worker"], state["state"], for_s))
        return tuple(found)
