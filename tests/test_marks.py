from __future__ import annotations

import pytest

from loophound import marks, offload
from loophound.detector.records import Cause
from loophound.source import SourceLines

LINES = SourceLines().lines


def computes() -> int:
    return sum(
        [1, 2],
    )


async def waits() -> None:
    async def inner() -> None: ...

    await inner()


class Shop:
    def total(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("code", "name", "is_async"),
    [
        (computes.__code__, "computes", False),
        (waits.__code__, "waits", True),
        (Shop.total.__code__, "Shop.total", False),
    ],
)
@pytest.mark.parametrize("within", ["", ".<locals>.<genexpr>", ".<locals>.<lambda>.<locals>.<listcomp>"])
def test_the_definition_is_found_from_a_line_in_it(code: object, name: str, is_async: bool, within: str) -> None:
    first = code.co_firstlineno  # type: ignore[attr-defined]
    found = marks.definition(LINES, __file__, first + 1, name + within)
    assert found == marks.Definition(__file__, first, name, is_async)
    assert found.place == f"test_marks.py:{first}"


@pytest.mark.parametrize("function", ["<lambda>", "<module>", "missing"])
def test_what_has_no_definition(function: str) -> None:
    assert marks.definition(LINES, __file__, 20, function) is None
    assert marks.definition(LINES, "/no/such/file.py", 20, "f") is None


@pytest.mark.parametrize(
    ("cause", "gil_held", "executor"),
    [
        (Cause.SLEEP, None, "thread"), (Cause.IO, False, "thread"), (Cause.LOCK, None, "thread"),
        (Cause.CPU, None, "process"), (Cause.NATIVE, True, "process"), (Cause.NATIVE, False, "thread"),
        (Cause.NATIVE, None, "process"), (Cause.GC, None, None), (Cause.IMPORT, None, None),
        (Cause.STARVED, None, None),
    ],
)  # fmt: skip
def test_the_executor(cause: Cause, gil_held: bool | None, executor: str | None) -> None:
    assert marks.executor_for(cause, gil_held) == executor


def test_the_exact_mark() -> None:
    plain, coroutine = (marks.Definition("/srv/app.py", 6, "total", is_async) for is_async in (False, True))
    assert marks.advice(plain, "thread", "/x") == "mark `def total` (app.py:6) with `@loophound.offload`, and await it"
    assert '`@loophound.offload(executor="process")`' in marks.advice(plain, "process", None)
    assert 'OffloadMiddleware(app, rules=["/x/{id}"])' in marks.advice(coroutine, "thread", "/x/{id}")
    assert "rules" not in marks.advice(coroutine, "process", "/x/{id}")
    assert "rules" not in marks.advice(coroutine, "thread", None)


def test_a_marked_function_is_known_by_its_code() -> None:
    marked = offload(computes, executor="process")
    frames = [(__file__, "handler"), (__file__, "computes"), ("/usr/lib/python3.11/json/__init__.py", "dumps")]
    assert marked is not computes
    told = marks.around(frames) or ""
    assert told.startswith('computes is marked with `@loophound.offload(executor="process")`, and was called around')
    assert marks.around(frames[:1]) is None
