from __future__ import annotations

import inspect
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from loophound.observer.calibrate import MEMORY_PATH, calibrate, this_thread_state
from loophound.observer.codes import MAX_CODES, CodeReader
from loophound.observer.layout import Layout
from loophound.observer.memory import BadAddress, ProcessMemory, Readable
from loophound.observer.walk import INNERMOST, OUTERMOST, Thread, Walk, Walker
from tests.observer.watched import ThreadIn

Park = Callable[[], None]


@pytest.fixture(scope="module")
def layout() -> Layout:
    return calibrate()


@pytest.fixture
def memory() -> Iterator[ProcessMemory]:
    fd = os.open(MEMORY_PATH, os.O_RDONLY)
    yield ProcessMemory(fd)
    os.close(fd)


@pytest.fixture
def walker(memory: Readable, layout: Layout) -> Walker:
    return Walker(memory, layout, pause=lambda: None)


def of_this_file(walk: Walk | None) -> list[tuple[str, int, int]]:
    """(function, line within it, owner) of the test's own frames, outermost first."""
    assert walk is not None
    return [
        (frame.function.rpartition(".")[2], frame.line, owner)
        for frame, owner in zip(walk.frames, walk.owners, strict=True)
        if frame.file == __file__
    ]


def line_of(function: Callable[..., object], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    (index,) = (i for i, line in enumerate(lines) if text in line)
    return first + index


def test_functions_generators_and_coroutines_with_their_owners(walker: Walker) -> None:
    owners: list[int] = []

    def generator(park: Park) -> Iterator[int]:
        yield 1
        park()  # in the generator

    async def coroutine(park: Park) -> None:
        for _ in generators[0]:
            pass  # for the second time

    async def awaiting(park: Park) -> None:
        await coroutines[0]

    def body(park: Park) -> None:
        generators.append(generator(park))
        coroutines.append(coroutine(park))
        outer = awaiting(park)
        owners.extend([id(outer), id(coroutines[0]), id(generators[0])])
        list(map(lambda coro: step(coro), [outer]))  # noqa: C417  # through C

    def step(coro: object) -> None:
        with pytest.raises(StopIteration):
            coro.send(None)  # type: ignore[attr-defined]

    generators: list[Iterator[int]] = []
    coroutines: list[object] = []
    with ThreadIn(body) as thread:
        walk = walker.walk(thread.state, thread.native_id)
    assert of_this_file(walk) == [
        ("body", line_of(body, "# through C"), 0),
        ("<lambda>", line_of(body, "# through C"), 0),
        ("step", line_of(step, "send"), 0),
        ("awaiting", line_of(awaiting, "await "), owners[0]),
        ("coroutine", line_of(coroutine, "for _"), owners[1]),
        ("generator", line_of(generator, "park()"), owners[2]),
    ]
    assert walk is not None
    assert walk.frames[0].function == "Thread._bootstrap"
    assert walk.native_id == thread.native_id
    assert (walk.omitted, walker.taken, walker.dropped) == (0, 1, 0)
    assert len(walk.addresses) == len(walk.frames)


def test_columns_and_the_instruction(walker: Walker) -> None:
    def body(park: Park) -> list[object]:
        return [park(), park]

    with ThreadIn(body) as thread:
        walk = walker.walk(thread.state)
    assert walk is not None
    frame = next(frame for frame in walk.frames if frame.file == __file__)
    line = inspect.getsource(sys.modules[__name__]).splitlines()[frame.line - 1]
    assert line[frame.column : frame.end_column] == "park()"
    position = [*body.__code__.co_positions()][frame.instruction // 2]
    assert position[0] == frame.line


@pytest.mark.parametrize("name", ["ascii", "größe", "имя", "名前", "\U00010400name"])
def test_names_of_every_kind(walker: Walker, name: str) -> None:
    file = f"/srv/{name}/\U0001f40d.py" if name != "ascii" else "/srv/plain.py"
    namespace: dict[str, Callable[[Park], None]] = {}
    exec(compile(f"def f_{name}(park):\n    park()\n", file, "exec"), namespace)  # type: ignore[arg-type]
    (function,) = (value for key, value in namespace.items() if key != "__builtins__")
    with ThreadIn(function) as thread:
        walk = walker.walk(thread.state)
    assert walk is not None
    assert (file, 2, function.__qualname__) in [frame[:3] for frame in walk.frames]


def test_the_middle_of_a_deep_stack_is_left_out_and_counted(walker: Walker) -> None:
    def down(n: int, park: Park) -> None:
        if n:
            down(n - 1, park)
        else:
            park()

    depth = 600
    with ThreadIn(lambda park: down(depth, park)) as thread:
        walk = walker.walk(thread.state)
    assert walk is not None
    assert len(walk.frames) == INNERMOST + OUTERMOST
    names = [frame.function.rpartition(".")[2] for frame in walk.frames]
    assert names[0] == "_bootstrap"
    assert names[-4:-1] == ["down", "_park", "acquire"]
    assert 0 < walk.omitted < depth
    assert names.count("down") == depth + 1 - walk.omitted


def test_a_thread_that_has_ended_is_dropped(walker: Walker) -> None:
    with ThreadIn(lambda park: park()) as thread:
        assert walker.walk(thread.state, thread.native_id) is not None
        assert walker.walk(thread.state, thread.native_id + 1) is None
    assert walker.walk(thread.state, thread.native_id) is None
    assert walker.threads(thread.state) == []
    assert (walker.taken, walker.dropped) == (1, 2)


@pytest.mark.parametrize("state", [0, 8, 1 << 62])
def test_what_is_no_thread_state_is_dropped(walker: Walker, state: int) -> None:
    assert walker.walk(state) is None
    assert walker.threads(state) == []
    assert walker.walk(id(walker)) is None


def test_all_threads_are_reached_from_each(walker: Walker) -> None:
    own = Thread(this_thread_state(), threading.get_native_id())
    with ThreadIn(lambda park: park()) as one, ThreadIn(lambda park: park()) as other:
        known = {own, Thread(one.state, one.native_id), Thread(other.state, other.native_id)}
        for thread in known:
            assert known <= {*walker.threads(thread.state)}


def test_a_code_object_at_the_address_of_a_dead_one_is_read_anew(memory: Readable, layout: Layout) -> None:
    reader = CodeReader(layout)
    addresses: list[int] = []
    for n in range(300):
        source = "\n" * (n % 5) + f"def name_{n:03}(): return 1"
        (code, *_) = compile(source, f"file_{n:03}.py", "exec").co_consts
        found = reader.read(memory, id(code))
        assert (found.qualname, found.filename, found.first_line) == (
            code.co_qualname,
            code.co_filename,
            code.co_firstlineno,
        )
        assert found.table == code.co_linetable
        addresses.append(id(code))
        del code, _
    assert len({*addresses}) < len(addresses)


def test_strings_that_differ_at_one_address_are_read_anew(memory: ProcessMemory, layout: Layout) -> None:
    """Without a number of its own, a code object is known by all that is told of it."""
    unnumbered = replace(layout, code_version=-1)

    class Changed:
        """The memory in which one string has other characters at the same address."""

        def __init__(self, old: bytes, new: bytes) -> None:
            self.old, self.new = old, new

        def read(self, address: int, size: int) -> bytes:
            return memory.read(address, size).replace(self.old, self.new)

        def word(self, address: int) -> int:
            raise AssertionError("not used")

    namespace: dict[str, type] = {}
    exec("class A:\n def name_before(): pass", namespace)
    code = vars(namespace["A"])["name_before"].__code__
    reader = CodeReader(unnumbered)
    assert reader.read(memory, id(code)).qualname == "A.name_before"
    assert reader.read(Changed(b"A.name_before", b"A.name_behind"), id(code)).qualname == "A.name_behind"
    table = code.co_linetable
    other = table[:-1] + bytes([table[-1] ^ 1])
    assert reader.read(Changed(table, other), id(code)).table == other
    assert reader.read(memory, id(code)) is reader.read(memory, id(code))


def test_the_codes_that_are_kept_are_bounded(memory: Readable, layout: Layout) -> None:
    reader = CodeReader(layout)
    code = line_of.__code__
    copies = [code.replace(co_name=f"copy{n}") for n in range(MAX_CODES + 10)]
    for copy in copies:
        reader.read(memory, id(copy))
    assert len(reader._codes) == MAX_CODES


class Flickering:
    """The own memory in which one word reads differently from the nth time on."""

    def __init__(self, memory: ProcessMemory, address: int, nth: int) -> None:
        self.memory, self.address, self.nth, self.times = memory, address, nth, 0

    def read(self, address: int, size: int) -> bytes:
        content = self.memory.read(address, size)
        if address <= self.address <= address + size - 8:
            self.times += 1
            if self.times >= self.nth:
                at = self.address - address
                content = content[:at] + bytes(b ^ 0x10 for b in content[at : at + 8]) + content[at + 8 :]
        return content

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), sys.byteorder)


