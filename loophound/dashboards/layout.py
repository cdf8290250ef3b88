"""The two layouts of a report: a panel for a terminal, plain lines for everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import ROUNDED
from rich.console import Group as Rows
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from loophound.dashboards.account import Account
from loophound.dashboards.repeats import Group
from loophound.dashboards.wording import count, relative

GUILTY = "red"
INNOCENT = "yellow"


def panel(account: Account, colour: str) -> RenderableType:
    """One stall for a terminal."""
    rows: list[RenderableType] = [Text(account.headline, style=f"bold {colour}", overflow="fold")]
    if account.blame:
        rows.append(Text(account.blame, overflow="fold"))
    if account.source:
        rows += [Text(), *_source(account), Text()]
    if account.stack:
        rows.append(Text("\n".join(account.stack), style="dim", overflow="fold"))
    details = Table.grid(padding=(0, 1))
    details.add_column(style="dim", no_wrap=True)
    details.add_column(overflow="fold")
    for name, text in _details(account):
        details.add_row(name, Text(text, overflow="fold"))
    if details.row_count:
        rows.append(details)
    return Panel(Rows(*rows), box=ROUNDED, border_style=colour, padding=(0, 1))


def plain(account: Account) -> str:
    """One stall as lines of which each stands for itself; the first begins with BLOCKED."""
    lines = [account.headline]
    if account.blame:
        lines.append(f"  blame: {account.blame}")
    marked = [text.strip() for number, text in account.source if number == account.marked]
    if account.file:
        lines.append(f"  source: {account.file}:{account.marked}: {''.join(marked)}".rstrip(": "))
    if account.stack:
        lines.append(f"  stack: {' > '.join(account.stack)}")
    lines += [f"  {name}: {text}" for name, text in _details(account)]
    return "\n".join(lines)


def again(group: Group) -> str:
    """`again: main.py:44 in show · io · 4 times, worst 0.52 s`."""
    return f"again: {group.subject} · {group.cause} · {group.times} times, worst {group.worst_s:.2f} s"


def summary_table(groups: Sequence[Group]) -> RenderableType:
    table = Table(title="Stalls", box=ROUNDED, title_justify="left")
    table.add_column("where", overflow="fold")
    table.add_column("cause", overflow="fold")
    for name in ("times", "worst", "total"):
        table.add_column(name, justify="right", overflow="fold")
    for group in groups:
        table.add_row(
            Text(group.subject), group.cause, str(group.times), f"{group.worst_s:.2f} s", f"{group.total_s:.2f} s"
        )
    return table


def summary_lines(groups: Sequence[Group]) -> str:
    return "\n".join(
        " · ".join(filter(None, [f"summary: {group.subject}", group.cause, _sums(group)])) for group in groups
    )


def _sums(group: Group) -> str:
    times = count(group.times, "time", "times")
    return f"{times}, worst {group.worst_s:.2f} s, total {group.total_s:.2f} s"


def _source(account: Account) -> Iterator[Text]:
    yield Text(relative(account.file), style="dim", overflow="fold")
    digits = len(str(account.source[-1][0]))
    for number, text in account.source:
        marked = number == account.marked
        line = Text(f"{'>' if marked else ' '} {number:{digits}} ", style="bold" if marked else "dim")
        line.append(text)
        line.overflow, line.no_wrap = "ellipsis", True
        yield line


def _details(account: Account) -> Iterator[tuple[str, str]]:
    for name in ("profile", "evidence", "victims", "remedy"):
        text = getattr(account, name)
        if text:
            yield name, text
