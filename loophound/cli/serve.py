"""`loophound serve`: an ASGI application, and with --detect-blocking the detector at its side."""

from __future__ import annotations

import click

from loophound import config
from loophound.cli.options import complete_optional_values, config_options, values


class ServeCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, complete_optional_values(args))


@click.command("serve", cls=ServeCommand, short_help="Serve an ASGI application.")
@click.argument("app")
@config_options(name for name, _ in config.options())
def command(app: str, **given: str | bool | tuple[str, ...] | None) -> None:
    """Serve APP, written module:attribute, such as shop.main:app.

    Each option can be set in the environment too: LOOPHOUND_ and its name, such as LOOPHOUND_PORT.
    """
    from loophound.serving import serve

    serve(config.Config(app=app, **values(given)))
