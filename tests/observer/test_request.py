from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from loophound.detector.records import Request
from loophound.observer.calibrate import MEMORY_PATH, calibrate
from loophound.observer.layout import ABSENT, Layout
from loophound.observer.memory import BLOCK_BYTES, ProcessMemory
from loophound.observer.request import LOOKS, ScopeReader, Served
from loophound.observer.walk import Walker
from tests.observer.watched import ThreadIn

Scope = dict[Any, Any]
Park = Callable[[], None]
POST = {"type": "http", "method": "POST", "path": "/show/7", "headers": []}


@pytest.fixture(scope="module")
def layout() -> Layout:
    return calibrate()


@pytest.fixture
def memory() -> Iterator[ProcessMemory]:
    fd = os.open(MEMORY_PATH, os.O_RDONLY)
    yield ProcessMemory(fd)
    os.close(fd)


async def plain(scope: Scope, park: Park) -> None:
    park()


async def shared(scope: Scope, park: Park) -> None:
    """The variable is one that a function within shares."""

    def within() -> Scope:
        return scope

    park()
    within()


async def mounted(scope: Scope, park: Park) -> None:
    """As frameworks do: the outermost scope is the server's."""
    await plain({**scope, "path": "/inner", "root_path": "/show"}, park)


async def noted(scope: Scope, park: Park) -> None:
    """Much is noted in the scope, and a key taken away: the table has grown, and has a hole."""
    scope.update({f"note {number}": number for number in range(60)})
    del scope["note 0"]
    park()


def serving(app: Callable[[Scope, Park], Awaitable[None]], scope: Scope) -> ThreadIn:
    def body(park: Park) -> None:
        with pytest.raises(StopIteration):
            app(scope, park).__await__().__next__()

    return ThreadIn(body)


def read(memory: ProcessMemory, layout: Layout, thread: ThreadIn) -> Served | None:
    walk = Walker(memory, layout).walk(thread.state)
    assert walk is not None
    served = ScopeReader(memory, layout).read(walk)
    assert served is None or served.stands_in(Walker(memory, layout).walk(thread.state))
    return served


@pytest.mark.parametrize("app", [plain, shared, mounted, noted])
def test_the_request_that_a_coroutine_serves(
    memory: ProcessMemory, layout: Layout, app: Callable[[Scope, Park], Awaitable[None]]
) -> None:
    with serving(app, {**POST}) as thread:
        served = read(memory, layout, thread)
    assert served is not None
    assert served.request == Request(None, "POST", "/show/7", None, None)
    assert not served.stands_in(None)


@pytest.mark.parametrize("path", ["/gr\xf6\xdfe", "/\u540d", "/\U0001f40d", "", "/" + "x" * 4000])
def test_paths_of_all_kinds(memory: ProcessMemory, layout: Layout, path: str) -> None:
    with serving(plain, {"type": "websocket", "path": path}) as thread:
        served = read(memory, layout, thread)
    assert served is not None
    assert (served.request.method, served.request.path) == ("GET", path)


class OtherDict(dict[str, Any]):
    pass


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "lifespan", "path": "/"},
        {"type": "http", "method": "GET"},
        {"type": "http", "path": b"/"},
        {"type": "http", "path": None},
        {"type": "http", "path": "x" * 5000},
        {**POST, 1: "a key that is no str"},
        {**POST, **{str(number): 0 for number in range(500)}},
        OtherDict(POST),
        {},
    ],
)
def test_what_is_no_scope_is_not_told(memory: ProcessMemory, layout: Layout, scope: Scope) -> None:
    with serving(plain, scope) as thread:
        assert read(memory, layout, thread) is None


def test_a_scope_in_a_function_serves_nothing(memory: ProcessMemory, layout: Layout) -> None:
    def body(park: Park) -> None:
        scope = {**POST}
        park()
        scope.clear()

    with ThreadIn(body) as thread:
        assert read(memory, layout, thread) is None


@pytest.mark.parametrize("look", range(1, LOOKS + 1))
def test_a_request_that_changes_meanwhile_is_not_told(memory: ProcessMemory, layout: Layout, look: int) -> None:
    class Changing:
        """The memory in which the path becomes another one after some looks."""

        def __init__(self, block: int) -> None:
            self.block, self.times = block, 0

        def read(self, address: int, size: int) -> bytes:
            content = memory.read(address, size)
            if address == self.block:
                self.times += 1
                if self.times > look:
                    return content.replace(b"/path/before", b"/path/behind")
            return content

        def word(self, address: int) -> int:
            raise AssertionError("blocks are read")

    path = "".join(["/path", "/before"])
    with serving(plain, {**POST, "path": path}) as thread:
        walk = Walker(memory, layout).walk(thread.state)
        assert walk is not None
        data = id(path) + layout.str_ascii_data
        changing = Changing(data - data % BLOCK_BYTES)
        assert ScopeReader(changing, layout).read(walk) is None
        assert changing.times == look + 1


@pytest.mark.parametrize("wrong", ["dict_keys", "keys_entries", "keys_index", "cell_contents", "frame_locals"])
def test_a_wrong_layout_finds_nothing(memory: ProcessMemory, layout: Layout, wrong: str) -> None:
    elsewhere = replace(layout, **{wrong: getattr(layout, wrong) + 8})
    app = shared if wrong == "cell_contents" else plain
    with serving(app, {**POST}) as thread:
        walk = Walker(memory, layout).walk(thread.state)
        assert walk is not None
        assert ScopeReader(memory, elsewhere).read(walk) is None
        assert ScopeReader(memory, replace(layout, dict_type=ABSENT)).read(walk) is None


def test_bad_addresses_give_none(memory: ProcessMemory, layout: Layout) -> None:
    with serving(plain, {**POST}) as thread:
        walk = Walker(memory, layout).walk(thread.state)
        assert walk is not None
        for address in (0, 8, 1 << 62):
            lost = replace(walk, addresses=(address,) * len(walk.addresses))
            assert ScopeReader(memory, layout).read(lost) is None