@pytest.mark.parametrize("field", ["frame_code", "frame_previous", "frame_instruction", "frame_locals"])
@pytest.mark.parametrize("nth", [2, 4, 7])
def test_a_caller_that_changes_between_two_looks_drops_the_walk(
    memory: ProcessMemory, layout: Layout, field: str, nth: int
) -> None:
    with ThreadIn(lambda park: park()) as thread:
        whole = Walker(memory, layout, pause=lambda: None).walk(thread.state)
        assert whole is not None
        flickering = Flickering(memory, whole.addresses[-2] + getattr(layout, field), nth)
        walker = Walker(flickering, layout, pause=lambda: None)
        assert walker.walk(thread.state) is None
        assert flickering.times >= nth


def test_garbage_never_gets_through_nor_hangs(memory: ProcessMemory, layout: Layout) -> None:
    chance = random.Random(5)

    class Garbled:
        def read(self, address: int, size: int) -> bytes:
            content = bytearray(memory.read(address, size))
            for _ in range(len(content) // 256 + 1):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            return bytes(content)

        def word(self, address: int) -> int:
            return int.from_bytes(self.read(address, 8), sys.byteorder)

    walker = Walker(Garbled(), layout, pause=lambda: None)
    with ThreadIn(lambda park: park()) as thread:
        for _ in range(300):
            assert walker.walk(thread.state) is None
            walker.threads(thread.state)


def test_bad_addresses_are_no_code(memory: Readable, layout: Layout) -> None:
    with pytest.raises(BadAddress):
        CodeReader(layout).read(memory, 16)
