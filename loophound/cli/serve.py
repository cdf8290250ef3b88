"""`loophound serve`: an ASGI application, and with --detect-blocking the detector at its side."""

from __future__ import annotations

import os
from pathlib import Path

import click

from loophound import config
from loophound.cli.options import complete_values, config_options, values
from loophound.env_file import missing_variables
from loophound.first_process import wait_in_front
from loophound.settings import over, server_options


class ServeCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, complete_values(args))


@click.command("serve", cls=ServeCommand, short_help="Serve an ASGI application.")
@click.argument("app", envvar=[f"{config.ENV_PREFIX}APP", f"{config.UVICORN_ENV_PREFIX}APP"])
@click.option("--config", "config_file", metavar="FILE", help="Read options from this TOML file, not pyproject.toml.")
@click.option("--env-file", metavar="FILE", help="Set the variables in this file that the environment lacks.")
@config_options(name for name, _ in config.options())
def command(
    app: str, config_file: str | None, env_file: str | None, **given: str | bool | tuple[str, ...] | None
) -> None:
    """Serve APP, written module:attribute, such as shop.main:app.

    Each option can be set in the environment too: LOOPHOUND_ and its name, such as LOOPHOUND_PORT; or in
    [tool.loophound.server] of pyproject.toml.
    """
    from loophound.serving import serve

    if env_file is not None:
        os.environ |= missing_variables(env_file, os.environ)
    options = over(server_options(config_file, Path.cwd()), values(given))
    wanted = config.Config(app, **options)
    if not wanted.is_supervised:
        wait_in_front()
    serve(wanted)
