"""`loophound report`: what was recorded, grouped."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType

from loophound.dashboards.report import data, detail, flame, table
from loophound.dashboards.report.rows import ORDERS, ranked
from loophound.errors import ConfigError, LoophoundError
from loophound.ledger.compare import compare
from loophound.ledger.groups import Group
from loophound.ledger.place import default_path
from loophound.ledger.source import Source, read_source
from loophound.source import SourceLines

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FORMATS = ("speedscope", "collapsed")


@dataclass(frozen=True, slots=True)
class Output:
    """What to write: one of these, or the table."""

    json: bool
    format: str | None
    html: str | None
    against: str | None
    suggest: bool = False

    def check(self) -> None:
        """Raises UsageError for two at once."""
        given = {"--json": self.json, "--format": self.format, "--html": self.html}
        named = [flag for flag, value in given.items() if value]
        if len(named) > 1:
            raise click.UsageError(f"{' and '.join(named)} do not go together")
        if self.suggest and (self.format or self.html or self.against):
            raise click.UsageError("--suggest goes with --json, and with no other form of the report")
        if self.against and (self.format or self.html):
            raise click.UsageError(f"--against goes with the table and with --json, not with {named[0]}")


@click.command("report", short_help="Show what was recorded, grouped by culprit and cause.")
@click.argument("source", required=False)
@click.option("--group", "group_id", metavar="ID", help="Show one group in full; the first digits of its id will do.")
@click.option("--since", metavar="TIME", help="Only stalls since then: 30m, 2h, 7d ago, or 2026-11-22[T14:30].")
@click.option("--sort", type=click.Choice(list(ORDERS)), default="total", show_default=True, help="What comes first.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many groups.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Write stacks for a flame graph, in milliseconds.")
@click.option("--against", metavar="OTHER", help="Compare with an earlier run: a ledger or a record file.")
@click.option("--html", metavar="FILE", help="Write one self-contained page.")
@click.option("--suggest", is_flag=True, help="Say what to offload, and how much time that would have freed.")
def command(
    source: str | None, group_id: str | None, since: str | None, sort: str, limit: int | None,
    as_json: bool, form: str | None, against: str | None, html: str | None, suggest: bool,
) -> None:  # fmt: skip
    """Group the stalls in SOURCE by culprit and cause.

    SOURCE is a ledger, or a file that --record wrote, or - for the records on standard input; by default
    the project's own ledger, which --ledger keeps.
    """
    output = Output(as_json, form, html, against, suggest)
    output.check()
    now_s = time.time()
    read = _read(source, since_of(since, now_s) if since else None)
    groups = ranked(read.groups, sort, limit) if group_id is None else [chosen(list(read.groups), group_id)]
    if suggest:
        _suggest(read, groups, as_json)
    elif against is not None:
        _compare(read, groups, _read(against, None), as_json, alone=group_id is not None)
    elif as_json:
        _print_json(data.report(read.name, groups, full=group_id is not None))
    elif form is not None:
        _write(flame.collapsed(groups)) if form == "collapsed" else _print_json(flame.speedscope(read.name, groups))
    elif html is not None:
        _write_page(html, read, groups, now_s)
    elif group_id is not None:
        _show(lambda _: detail.panels(groups[0], SourceLines()), lambda: detail.lines(groups[0], SourceLines()))
    elif groups:
        _show(lambda width: table.table(groups, now_s, width), lambda: table.lines(groups))
        _write(f"{table.summary(groups)}; `loophound report --group ID` shows one in full\n")
    else:
        _write("no stalls\n")


def since_of(text: str, now_s: float) -> float:
    """The point in time that `--since` means, in seconds since the epoch. Raises ConfigError."""
    span = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if span:
        return now_s - float(span[1]) * UNITS_S[span[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"--since takes a time such as 2h, 7d or 2026-11-22; got {text!r}") from None


def chosen(groups: list[Group], group_id: str) -> Group:
    """The one group whose id begins so. Raises ConfigError."""
    found = [group for group in groups if group_id and group.fingerprint.startswith(group_id)]
    if len(found) == 1:
        return found[0]
    which = ", ".join(group.fingerprint for group in (found or groups)[:10]) or "none here"
    problem = f"fits {len(found)} groups" if found else "fits no group"
    raise ConfigError(f"--group {group_id!r} {problem}; there are {which}")


def _read(name: str | None, since_s: float | None) -> Source:
    if name is None:
        path = default_path(Path.cwd(), os.environ)
        if not path.exists():
            raise LoophoundError(
                f"no ledger of this project yet ({path}): `loophound serve APP --detect-blocking --ledger` keeps one; "
                "or name a file, as in `loophound report stalls.jsonl`"
            )
        name = str(path)
    source = read_source(name) if since_s is None else read_source(name, since_s)
    for problem in source.problems:
        print(f"loophound: {problem}", file=sys.stderr)  # noqa: T201
    return source


def _suggest(source: Source, groups: list[Group], as_json: bool) -> None:
    from loophound.dashboards.report import suggest
    from loophound.ledger.suggest import candidates

    found = candidates(groups)
    if as_json:
        _print_json(suggest.document(source.name, found, SourceLines()))
    else:
        _write(suggest.lines(found, SourceLines()) + "\n")


def _compare(now: Source, groups: list[Group], before: Source, as_json: bool, *, alone: bool) -> None:
    named = {group.fingerprint for group in groups}
    # What --limit leaves out of this run is not gone from it.
    left_out = {group.fingerprint for group in now.groups} - named
    earlier = [
        group for group in before.groups if group.fingerprint in named or not (alone or group.fingerprint in left_out)
    ]
    changes = compare(groups, earlier)
    if as_json:
        _print_json(data.comparison(now.name, before.name, changes))
    elif changes:
        _show(lambda _: table.changes_table(changes), lambda: table.changes_lines(changes))
    else:
        _write("no stalls in either\n")


def _write_page(file: str, source: Source, groups: list[Group], now_s: float) -> None:
    from loophound.dashboards.report.page import page

    try:
        Path(file).write_text(page(source.name, groups, SourceLines(), now_s), encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--html: cannot write {file!r}: {reason.lower()}") from None


def _show(rendering: Callable[[int], RenderableType], text: Callable[[], str]) -> None:
    console = Console()
    if console.is_terminal:
        console.print(rendering(console.width), highlight=False)
    else:
        _write(text() + "\n")


def _print_json(document: Any) -> None:
    _write(json.dumps(document, indent=2) + "\n")


def _write(text: str) -> None:
    """To standard output, in whatever encoding it has."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
