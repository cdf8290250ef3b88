"""Which request a coroutine serves, read from outside while the process itself cannot tell.

An ASGI application is called with its scope: a dict with "type", "method" and "path" (the ASGI
specification, "HTTP connection scope"). It stands in a variable of the coroutines through which the request
went; the outermost of them has it as the server made it. So it is found under any server and framework.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import NamedTuple

from loophound.detector.records import Request
from loophound.observer.layout import ABSENT, INT, WORD, Layout
from loophound.observer.memory import BadAddress, Pages, Readable
from loophound.observer.objects import Evidence, Torn, read_text, stands
from loophound.observer.walk import Walk

LOOKS = 3
MOST_VARIABLES = 256  # of a function
MOST_ENTRIES = 256  # of a dict
NOTHING: Evidence = ()
PAIR = struct.Struct("=QQ")
SERVED = frozenset({"http", "websocket"})


class Served(NamedTuple):
    """A request, and the frame in which its scope stands: its address, and its coroutine's id."""

    request: Request
    frame: int
    owner: int
    unit: int  # the id of the outermost coroutine of the stack: the one that the task runs

    def stands_in(self, walk: Walk | None) -> bool:
        """Whether the frame is there in this walk too."""
        return walk is not None and (self.frame, self.owner) in zip(walk.addresses, walk.owners, strict=True)


class ScopeReader:
    """Reads the request of a stack."""

    def __init__(self, memory: Readable, layout: Layout) -> None:
        self._memory = memory
        self._layout = layout

    def read(self, walk: Walk) -> Served | None:
        """The request that the stack serves; None where no scope was found, or it changes while it is read.

        The walk must be an accepted one, but the thread may have gone on since: what is
        read holds only where it also `stands_in` a walk that is made afterwards.
        """
        if self._layout.dict_type == ABSENT:
            return None
        for address, owner in zip(walk.addresses, walk.owners, strict=True):
            if not owner:
                continue
            try:
                request = self._of_frame(address)
            except (Torn, BadAddress):
                return None
            if request is not None:
                return Served(request, address, owner, next(filter(None, walk.owners)))
        return None

    def _of_frame(self, frame: int) -> Request | None:
        pages = Pages(self._memory)
        for variable in self._variables(pages, frame):
            try:
                found = self._scope(pages, variable)
            except (Torn, BadAddress):  # another dict
                continue
            if found is not None:
                request, evidence = found
                self._look_again(evidence)
                return request
        return None

    def _look_again(self, evidence: Evidence) -> None:
        for _ in range(LOOKS):
            if not stands(Pages(self._memory), tuple(random.sample(evidence, len(evidence)))):
                raise Torn("the scope has changed")

    def _variables(self, pages: Pages, frame: int) -> Iterator[int]:
        """The addresses of the objects in the frame's variables."""
        layout = self._layout
        code = pages.word(frame + layout.frame_code)
        count = INT.unpack(pages.read(code + layout.code_locals, INT.size))[0]
        if not 0 <= count <= MOST_VARIABLES:
            raise Torn("a function with too many variables")
        for number in range(count):
            value = pages.word(frame + layout.frame_locals + number * WORD.size)
            if value and pages.word(value + layout.object_type) == layout.cell_type:
                value = pages.word(value + layout.cell_contents)
            if value:
                yield value

    def _scope(self, pages: Pages, address: int) -> tuple[Request, Evidence] | None:
        layout = self._layout
        if pages.word(address + layout.object_type) != layout.dict_type:
            return None
        table = pages.word(address + layout.dict_keys)
        values = self._values(pages, table)
        if layout.key_type not in values or layout.key_path not in values:
            return None
        kind, of_kind = read_text(pages, layout, values[layout.key_type])
        path, of_path = read_text(pages, layout, values[layout.key_path])
        if kind not in SERVED:
            return None
        method, of_method = "GET", NOTHING
        if layout.key_method in values:
            method, of_method = read_text(pages, layout, values[layout.key_method])
        whole = (
            (address + layout.object_type, WORD.pack(layout.dict_type)),
            (address + layout.dict_keys, WORD.pack(table)),
        )
        return Request(None, method, path, None, None), whole + of_kind + of_path + of_method

    def _values(self, pages: Pages, table: int) -> dict[int, int]:
        """Addresses of the values by addresses of the keys, of a table with nothing but str keys; else nonsense."""
        layout = self._layout
        count = pages.word(table + layout.keys_entries)
        log = pages.read(table + layout.keys_index_log, 1)[0]
        if count > MOST_ENTRIES or not 1 <= log <= 16:
            raise Torn("a large dict, or none")
        entries = pages.read(table + layout.keys_index + (1 << log), count * 2 * WORD.size)
        return dict(PAIR.iter_unpack(entries))
