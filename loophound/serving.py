"""`loophound.run()`: a configuration served, with the detector beside it where it is asked for."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from loophound.config import Config, table
from loophound.errors import ConfigError

if TYPE_CHECKING:
    import socket

    from loophound.calls.flagger import CallFace
    from loophound.cli.console import ConsoleHooks
    from loophound.server.hooks import Hooks
    from loophound.server.seat import Seat


def run(app: Any, **options: Any) -> None:
    """Serve `app` ("module:attribute" or the application itself) until a signal stops it.

    `options` are the fields of `Config`. Raises ConfigError for an option that cannot be
    right, StartupError when the server cannot start.
    """
    for name, (spec, _, _) in table().items():
        other = spec.other_flag[2:].replace("-", "_")
        if other in options:
            options[name] = options.pop(other)
    for name in options:
        if name not in Config.__dataclass_fields__:
            from difflib import get_close_matches  # as late as this: each start of a server loads this module

            near = get_close_matches(name, Config.__dataclass_fields__, 1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/options.md lists them"
            raise ConfigError(f"run() has no option {name!r}: {hint}")
    serve(Config(app, **options))


def serve(config: Config) -> None:
    """The same, from a configuration."""
    if config.dashboard:
        from loophound.cli.dashboard import dashboard

        with dashboard(config.feed):
            _serve(config)
    else:
        _serve(config)


def _serve(config: Config) -> None:
    if config.is_supervised:
        from loophound.supervisor.supervisor import supervise  # one process alone needs none of it

        supervise(config)
    else:
        from loophound.reopening import reopened_by_signal

        with reopened_by_signal(config.record):
            serve_here(config, seat=_service_seat())


def _service_seat() -> Seat | None:
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    from loophound.systemd import Service, ServiceSeat  # nobody else needs it

    service = Service.of(os.environ)
    return ServiceSeat(service) if service is not None else None


def serve_here(
    config: Config,
    *,
    worker: int = 0,
    seat: Seat | None = None,
    sockets: list[socket.socket] | None = None,
    observer: str | None = None,
) -> None:
    """Serve in this process, on `sockets` where it is a worker that was given them, watched by its
    supervisor's observer where the socket of one is named.
    """
    from loophound.server import Server

    # Imported where they are used: with --hang-watch off, not a line of the detector is in the process.
    with ExitStack() as at_end:
        hooks: Hooks | None = None
        faces: list[CallFace] = []
        console: ConsoleHooks | None = None
        if config.console is not None:
            from loophound.cli.console import ConsoleHooks as Hooked

            # Workers take the ports that follow, one each.
            console = Hooked(config.console + max(0, worker - 1), patient=seat is not None)
            faces.append(console.answers.take_call)
        if config.threshold_ms is not None:
            from loophound.cli.detection import detection
            from loophound.cli.hosting import hosting_of

            hosting = hosting_of(config) if observer is None else None
            if hosting is not None:
                at_end.enter_context(hosting)
            detector = at_end.enter_context(
                detection(
                    config.threshold_ms,
                    config.record,
                    config.ledger,
                    config.log_format,
                    hosting=hosting,
                    observer=observer,
                    worker=worker,
                    otel=config.otel,
                    stall_limit_s=config.stall_limit,
                    faces=[] if console is None else [console.answers.take_stall],
                )
            )
            hooks = detector.hooks
            if console is not None:
                console.snapshots = detector.snapshots
            faces.append(detector.show_call)
        elif config.hang_watch is not None:
            from loophound.hang_watch import hang_watch

            shown = None
            if config.flags_calls and observer is None:  # the feed is for calls too
                from loophound.cli.hosting import hosting_of

                shown = hosting_of(config)
                if shown is not None:
                    at_end.enter_context(shown)
            watch = at_end.enter_context(hang_watch(config, worker, observer, shown))
            hooks = watch
            faces.append(watch.show_call)
        if config.flags_calls:
            from loophound.calls.hooks import CallHooks
            from loophound.cli.calls import flagging

            hooks = CallHooks(
                at_end.enter_context(flagging(config.record, faces, log_format=config.log_format, worker=worker)), hooks
            )
        if console is not None:
            console.others, hooks = hooks, console
        Server(config, hooks=hooks, seat=seat).run(sockets)
