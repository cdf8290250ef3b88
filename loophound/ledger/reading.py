"""Records from JSON, held against their shape: a file from outside may have anything in it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from loophound.detector.records import Stall
from loophound.ledger.groups import at_s

# Sums and time zones stay within what datetime and a float can hold.
LONGEST_S = 10 * 365 * 86400
YEAR_9999_S = 253_370_764_800

Check: TypeAlias = Callable[[Any], str | None]


def read_stall(text: str | bytes) -> Stall:
    """One record. Raises ValueError that says what is wrong with it."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON (column {error.colno}): {error.msg}") from None
    except RecursionError:
        raise ValueError("not a record: nested too deeply") from None
    if not isinstance(record, Mapping):
        raise ValueError(f"not a record: a JSON {type(record).__name__}")
    stall = Stall.from_dict(record)
    wrong = fitting(Stall)(stall)
    if wrong:
        raise ValueError(wrong.removeprefix("."))
    if not 0 <= stall.duration_s <= LONGEST_S:
        raise ValueError(f"duration_s is no length of a stall: {stall.duration_s}")
    try:
        possible = 0 <= at_s(stall) < YEAR_9999_S
    except (ValueError, OverflowError, OSError):
        possible = False
    if not possible:
        raise ValueError(f"at is no time: {stall.at!r}")
    return stall


@cache
def fitting(hint: Any) -> Check:
    """What holds a value against an annotation of a record's field.

    The check gives None, or where the misfit is and what it is: `.stack[3].line is 'x', not a whole number`.
    """
    if isinstance(hint, UnionType):
        [inner] = [fitting(part) for part in get_args(hint) if part is not NoneType]
        return lambda value: None if value is None else inner(value)
    if get_origin(hint) is tuple:
        return _entries_fit(fitting(get_args(hint)[0]))
    if is_dataclass(hint):
        return _fields_fit(hint)
    return _has_type(hint)


def _has_type(hint: Any) -> Check:
    # type(), as a bool is an int too. JSON writes 1.0 as 1 where it likes.
    types = (float, int) if hint is float else (hint,)
    name = _NAMES.get(hint, hint.__name__)

    def check(value: Any) -> str | None:
        fits = type(value) in types and (hint is not float or math.isfinite(value))
        return None if fits else f" is {value!r:.60}, not {name}"

    return check


def _entries_fit(entry_fits: Check) -> Check:
    def check(values: Any) -> str | None:
        for number, value in enumerate(values):
            wrong = entry_fits(value)
            if wrong:
                return f"[{number}]{wrong}"
        return None

    return check


def _fields_fit(part: Any) -> Check:
    hints = get_type_hints(part)
    checks = [(entry.name, fitting(hints[entry.name])) for entry in fields(part)]

    def check(value: Any) -> str | None:
        if type(value) is not part:
            return f" is {value!r:.60}, not {part.__name__}"
        for name, fits in checks:
            wrong = fits(getattr(value, name))
            if wrong:
                return f".{name}{wrong}"
        return None

    return check


_NAMES: dict[Any, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
