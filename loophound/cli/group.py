"""The group of commands; a command's module is imported when it is called, so that each starts quickly."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from loophound import __version__

# Each name is a module of loophound.cli; the click command in it is called `command`.
COMMANDS = {
    "serve": "Serve an ASGI application.",
    "exec": "Run an asyncio program, unchanged, under the detector.",
    "top": "Watch a running server live, from another terminal.",
    "report": "Show what was recorded, grouped by culprit and cause.",
    "doctor": "Prove on this machine that detection works.",
    "demo": "Show the detector on a small application with planted blockers.",
}


class LazyGroup(click.Group):
    """A group that knows the names of its commands and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return cast(click.Command, import_module(f"loophound.cli.{cmd_name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def commands() -> None:
    """Serve ASGI applications, and tell who blocked the event loop."""
