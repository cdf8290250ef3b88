"""Scores, and the page that shows them side by side."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.conformance.case import Case, judge
from tests.conformance.cases import ALL, GROUPS
from tests.conformance.play import play

AT_ONCE = 8
LONGEST_REASON = 100  # characters, on the page


@dataclass
class Score:
    name: str
    cases: list[Case]
    failures: dict[Case, str]

    @classmethod
    def of(cls, name: str, cases: list[Case], address: tuple[str, int]) -> Score:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = pool.map(lambda case: _ask(case, address), cases)
        return cls(name, cases, {case: why for case, why in zip(cases, verdicts, strict=True) if why})

    @property
    def passed(self) -> int:
        return len(self.cases) - len(self.failures)


def _ask(case: Case, address: tuple[str, int]) -> str:
    try:
        return judge(case, play(case, address))
    except OSError as error:
        return f"no connection: {error}"


def page(scores: list[Score]) -> str:
    """The scores in Markdown. Needs scores of all cases."""
    today = datetime.now(UTC).date().isoformat()
    names = [score.name for score in scores]
    rows = [
        [group, str(len(cases)), *(str(sum(case not in score.failures for case in cases)) for score in scores)]
        for group, cases in GROUPS.items()
    ]
    rows.append(["**all**", f"**{len(ALL)}**", *(f"**{score.passed}**" for score in scores)])
    lines = [
        "# Conformance",
        "",
        INTRODUCTION.format(count=len(ALL)).strip(),
        "",
        f"Measured on {today}, CPython {platform.python_version()}, each server with its own defaults:",
        "",
        _row(["", "cases", *names]),
        _row(["---", *["---:"] * (len(names) + 1)]),
        *map(_row, rows),
        "",
        "What failed, of each server:",
        "",
    ]
    for score in scores:
        lines += [f"<details><summary>{score.name}: {len(score.failures)}</summary>", ""]
        lines += [f"- {case.name} ({case.section}): {_escaped(why)}" for case, why in score.failures.items()] or [
            "none"
        ]
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    text = text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "..."
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"


INTRODUCTION = """
Written by `python -m tests.conformance --all --write docs/conformance.md`.

`tests/conformance/` has {count} cases for HTTP/1.1 and ASGI: bytes that are sent on a raw socket, and what has to come
back, with the section of RFC 9110, RFC 9112 or the ASGI specification that says so. Where the standard leaves a
choice, each of its ways counts: a request that must not be served may be answered with 400 or cut off, say. The suite
runs with the other tests, where this project's own server must give its one answer to each, on both loops.
`python -m tests.conformance --server uvicorn`, or `--url HOST:PORT`, puts the cases to another server; it has to run
`tests.conformance.app:app`, which does what the cases want of an application.

Some cases are this project's own demand: limits (the standard wants them, and leaves them to the server), a client that
has said all and waits, an answer to each mistake of the application. ASGI's extensions are a server's choice; cases of
their own show who has them.

`python -m tests.fuzz --minutes 60` plays random streams to the connection without sockets: requests made by a grammar
that makes mistakes, and mutations of them. No exception may escape, nothing hang, no buffer grow beyond its limit, only
HTTP be written, and the application see the same however a stream is cut into pieces.
"""
