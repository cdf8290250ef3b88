"""`loophound.run()`: a configuration served, with the detector beside it where it is asked for."""

from __future__ import annotations

from typing import Any

from loophound.config import Config


def run(app: Any, **options: Any) -> None:
    """Serve `app` ("module:attribute" or the application itself) until a signal stops it.

    `options` are the fields of `Config`. Raises ConfigError for an option that cannot be
    right, StartupError when the server cannot start.
    """
    serve(Config(app=app, **options))


def serve(config: Config) -> None:
    """The same, from a configuration."""
    from loophound.server import Server

    if config.detect_blocking is None:
        Server(config).run()
        return
    # Imported here: without detection, not a line of the detector is in the process.
    from loophound.cli.detection import detection

    with detection(config.detect_blocking, config.record, config.ledger) as detector:
        Server(config, hooks=detector.hooks).run()
