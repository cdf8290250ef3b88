"""Records from JSON, held against their shape: a file from outside may have anything in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from loophound.detector.records import Stall
from loophound.ledger.groups import at_s


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
    wrong = misfit(stall, Stall, "")
    if wrong:
        raise ValueError(wrong)
    if stall.duration_s < 0:
        raise ValueError(f"duration_s is below zero: {stall.duration_s}")
    try:
        at_s(stall)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"at is no time: {stall.at!r}") from None
    return stall


def misfit(value: Any, hint: Any, path: str) -> str | None:
    """Where a value is not of its annotation, in words; None where all is as it should be."""
    if isinstance(hint, UnionType):
        [inner] = [part for part in get_args(hint) if part is not NoneType]
        return None if value is None else misfit(value, inner, path)
    if get_origin(hint) is tuple:
        found = (misfit(entry, get_args(hint)[0], f"{path}[{n}]") for n, entry in enumerate(value))
        return next(filter(None, found), None)
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, hint):
        prefix = f"{path}." if path else ""
        found = (misfit(getattr(value, name), part, prefix + name) for name, part in _hints(hint).items())
        return next(filter(None, found), None)
    # type(), as a bool is an int too.
    fits = type(value) in (int, float) and math.isfinite(value) if hint is float else type(value) is hint
    return None if fits else f"{path} is {value!r:.60}, not {_NAMES.get(hint, hint.__name__)}"


_NAMES: dict[Any, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


@cache
def _hints(part: Any) -> dict[str, Any]:
    hints = get_type_hints(part)
    return {entry.name: hints[entry.name] for entry in fields(part)}
