"""Known stalls of an old code base: they warn, new ones fail, and vanished ones are reported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from loophound.dashboards.account import subject
from loophound.dashboards.wording import relative
from loophound.pytest_plugin.verdict import Judged

SCHEMA = "loophound.baseline/1"
TYPES = {"fingerprint": str, "cause": str, "where": str, "worst_ms": int, "tests": list}


@dataclass(frozen=True, slots=True)
class Entry:
    """A known stall: its fingerprint, and for the reader what it is and in which tests it was seen."""

    fingerprint: str
    cause: str
    where: str
    worst_ms: int
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Entries by fingerprint, which no line number is part of: code may move."""

    entries: Mapping[str, Entry]

    @classmethod
    def read(cls, file: Path | None, *, may_be_missing: bool) -> Self:
        """Raises pytest.UsageError for a file that is no baseline, or of another version."""
        if file is None or (may_be_missing and not file.exists()):
            return cls({})
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _error(file, "there is no such file; write it with --stall-baseline-update") from None
        except (OSError, ValueError, RecursionError) as error:
            raise _error(file, f"it cannot be read as JSON ({error})") from None
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise _error(file, f"its schema is {schema!r}, not {SCHEMA!r}; write it with --stall-baseline-update")
        stalls = data.get("stalls")
        if not isinstance(stalls, list):
            raise _error(file, "it has no list of stalls")
        entries = [_entry(stall, file, number) for number, stall in enumerate(stalls, 1)]
        return cls({entry.fingerprint: entry for entry in entries})

    def vanished(self, stalls: Iterable[Judged], ran: set[str]) -> list[Entry]:
        """Entries of which all tests ran, and nothing was seen."""
        seen = {judged.stall.fingerprint for judged in stalls}
        return [entry for name, entry in self.entries.items() if name not in seen and ran.issuperset(entry.tests)]

    def updated(self, stalls: Iterable[Judged], ran: set[str]) -> Baseline:
        """With the stalls of a run, without the vanished ones; what was not run stays."""
        stalls = list(stalls)
        gone = {entry.fingerprint for entry in self.vanished(stalls, ran)}
        entries = {name: entry for name, entry in self.entries.items() if name not in gone}
        for judged in sorted(stalls, key=lambda one: one.stall.duration_s):
            name = judged.stall.fingerprint
            known = entries.get(name)
            tests = {test for test in known.tests if test not in ran} if known is not None else set()
            tests |= {one.test for one in stalls if one.stall.fingerprint == name}
            worst_ms = round(judged.stall.duration_s * 1000)
            entries[name] = Entry(name, judged.stall.cause.value, _where(judged), worst_ms, tuple(sorted(tests)))
        return Baseline(entries)

    def write(self, file: Path) -> None:
        """Raises OSError."""
        entries = sorted(self.entries.values(), key=lambda entry: (entry.where, entry.cause))
        data = {"schema": SCHEMA, "stalls": [asdict(entry) for entry in entries]}
        file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _where(judged: Judged) -> str:
    culprit = judged.stall.culprit
    return f"{culprit.function} in {relative(culprit.file)}" if culprit is not None else subject(judged.stall)


def _entry(stall: Any, file: Path, number: int) -> Entry:
    fits = isinstance(stall, dict) and all(isinstance(stall.get(name), kind) for name, kind in TYPES.items())
    if not fits or not all(isinstance(test, str) for test in stall["tests"]):
        raise _error(file, f"stall {number} needs {', '.join(TYPES)}")
    return Entry(**{name: stall[name] for name in TYPES if name != "tests"}, tests=tuple(stall["tests"]))


def _error(file: Path, problem: str) -> pytest.UsageError:
    return pytest.UsageError(f"--stall-baseline {file}: {problem}")
