"""What the observer sends to the process it watches: one JSON object a packet.

A stack that stands as it stood is not sent again: most stalls are of that kind, and a
socket holds some 200 small packets, but only 50 whole stacks, while nobody can read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from loophound.detector.facts import Sampled, Source, ThreadSampled, Waiting
from loophound.detector.frames import CodeFrame


@dataclass(frozen=True, slots=True)
class Received:
    """One packet; `sample` is None in the first one, which only says that the observer runs."""

    slot: int
    generation: int
    dropped: int
    sample: Sampled | None


Frames = tuple[CodeFrame, ...]


class Encoder:
    """Remembers, for each loop, the stack that was sent last. `sent()` confirms it."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, Frames]] = {}

    def encode(self, slot: int, generation: int, sample: Sampled, dropped: int) -> bytes:
        same = self._last.get(slot) == (generation, sample.frames)
        body: dict[str, Any] = {"slot": slot, "generation": generation, "dropped": dropped}
        body["sample"] = {
            "at_ns": sample.at_ns,
            "frames": None if same else sample.frames,
            "base": sample.base,
            "idle": sample.idle,
            "unit": sample.unit,
            "turn": sample.turn,
            "cpu_ns": sample.cpu_ns,
            "runqueue_ns": sample.runqueue_ns,
            "waiting": [sample.waiting.syscall, sample.waiting.target] if sample.waiting else None,
            "runnable": sample.runnable,
            "stopped": sample.stopped,
            "turned_ns": sample.turned_ns,
            "others": [[o.native_id, o.name, o.cpu_ns, o.frames, o.runqueue_ns] for o in sample.others],
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def sent(self, slot: int, generation: int, sample: Sampled) -> None:
        self._last[slot] = (generation, sample.frames)


def greeting() -> bytes:
    """The first packet: the observer runs."""
    return b'{"slot":0,"generation":0,"dropped":0}'


class Decoder:
    """The other end; packets come in the order in which they were sent."""

    def __init__(self) -> None:
        self._last: dict[int, Frames] = {}

    def decode(self, message: bytes) -> Received:
        """Raises ValueError, KeyError or TypeError for a packet that is none of ours."""
        body = json.loads(message)
        slot, fields = body["slot"], body.get("sample")
        if fields is None:
            return Received(slot, body["generation"], body["dropped"], None)
        if fields["frames"] is not None:
            self._last[slot] = tuple(CodeFrame(*frame) for frame in fields["frames"])
        waiting = fields["waiting"]
        sample = Sampled(
            at_ns=fields["at_ns"],
            source=Source.OBSERVER,
            frames=self._last[slot],
            base=fields["base"],
            idle=fields["idle"],
            unit=fields["unit"],
            turn=fields["turn"],
            cpu_ns=fields["cpu_ns"],
            runqueue_ns=fields["runqueue_ns"],
            waiting=Waiting(*waiting) if waiting else None,
            runnable=fields["runnable"],
            stopped=fields["stopped"],
            turned_ns=fields["turned_ns"],
            others=tuple(
                ThreadSampled(native_id, name, cpu_ns, tuple(CodeFrame(*frame) for frame in frames), runqueue_ns)
                for native_id, name, cpu_ns, frames, runqueue_ns in fields["others"]
            ),
        )
        return Received(slot, body["generation"], body["dropped"], sample)
