"""`loophound top`: a server watched live, from another terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loophound.errors import ConfigError, LoophoundError

if TYPE_CHECKING:
    from loophound.dashboards.feed import Found
    from loophound.dashboards.top.app import Dashboard, Feed
    from loophound.dashboards.top.look import Look

FIRST_WORDS_S = 2.5  # the figures come once a second
PICTURE_SIZE = (120, 40)  # of --once, where there is no terminal that has a size


@click.command("top", short_help="Watch a running server live.")
@click.argument("source", metavar="[SOCKET|URL|PID]", required=False)
@click.option("--once", is_flag=True, help="Print one picture, and end.")
def command(source: str | None, once: bool) -> None:
    """Watch a server that runs under `loophound serve APP --detect-blocking`, from another terminal.

    Without SOCKET it finds the running ones by itself, and asks which where there are several.
    """
    from loophound.dashboards.top.terminal import first_environment, look_of

    look = look_of(first_environment())
    interactive = not once and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    feed = _named(source) if source is not None else _found(look, interactive=interactive)
    if feed is None:
        return
    if interactive:
        _watch(feed, look)
    elif once:
        _print_once(feed, look)
    else:
        _print_lines(feed, look)


def _named(source: str) -> Feed:
    """The feed at a socket, of a process, or behind a web dashboard. Raises LoophoundError when there is none."""
    from loophound.dashboards.feed import FeedReader, default_path

    if source.startswith(("http://", "https://")):
        from loophound.dashboards.top.address import AddressedFeed

        return AddressedFeed(source)
    path = default_path(int(source)) if source.isdigit() and not Path(source).exists() else Path(source)
    try:
        return FeedReader(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LoophoundError(
            f"no feed at {str(path)!r}: {reason}; `loophound top` alone finds the servers that run"
        ) from None


def _found(look: Look, *, interactive: bool) -> Feed | None:
    """The feed of the one server that runs; of several, the one that is chosen. None when none is."""
    from loophound.dashboards.feed import find

    servers = find()
    if not servers:
        raise LoophoundError(
            "no server found: start one with `loophound serve APP --detect-blocking`, or name the socket of its feed"
        )
    if len(servers) == 1:
        return _named(servers[0].path)
    if not interactive:
        raise ConfigError(f"{len(servers)} servers run; say which:\n{_listed(servers)}")
    from loophound.dashboards.top.choosing import choose
    from loophound.dashboards.top.terminal import Terminal

    with Terminal(sys.stdout, look) as terminal:
        chosen = choose(servers, terminal, time.time)
    return None if chosen is None else _named(chosen.path)


def _listed(servers: Sequence[Found]) -> str:
    from loophound.dashboards.wording import safe

    return "\n".join(
        f"  loophound top {safe(str(server.hello.get('server')))}   {safe(str(server.hello.get('app')))}  "
        f"{safe(' '.join(map(str, server.hello.get('addresses') or ())))}".rstrip()
        for server in servers
    )


def _watch(feed: Feed, look: Look) -> None:
    import signal

    from loophound.dashboards.top.app import Dashboard, run
    from loophound.dashboards.top.terminal import Ended, Terminal

    try:
        with Terminal(sys.stdout, look) as terminal:
            run(Dashboard(feed, look), terminal)
    except Ended as end:
        # As the signal would have ended it, now that the terminal is given back.
        signal.signal(end.number, signal.SIG_DFL)
        os.kill(os.getpid(), end.number)


def _print_once(feed: Feed, look: Look) -> None:
    from rich.console import Console

    from loophound.dashboards.top.app import Dashboard
    from loophound.dashboards.top.terminal import encode
    from loophound.dashboards.top.views.frame import frame

    dashboard = Dashboard(feed, look)
    deadline_s = dashboard.now_s() + FIRST_WORDS_S
    while not _has_figures(dashboard) and (left_s := deadline_s - dashboard.now_s()) > 0:
        dashboard.read(left_s)
    if dashboard.board.server is None:
        raise LoophoundError("the feed says nothing: is its server stopped?")
    console = Console()
    size = os.get_terminal_size() if sys.stdout.isatty() else PICTURE_SIZE
    for line in frame(dashboard.scene(), *size):
        # Not console.print(): the lines have their width already.
        _write((encode(line, console) if console.is_terminal else line.plain).rstrip())


def _has_figures(dashboard: Dashboard) -> bool:
    """Whether each worker has told its figures, those included that are made for readers only, and each loop its state.

    A worker that is blocked tells none.
    """
    board = dashboard.board
    serves = board.server is not None and board.server.command == "serve"
    return bool(board.workers) and all(
        worker.gone
        or any(loop.state.is_trouble for loop in worker.loops.values())
        or (worker.uptime_at_s and worker.loops and (worker.requests is not None or not serves))
        for worker in board.workers
    )


def _print_lines(feed: Feed, look: Look) -> None:
    from loophound.dashboards.top.app import Dashboard
    from loophound.dashboards.top.plain import lines

    for line in lines(Dashboard(feed, look)):
        _write(line)


def _write(line: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()
