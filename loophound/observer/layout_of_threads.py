"""Where thread states and frames keep their fields, found in a thread that stands still."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from contextvars import copy_context

from loophound.observer.layout import ABSENT, INT, WORD
from loophound.observer.memory import BLOCK_BYTES, BadAddress, Readable
from loophound.observer.parked import Parked
from loophound.observer.places import CalibrationError, body_of, peek, place_of

_STATE_BYTES = 512  # 3.11 to 3.13 keep all that is sought in the first 200
_INTERPRETER_BYTES = 64 * 1024  # 3.13 keeps its list of threads 7 KiB deep
_FRAME_BYTES = 128
_GENERATOR_BYTES = 256
_MAX_STATES = 4096
_EXECUTING = 0  # FRAME_EXECUTING
_CREATED = (0xFE, 0xFD)  # FRAME_CREATED: -2 in 3.11 and 3.12, -3 in 3.13
_GENERATOR_OWNS = 1  # FRAME_OWNED_BY_GENERATOR, in every version that has it


def frame_fields(memory: Readable, thread: Parked, code_start: int, live: Readable) -> dict[str, int]:
    """The offsets in frames and generators; `live` is the memory as it is now. Raises CalibrationError."""
    found = next(_chains(memory, thread), None)
    if found is None:
        raise CalibrationError("this interpreter's frames have a layout that was not recognised")
    fields, addresses, shims = found
    frames = [body_of(memory, address, _FRAME_BYTES) for address in addresses]
    instruction = _instruction_place(thread, frames, code_start)
    after = instruction + WORD.size
    first_local = place_of("a local variable", [(frame, id(thread)) for frame in frames], start=after)
    functions = [id(function) for function in thread.functions]

    def byte(what: str, values: list[int]) -> int:
        for place in range(after + INT.size, first_local):
            if [frame[place] for frame in frames] == values:
                return place
        raise CalibrationError(f"{what} was not found in this interpreter's frames")

    in_coroutine = addresses[1] - id(thread.coroutine)
    owner = byte("the owner", [0, _GENERATOR_OWNS, 0, 0])
    return {
        **fields,
        "frame_function": place_of("a frame's function", zip(frames, functions, strict=True)),
        "frame_instruction": instruction,
        "frame_stack_top": _stack_top_place(frames, after, first_local),
        "frame_entry": ABSENT if shims else byte("the mark of an entry frame", [0, 1, 1, 0]),
        "frame_owner": owner,
        "frame_locals": first_local,
        "owner_generator": _GENERATOR_OWNS,
        "owner_c_stack": memory.read(shims[0] + owner, 1)[0] if shims else ABSENT,
        "coroutine_frame": in_coroutine,
        "coroutine_state": coroutine_state_place(live, thread, in_coroutine),
    }


def _chains(memory: Readable, thread: Parked) -> Iterator[tuple[dict[str, int], list[int], list[int]]]:
    """Layouts in which the parked thread's frames lead to each other, innermost first.

    With each the addresses of the frames of its functions, and of the shims between them.
    """
    innermost = id(thread.codes[0])
    for state_frame in range(0, _STATE_BYTES, WORD.size):
        direct = peek(memory, thread.state + state_frame)
        # 3.11 and 3.12 keep the current frame in a structure on the C stack.
        for c_frame in (ABSENT, 0, WORD.size):
            top = direct if c_frame == ABSENT else peek(memory, direct + c_frame)
            for code in range(0, _FRAME_BYTES, WORD.size):
                if peek(memory, top + code) != innermost:
                    continue
                for previous in range(0, _FRAME_BYTES, WORD.size):
                    chain = _follow(memory, thread, top, code, previous)
                    if chain:
                        fields = {
                            "state_frame": state_frame,
                            "c_frame": c_frame,
                            "frame_code": code,
                            "frame_previous": previous,
                        }
                        yield fields, *chain


def _follow(memory: Readable, thread: Parked, top: int, code: int, previous: int) -> tuple[list[int], list[int]] | None:
    frames, shims, address = [top], [], top
    for wanted in thread.codes[1:]:
        address = peek(memory, address + previous)
        if peek(memory, address + code) != id(wanted):
            shims.append(address)
            address = peek(memory, address + previous)
        if peek(memory, address + code) != id(wanted):
            return None
        frames.append(address)
    in_coroutine = 0 < frames[1] - id(thread.coroutine) < _GENERATOR_BYTES
    return (frames, shims) if in_coroutine else None


def _instruction_place(thread: Parked, frames: list[bytes], code_start: int) -> int:
    for place in range(0, _FRAME_BYTES, WORD.size):
        offsets = [
            WORD.unpack_from(frame, place)[0] - id(code) - code_start
            for frame, code in zip(frames, thread.codes, strict=True)
        ]
        if all(0 <= offset < len(code.co_code) for offset, code in zip(offsets, thread.codes, strict=True)):
            return place
    raise CalibrationError("the current instruction was not found in this interpreter's frames")


def _stack_top_place(frames: list[bytes], start: int, end: int) -> int:
    """-1 in frames that run or are in a C call; the coroutine's, which called a function, has one."""
    for place in range(start, end, INT.size):
        in_call, coroutine, *above = (INT.unpack_from(frame, place)[0] for frame in frames)
        if in_call == -1 and above == [-1, -1] and 0 <= coroutine < 64:
            return place
    raise CalibrationError("the stack top was not found in this interpreter's frames")


