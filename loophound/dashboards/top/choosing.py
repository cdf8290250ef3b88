"""Several servers run: which one to watch?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from loophound.dashboards.top.look import ACCENT, DIM, KEY, SELECTED, STRONG, Look, box, fit, line
from loophound.dashboards.top.words import long_time
from loophound.dashboards.wording import safe

if TYPE_CHECKING:
    from loophound.dashboards.feed import Found
    from loophound.dashboards.top.terminal import Terminal

REFRESH_S = 1.0


def choose(servers: Sequence[Found], terminal: Terminal, wall: Callable[[], float]) -> Found | None:
    """Ask; None when the reader leaves instead."""
    row = 0
    while True:
        terminal.draw(choice(servers, row, wall(), terminal.look, *terminal.size))
        keys, _, _ = terminal.wait((), REFRESH_S)
        for key in keys:
            if key in ("q", "escape"):
                return None
            if key in ("enter", "right"):
                return servers[row]
            row = min(max(row + {"up": -1, "k": -1, "down": 1, "j": 1}.get(key, 0), 0), len(servers) - 1)


def choice(servers: Sequence[Found], row: int, wall_s: float, look: Look, width: int, height: int) -> list[Text]:
    """The list, with the cursor on one of them."""
    inner, room = width - 4, height - 5
    first = min(max(0, row - room // 2), max(0, len(servers) - room))
    address = max(10, inner - 10 - 24 - 8 - 14)
    head = f"{'process':10}{'application':24}{'command':8}{fit('address', address, look)}{'up':>14}"
    lines = [line([(head, DIM)], inner, look)]
    for number, server in enumerate(servers[first : first + room], first):
        hello = server.hello
        up_s = wall_s - datetime.fromisoformat(str(hello["started_at"])).timestamp()
        cells = (
            (fit(safe(str(hello.get("server"))), 9, look) + " ", DIM),
            (fit(safe(str(hello.get("app"))), 23, look) + " ", STRONG),
            (fit(safe(str(hello.get("command"))), 8, look), ""),
            (fit(safe(" ".join(map(str, hello.get("addresses") or ()))), address, look), ""),
            (fit(long_time(up_s), 14, look, right=True), ""),
        )
        made = line(cells, inner, look)
        if number == row:
            made = Text(made.plain, SELECTED, no_wrap=True, end="")
        lines.append(made)
    title = line([(" loophound ", f"bold black on {ACCENT}"), (f"  {len(servers)} servers run", STRONG)], width, look)
    bindings = ((look.keys, " select  "), ("enter", " watch  "), ("q", " quit"))
    keys = line([(" ", ""), *(span for key, does in bindings for span in ((key, KEY), (does, DIM)))], width, look)
    return [title, *box(lines, width, height - 2, look, [("servers", STRONG)], focused=True), keys]
