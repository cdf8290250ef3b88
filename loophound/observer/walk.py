"""Python stacks of another process, read while it runs.

Nothing stops the watched thread, so a walk may see frames of different moments. A thread in a
C call stands still, and those are the walks that matter; the others are dropped unless they
prove themselves:

* every pointer leads to an object of the right type and size, the chain of frames ends at
  the thread's root and each instruction lies inside its code;
* the thread state is still linked into its interpreter's list, so it was not freed;
* a frame called by another in the same C frame left it suspended, which its stack top shows,
  and a generator or coroutine with a frame in the chain runs, so that the frame is not the
  remains of one that has ended;
* then all of it is read again, many times, and must be the same byte for byte: locals and
  evaluation stacks included, for all frames but the innermost, of which the current
  instruction may move. The current frame is read between any two looks at the frames.

A thread that alternates quickly between two callees can show the one under the other's line,
when their frames lie in different blocks and a look falls between them. In storms made for
that, one first look in ten thousand was of that kind, and each further look at the most let
one in three of those through. Blocks are read in an irregular order and the looks come at
irregular moments, because a loop that turns as often as they do would show the same wrong
picture every time.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from loophound.detector.frames import CodeFrame
from loophound.observer.codes import Code, CodeReader
from loophound.observer.layout import ABSENT, INT, WORD, Layout
from loophound.observer.linetable import CODE_UNIT_BYTES
from loophound.observer.memory import BadAddress, Pages, Readable
from loophound.observer.objects import Evidence, Torn, stands

FURTHER_LOOKS = 12
# A frame keeps its code alive, so that a code object changes only where a frame did; its bytes
# are read when it is looked up, in the middle and at the end.
LOOKS_AT_CODES = frozenset({FURTHER_LOOKS // 2, FURTHER_LOOKS - 1})
LONGEST_PAUSE_S = 40e-6  # between two looks, long against the turn of a loop that calls something
MAX_CHAIN = 20_000  # frames; a deeper stack is dropped
INNERMOST = 128  # of a deep stack these many frames are kept at either end
OUTERMOST = 64
MAX_THREADS = 4096
EXECUTING = bytes([0])  # FRAME_EXECUTING
LINK_ATTEMPTS = 3  # the list may change while it is looked at, as threads start and end


class Thread(NamedTuple):
    """A thread of the watched interpreter: the address of its state, and what the kernel calls it."""

    state: int
    native_id: int


@dataclass(frozen=True, slots=True)
class Walk:
    """One stack, outermost frame first.

    `owners` and `addresses` run parallel to `frames`. An owner is the id of the generator or
    coroutine to which the frame belongs, 0 for a function's. `omitted` frames of a deep stack
    are left out after the first `OUTERMOST`.
    """

    frames: tuple[CodeFrame, ...]
    owners: tuple[int, ...]
    addresses: tuple[int, ...]
    native_id: int
    omitted: int = 0
    turn: int = 0  # another one in another callback; 0 when not known


class _Frame(NamedTuple):
    address: int
    content: bytes  # of its fixed part
    code: int
    instruction: int
    stack_top: int
    owner: int
    entry: bool  # entered by C code; from 3.12 on the frame before it says so instead


class _Head(NamedTuple):
    """What a thread state says at one moment."""

    native_id: int
    c_frame: int
    frame: int
    turn: int


def pause_a_moment() -> None:
    """Sleep for an unpredictable time up to LONGEST_PAUSE_S, and what the kernel adds to it."""
    time.sleep(random.random() * LONGEST_PAUSE_S)


class Walker:
    """Walks threads of one process. Not thread-safe; `taken` and `dropped` count its walks.

    `pause` is called between two looks and takes an irregular time.
    """

    def __init__(self, memory: Readable, layout: Layout, pause: Callable[[], None] = pause_a_moment) -> None:
        self._pause = pause
        self._memory = memory
        self._layout = layout
        self._codes = CodeReader(layout)
        self._state_bytes = WORD.size + max(
            layout.state_frame,
            layout.state_next,
            layout.state_previous,
            layout.state_interpreter,
            layout.state_native_id,
            layout.state_turn,
        )
        self.taken = 0
        self.dropped = 0

    def walk(self, thread_state: int, native_id: int = 0) -> Walk | None:
        """The stack of one thread, None when it was torn or the thread has ended.

        With `native_id`, a state that belongs to another thread by now counts as ended.
        """
        try:
            walk = self._walk(thread_state, native_id)
        except (Torn, BadAddress):
            self.dropped += 1
            return None
        self.taken += 1
        return walk

    def threads(self, thread_state: int) -> list[Thread]:
        """The threads of the interpreter to which a thread state belongs; empty when it has ended."""
        for _ in range(LINK_ATTEMPTS):
            try:
                threads = self._threads(thread_state)
            except (Torn, BadAddress):
                continue
            if any(thread.state == thread_state for thread in threads):
                return threads
        return []

    def _walk(self, state: int, native_id: int) -> Walk:
        head = self._head(state)
        if native_id and head.native_id != native_id:
            raise Torn("another thread's state")
        if not head.frame:
            raise Torn("no Python code runs in this thread")
        self._check_linked(state)
        pages = Pages(self._memory)
        chain = self._chain(pages, head.frame)
        if self._head(state) != head:
            raise Torn("the current frame has changed")
        self._check_calls(chain)
        pairs, omitted = self._with_code(chain)
        still = self._evidence(pages, chain, pairs)
        codes = {code.evidence for _, code in pairs}
        for look in range(FURTHER_LOOKS):
            self._pause()
            again = pages.again()
            # While the GIL is held nothing changes at all, and the blocks are equal as a whole.
            if again.blocks != pages.blocks and not stands(again, still):
                raise Torn("a frame has changed")
            if look in LOOKS_AT_CODES:
                self._check_codes(codes)
            if self._head(state) != head:
                raise Torn("the current frame has changed")
        self._check_linked(state)
        begun = [(frame, code) for frame, code in reversed(pairs) if self._has_begun(frame, code)]
        return Walk(
            frames=tuple(self._code_frame(frame, code) for frame, code in begun),
            owners=tuple(self._owner(frame) for frame, _ in begun),
            addresses=tuple(frame.address for frame, _ in begun),
            native_id=head.native_id,
            omitted=omitted,
            turn=head.turn,
        )

    # The thread state

    def _head(self, state: int) -> _Head:
        layout = self._layout
        content = self._memory.read(state, self._state_bytes)
        frame = WORD.unpack_from(content, layout.state_frame)[0]
        c_frame = 0
        if layout.c_frame != ABSENT:
            c_frame, frame = frame, self._memory.word(frame + layout.c_frame)
        turn = 0 if layout.state_turn == ABSENT else WORD.unpack_from(content, layout.state_turn)[0]
        return _Head(WORD.unpack_from(content, layout.state_native_id)[0], c_frame, frame, turn)

    def _check_linked(self, state: int) -> None:
        """A thread state that was freed is in no list, whatever is left of its contents."""
        for _ in range(LINK_ATTEMPTS):
            if self._is_linked(state):
                return
        raise Torn("a thread state that has ended")

    def _threads(self, state: int) -> list[Thread]:
        layout, word = self._layout, self._memory.word
        threads: list[Thread] = []
        newer, state = 0, word(word(state + layout.state_interpreter) + layout.interpreter_threads)
        while state and len(threads) < MAX_THREADS:
            if word(state + layout.state_previous) != newer:
                raise Torn("the list of threads has changed")
            threads.append(Thread(state, word(state + layout.state_native_id)))
            newer, state = state, word(state + layout.state_next)
        return threads

    def _is_linked(self, state: int) -> bool:
        layout, word = self._layout, self._memory.word
        older, newer = word(state + layout.state_next), word(state + layout.state_previous)
        first = word(state + layout.state_interpreter) + layout.interpreter_threads
        if word(newer + layout.state_next if newer else first) != state:
            return False
        return not older or word(older + layout.state_previous) == state

    # The frames

    def _chain(self, pages: Pages, address: int) -> list[_Frame]:
        """All frames from the innermost one at `address` to the thread's root."""
        chain: list[_Frame] = []
        seen: set[int] = set()
        while address:
            if address % WORD.size or address in seen or len(chain) >= MAX_CHAIN:
                raise Torn("no chain of frames")
            seen.add(address)
            frame = self._frame(address, pages.read(address, self._layout.frame_locals))
            if not stands(pages, self._running(frame)):
                raise Torn("the frame of a generator that does not run")
            chain.append(frame)
            address = WORD.unpack_from(frame.content, self._layout.frame_previous)[0]
        root = chain[-1]
        # A generator's frame has no previous one while it is being suspended.
        at_root = root.entry and root.owner != self._layout.owner_generator
        if not at_root and root.owner != self._layout.owner_c_stack:
            raise Torn("a chain that does not end at the thread's root")
        return chain

    def _frame(self, address: int, content: bytes) -> _Frame:
        layout = self._layout
        return _Frame(
            address,
            content,
            WORD.unpack_from(content, layout.frame_code)[0],
            WORD.unpack_from(content, layout.frame_instruction)[0],
            INT.unpack_from(content, layout.frame_stack_top)[0],
            content[layout.frame_owner],
            layout.frame_entry != ABSENT and bool(content[layout.frame_entry]),
        )

    def _running(self, frame: _Frame) -> Evidence:
        """What shows that the generator or coroutine runs to which a frame belongs."""
        if frame.owner != self._layout.owner_generator:
            return ()
        return ((self._owner(frame) + self._layout.coroutine_state, EXECUTING),)

    def _check_calls(self, chain: list[_Frame]) -> None:
        """A frame that called another one in the same C frame keeps its stack top meanwhile."""
        for callee, caller in itertools.pairwise(chain):
            called_from_c = callee.entry or self._layout.owner_c_stack in (callee.owner, caller.owner)
            if not called_from_c and caller.stack_top < 0:
                raise Torn("a frame under one that runs itself")

    def _with_code(self, chain: list[_Frame]) -> tuple[list[tuple[_Frame, Code]], int]:
        """The frames of Python functions and their code, innermost first, and how many are left out."""
        frames = [frame for frame in chain if frame.owner != self._layout.owner_c_stack]
        omitted = max(0, len(frames) - INNERMOST - OUTERMOST)
        if omitted:
            frames = frames[:INNERMOST] + frames[INNERMOST + omitted :]
        pages = Pages(self._memory)
        codes = {address: self._codes.read(pages, address) for address in {frame.code for frame in frames}}
        pairs = [(frame, codes[frame.code]) for frame in frames]
        for frame, code in pairs:
            # A new frame stands one code unit before its first instruction in 3.11 and 3.12.
            if not -CODE_UNIT_BYTES <= self._byte_offset(frame, code) < code.size:
                raise Torn("an instruction outside of its code")
        return pairs, omitted

    def _evidence(self, pages: Pages, chain: list[_Frame], pairs: list[tuple[_Frame, Code]]) -> Evidence:
        """What stands still while the thread stays in the innermost frame."""
        layout = self._layout
        innermost, *callers = chain
        fixed = (layout.frame_code, layout.frame_previous, layout.frame_function)
        still = [(innermost.address + start, innermost.content[start : start + WORD.size]) for start in fixed]
        still += itertools.chain.from_iterable(map(self._running, chain))
        words = {frame.address: code.frame_words for frame, code in pairs}
        for frame in callers:
            variables = pages.read(frame.address + layout.frame_locals, words.get(frame.address, 0) * WORD.size)
            still.append((frame.address, frame.content + variables))
        return tuple(still)

    def _check_codes(self, codes: set[Evidence]) -> None:
        pages = Pages(self._memory)
        if not all(stands(pages, evidence) for evidence in codes):
            raise Torn("a code object has changed")

    # What is told of a frame

    def _byte_offset(self, frame: _Frame, code: Code) -> int:
        return frame.instruction - code.address - self._layout.code_start

    def _has_begun(self, frame: _Frame, code: Code) -> bool:
        """False while a call is being set up, and for frames of the interpreter's own."""
        if code.is_internal:
            return False
        of_generator = frame.owner == self._layout.owner_generator
        return of_generator or self._byte_offset(frame, code) >= code.first_traceable

    def _code_frame(self, frame: _Frame, code: Code) -> CodeFrame:
        offset = self._byte_offset(frame, code)
        location = code.location(offset)
        return CodeFrame(code.filename, location.line, code.qualname, offset, location.column, location.end_column)

    def _owner(self, frame: _Frame) -> int:
        if frame.owner == self._layout.owner_generator:
            return frame.address - self._layout.coroutine_frame
        return 0