def coroutine_state_place(memory: Readable, thread: Parked, end: int) -> int:
    """The byte that is 0 in a coroutine that runs, -2 or less in one that has not begun, and changes as one ends.

    What lies between the fields is whatever was there before, and may look like any state; but it does not change.
    """
    running = memory.read(id(thread.coroutine), end)
    waiting = memory.read(id(thread.waiting), end)
    other = thread.functions[1](thread)
    before = memory.read(id(other), end)
    other.close()
    after = memory.read(id(other), end)
    for place in reversed(range(end)):
        begins = waiting[place] in _CREATED and before[place] in _CREATED
        if running[place] == _EXECUTING and begins and after[place] != before[place]:
            return place
    raise CalibrationError("the state of a coroutine was not found in this interpreter's objects")


def state_fields(memory: Readable, thread: Parked, own_state: int, own_native_id: int) -> dict[str, int]:
    """The offsets in thread states and the interpreter state. Raises CalibrationError."""
    states = [thread.state, own_state]
    bodies = [body_of(memory, state, _STATE_BYTES) for state in states]
    ids = zip(bodies, [thread.native_id, own_native_id], strict=True)
    native_id = place_of("a thread's native id", ids)
    for following, preceding in itertools.permutations(range(0, 8 * WORD.size, WORD.size), 2):
        newest = _newest(memory, states, following, preceding)
        if not newest:
            continue
        for place in range(0, 16 * WORD.size, WORD.size):
            interpreter = peek(memory, thread.state + place)
            if place in (following, preceding) or interpreter != peek(memory, own_state + place):
                continue
            head = _word_place(memory, interpreter, newest)
            if head != ABSENT:
                return {
                    "state_next": following,
                    "state_previous": preceding,
                    "state_interpreter": place,
                    "state_native_id": native_id,
                    "interpreter_threads": head,
                }
    raise CalibrationError("the list of threads was not found in this interpreter's thread states")


def turn_place(memory: Readable, own_state: int) -> int:
    """Where a thread state counts the contexts that were entered and left; ABSENT when it was not found.

    A loop runs each callback in a context, so the number tells one callback from the next: `context_ver`,
    which stands behind the current context (PyContext_Enter in Python/context.c).
    """
    context = copy_context()

    def look() -> bytes:
        return body_of(memory, own_state, _STATE_BYTES)

    bodies = [context.run(look), context.run(look), look()]
    for place in range(0, _STATE_BYTES - 2 * WORD.size, WORD.size):
        current = [WORD.unpack_from(body, place)[0] for body in bodies]
        first, second, last = (WORD.unpack_from(body, place + WORD.size)[0] for body in bodies)
        if current[:2] == [id(context)] * 2 and (second - first, last - second) == (2, 1):
            return place + WORD.size
    return ABSENT


def _newest(memory: Readable, states: list[int], following: int, preceding: int) -> int:
    """The first of a doubly linked list that leads from the first of `states` to the other; 0 for none."""
    helper, own = states
    state, seen = helper, set[int]()
    while state != own:
        older = peek(memory, state + following)
        if not older or state in seen or peek(memory, older + preceding) != state:
            return 0
        seen.add(state)
        state = older
    state = helper
    for _ in range(_MAX_STATES):
        newer = peek(memory, state + preceding)
        if not newer:
            return state
        if peek(memory, newer + following) != state:
            return 0
        state = newer
    return 0


def _word_place(memory: Readable, start: int, value: int) -> int:
    with suppress(BadAddress):  # `start` is a guess
        for block in range(0, _INTERPRETER_BYTES, BLOCK_BYTES):
            body = body_of(memory, start + block, BLOCK_BYTES)
            for place in range(0, len(body) - WORD.size + 1, WORD.size):
                if WORD.unpack_from(body, place)[0] == value:
                    return block + place
    return ABSENT
