from __future__ import annotations

import importlib.util
import random
import types
from collections.abc import Iterator

import pytest

from loophound.observer.linetable import NOWHERE, Location, entries, locate

MODULES = [
    "argparse", "ast", "asyncio.base_events", "asyncio.tasks", "base64", "bdb", "calendar", "cmd",
    "codecs", "collections", "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime",
    "decimal", "difflib", "dis", "email.message", "enum", "fractions", "functools", "heapq",
    "http.client", "http.server", "inspect", "json.decoder", "logging", "os", "pathlib", "pickle",
    "random", "re._compiler", "socket", "ssl", "statistics", "string", "subprocess", "tarfile",
    "tempfile", "textwrap", "threading", "traceback", "types", "typing", "urllib.parse", "uuid",
    "warnings", "zipfile",
]  # fmt: skip


def code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


def expected(position: tuple[int | None, int | None, int | None, int | None]) -> Location:
    line, end_line, column, end_column = position
    on_one_line = end_line == line and end_column is not None
    return Location(line or 0, -1 if column is None else column, end_column if on_one_line else -1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_each_instruction_of_a_module_is_where_the_interpreter_says(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    loader = spec.loader
    assert loader is not None
    for code in code_objects(loader.get_code(name)):  # type: ignore[attr-defined]
        positions = [*code.co_positions()]
        found: list[Location] = []
        for end, location in entries(code.co_linetable, code.co_firstlineno):
            found += [location] * (end // 2 - len(found))
        assert found == [expected(position) for position in positions], code


def test_locate_finds_the_entry_of_a_byte_offset() -> None:
    code = code_objects.__code__
    for index, position in enumerate(code.co_positions()):
        for byte in (2 * index, 2 * index + 1):
            assert locate(code.co_linetable, code.co_firstlineno, byte) == expected(position)
    size = len(code.co_code)
    assert locate(code.co_linetable, code.co_firstlineno, size) is None
    assert locate(code.co_linetable, code.co_firstlineno, -2) is None
    assert locate(b"", 1, 0) is None


def test_an_entry_without_location() -> None:
    assert locate(bytes([0x80 | 15 << 3]), 7, 0) == NOWHERE


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (b"\x00", "does not begin an entry"),
        (bytes([0x80 | 0 << 3]), "ends inside"),
        (bytes([0x80 | 10 << 3, 1]), "ends inside"),
        (bytes([0x80 | 10 << 3, 1, 0x80]), "inside another"),
        (bytes([0x80 | 13 << 3]) + b"\x7f" * 40, "too long"),
        (bytes([0x80 | 14 << 3, 2, 2, 2]), "ends inside"),
    ],
)
def test_what_is_no_table_is_refused(table: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        locate(table, 1, 1000)


def test_garbage_ends_in_a_location_in_none_or_in_a_value_error() -> None:
    chance = random.Random(3)
    refused = 0
    for _ in range(3000):
        table = chance.randbytes(chance.randrange(60))
        try:
            found = locate(table, 1, chance.randrange(200))
        except ValueError:
            refused += 1
        else:
            assert found is None or isinstance(found, Location)
    assert refused > 1000
