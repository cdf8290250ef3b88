"""`loophound serve`: an ASGI application, and with --detect-blocking the detector at its side."""

from __future__ import annotations

from typing import Any

import click

from loophound import config
from loophound.cli.options import complete_optional_values, config_options, values


class ServeCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, complete_optional_values(args))


@click.command("serve", cls=ServeCommand, short_help="Serve an ASGI application.")
@click.argument("app")
@config_options(name for name, _ in config.options())
def command(app: str, **given: str | bool | None) -> None:
    """Serve APP, written module:attribute, such as shop.main:app.

    Each option can be set in the environment too: LOOPHOUND_ and its name, such as LOOPHOUND_PORT.
    """
    settings = config.Config(app=app, **values(given))
    if settings.detect_blocking is None:
        run_server(settings)
    else:
        run_detected(settings, settings.detect_blocking)


def run_server(settings: config.Config, hooks: Any = None) -> None:
    from loophound.server import Server

    Server(settings, hooks=hooks).run()


def run_detected(settings: config.Config, threshold_ms: float) -> None:
    # Imported here: without --detect-blocking, not a line of the detector is in the process.
    from loophound.cli.detection import detection

    with detection(threshold_ms, settings.record) as detector:
        run_server(settings, detector.hooks)
