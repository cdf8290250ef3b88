"""Which request a coroutine frame belongs to, read from outside while the GIL is held.

The frame's first local variable is `self`, an instance of a class with `__slots__` whose
address and slots were registered at start. Read when a walk has found the frame.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from loophound.observer.layout import WORD, Layout
from loophound.observer.memory import BadAddress, Pages, Readable
from loophound.observer.objects import Evidence, Torn, read_text, stands
from loophound.observer.places import CalibrationError, body_of

LOOKS = 3


def slot_places(memory: Readable, instance: object, names: Iterable[str]) -> dict[str, int]:
    """Where an instance keeps the named slots; runs in the watched process.

    The values of the slots must be different objects. Raises CalibrationError otherwise, and
    for attributes that are not kept in the instance itself.
    """
    words = [word for (word,) in WORD.iter_unpack(body_of(memory, id(instance), object.__sizeof__(instance)))]
    places = {}
    for name in names:
        value = id(getattr(instance, name))
        if words.count(value) != 1:
            raise CalibrationError(f"{name!r} was not found as one slot of a {type(instance).__name__}")
        places[name] = words.index(value) * WORD.size
    return places


class RecordReader:
    """Reads str attributes of the `self` of a frame.

    `type_id` is the id of the class, `slots` gives the place of each attribute (`slot_places`).
    """

    def __init__(self, memory: Readable, layout: Layout, type_id: int, slots: Mapping[str, int]) -> None:
        self._memory = memory
        self._layout = layout
        self._type_id = type_id
        self._slots = dict(slots)

    def read(self, frame_address: int) -> dict[str, str] | None:
        """The attributes, None unless all are str and stay the same while they are read.

        The frame must be of an accepted walk. It may have ended since: what is read holds
        for that walk only when a walk afterwards has the same frame with the same owner.
        """
        try:
            texts, evidence = self._look(frame_address)
            for _ in range(LOOKS):
                shuffled = tuple(random.sample(evidence, len(evidence)))
                if not stands(Pages(self._memory), shuffled):
                    return None
        except (Torn, BadAddress):
            return None
        return texts

    def _look(self, frame_address: int) -> tuple[dict[str, str], Evidence]:
        layout, pages = self._layout, Pages(self._memory)
        first_local = frame_address + layout.frame_locals
        instance = pages.word(first_local)
        evidence: Evidence = (
            (first_local, WORD.pack(instance)),
            (instance + layout.object_type, WORD.pack(self._type_id)),
        )
        if not stands(pages, evidence):
            raise Torn("an instance of another class")
        texts = {}
        for name, place in self._slots.items():
            value = pages.word(instance + place)
            texts[name], of_text = read_text(pages, layout, value)
            evidence += ((instance + place, WORD.pack(value)), *of_text)
        return texts, evidence
