"""Every option, written once.

A field of `Config` is an option: its type, default, help text and command-line flag stand
here and nowhere else. The command line, the environment (`LOOPHOUND_` and the field's name
in capitals) and `loophound.run()` derive from this table, and so does docs/options.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, cast

from loophound.errors import ConfigError

DEFAULT_THRESHOLD_MS = 100.0

Lifespan = Literal["auto", "on", "off"]
LoopKind = Literal["auto", "asyncio", "uvloop"]
LogLevel = Literal["critical", "error", "warning", "info", "debug"]


@dataclass(frozen=True, slots=True)
class Option:
    """What the faces of one option need to know: the help text and its limits."""

    help: str
    choices: tuple[str, ...] = ()
    metavar: str = ""
    minimum: float | None = None
    maximum: float | None = None
    optional_value: str | None = None  # what the bare flag means, where the value may be left out


def option(default: Any, help: str, **details: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **details)})


@dataclass(kw_only=True)
class Config:
    """How to serve an application. Raises ConfigError for a value that cannot be right."""

    app: Any  # "module:attribute", or the ASGI application itself

    host: str = option("127.0.0.1", "Address to listen on.", metavar="HOST")
    port: int = option(8000, "Port to listen on; 0 takes a free one.", metavar="PORT", minimum=0, maximum=65535)
    uds: str | None = option(None, "Listen on this unix socket instead of a port.", metavar="PATH")
    factory: bool = option(False, "APP is a function that returns the application.")
    app_dir: str | None = option("", "Look for APP in this directory first.", metavar="DIR")
    loop: LoopKind = option("auto", "Event loop; auto takes uvloop where it is installed.", choices=("auto", "asyncio", "uvloop"))
    lifespan: Lifespan = option("auto", "Lifespan protocol; auto goes on without it when the application has none.", choices=("auto", "on", "off"))
    root_path: str = option("", "Path under which a proxy mounts the application.", metavar="PATH")
    backlog: int = option(2048, "Connections that the kernel holds until they are accepted.", metavar="N", minimum=1)
    log_level: LogLevel = option("info", "How much the log tells.", choices=("critical", "error", "warning", "info", "debug"))
    access_log: bool = option(True, "Log each request.")
    timeout_keep_alive: float = option(5.0, "Seconds that an idle connection is kept.", metavar="SECONDS", minimum=0)
    timeout_head: float = option(
        10.0, "Seconds that the head of a request may take to arrive.", metavar="SECONDS", minimum=0.01
    )
    timeout_graceful_shutdown: float | None = option(30.0, "Seconds that requests get to end at a stop, before they are cancelled.", metavar="SECONDS", minimum=0)

    detect_blocking: float | None = option(
        None,
        "Report whoever blocks the event loop longer than MS milliseconds (100 when MS is left out).",
        metavar="MS",
        optional_value=f"{DEFAULT_THRESHOLD_MS:g}",
    )
    record: str | None = option(None, "Append each stall to this file, one JSON record a line.", metavar="FILE")

    def __post_init__(self) -> None:
        for name, spec in options():
            check(name, spec, getattr(self, name))
        if self.detect_blocking is not None and not self.detect_blocking > 0:
            raise ConfigError(f"--detect-blocking wants a threshold above 0 milliseconds, such as 100; got {self.detect_blocking:g}")
        if self.record is not None and self.detect_blocking is None:
            raise ConfigError("--record writes what the detector finds: add --detect-blocking")


def options() -> Iterator[tuple[str, Option]]:
    """The name and the description of each option, in the order of this file."""
    for entry in cast(tuple[Field[Any], ...], fields(Config)):
        if "option" in entry.metadata:
            yield entry.name, entry.metadata["option"]


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def check(name: str, spec: Option, value: Any) -> None:
    """Hold a value against the limits of its option."""
    if value is None:
        return
    if spec.choices and value not in spec.choices:
        raise ConfigError(f"{flag_of(name)} is one of {', '.join(spec.choices)}; got {value!r}")
    below = spec.minimum is not None and value < spec.minimum
    above = spec.maximum is not None and value > spec.maximum
    if below or above:
        limits = f"at least {spec.minimum:g}" if spec.maximum is None else f"{spec.minimum:g} to {spec.maximum:g}"
        raise ConfigError(f"{flag_of(name)} takes {limits}; got {value}")
