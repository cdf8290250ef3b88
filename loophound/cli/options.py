"""Click options made from the option table of loophound/config.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import click

from loophound import config
from loophound.errors import ConfigError
from loophound.settings import over

Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(names: Iterable[str]) -> Callable[[Command], Command]:
    """Decorate a command with the options of these names; each is None where it was not given.

    Values are read by loophound.config, so that one message serves command line and environment.
    """

    def decorate(command: Command) -> Command:
        for name in reversed(list(names)):
            command = _option(name)(command)
        return command

    return decorate


def values(given: Mapping[str, str | bool | tuple[str, ...] | None]) -> dict[str, Any]:
    """What these options are set to: by the command line, else by the environment; else absent."""
    read = {
        name: text if isinstance(text, (bool, tuple)) else config.parse(name, text)
        for name, text in given.items()
        if text is not None and text != ()
    }
    return over(config.from_env(os.environ, [name for name in given if name not in read]), read)


def complete_values(arguments: list[str]) -> list[str]:
    """Write out the value of each flag that stands alone: `--detect-blocking` is `--detect-blocking=100`; and
    turn a value that a plain flag is given into the flag: `--access-log false` is `--no-access-log`.

    click would take the next argument, the application, for the value. Raises ConfigError for what is no
    application there, as in `--detect-blocking 50 app:app` and `--ledger stalls.db app:app`.
    """
    defaults = {config.flag_of(name): spec.optional_value for name, spec in config.options() if spec.optional_value}
    for flag, following in pairwise(arguments):
        if flag in defaults and _is_value(following):
            raise ConfigError(f"{flag} takes its value after an equals sign: {flag}={following}")
    plain = [f"{word}={defaults[word]}" if word in defaults else word for word in arguments]
    return list(_without_truths(plain))


def _without_truths(arguments: list[str]) -> Iterator[str]:
    """uvicorn has one option that takes `true` or `false`; all that are flags here may."""
    flags = {config.flag_of(name) for name, _ in config.options() if config.kind_of(name).type is bool}
    words = iter(arguments)
    for word in words:
        flag, equals, text = word.partition("=")
        if flag not in flags:
            yield word
            continue
        following = text if equals else next(words, "")
        truth = config.TRUTHS.get(following.lower())
        if truth is not None:
            yield flag if truth else f"--no-{flag[2:]}"
        elif equals:
            raise ConfigError(f"{flag} takes true or false; got {text!r}")
        else:
            yield flag
            if following:
                yield from _without_truths([following, *words])


def _is_value(word: str) -> bool:
    if word.startswith("-"):
        return False
    return (
        word.replace(".", "", 1).isdigit()
        or word in ("stalls", "calls")
        or word.rpartition(":")[2].isdigit()  # HOST:PORT; an application is no number
        or word.endswith((".db", ".sqlite", ".sqlite3"))
    )


class OptionalValue(click.Option):
    """An option whose value may be left out; its help says so."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        return f"{self.opts[0]}[={self.metavar}]", self.help or ""


def _option(name: str) -> Callable[[Command], Command]:
    spec, kind, _ = config.table()[name]
    flag = config.flag_of(name)
    if kind.type is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=help_of(name))
    if spec.optional_value:
        return click.option(flag, name, cls=OptionalValue, metavar=spec.metavar, help=help_of(name))
    flags = [flag, spec.other_flag] if spec.other_flag else [flag]
    return click.option(*flags, name, metavar=metavar(name), help=help_of(name), multiple=kind.type is tuple)


def help_of(name: str) -> str:
    spec, _, default = config.table()[name]
    if spec.optional_value:
        return f"{spec.help} The flag alone means {spec.optional_value}."
    return spec.help if default in (None, "", False, ()) else f"{spec.help} [default: {shown(default)}]"


def metavar(name: str) -> str:
    spec, kind, _ = config.table()[name]
    return "|".join(kind.choices) if kind.choices else spec.metavar


def shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else f"{default}"
