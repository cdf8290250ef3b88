"""`loophound exec`: any asyncio program, unchanged, under the detector."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NoReturn

import click

from loophound import config
from loophound.cli import program
from loophound.cli.options import OptionalValue, complete_values, config_options, values
from loophound.errors import ConfigError
from loophound.threshold import DEFAULT_THRESHOLD_MS

STALLED_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h: no code that programs commonly give themselves


class ExecCommand(click.Command):
    """A command whose options end where the program begins, as those of `python` do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, rest = split(args, self._flags_with_value(ctx))
        ctx.ensure_object(list)
        ctx.obj = rest
        return super().parse_args(ctx, complete_values([*own, *rest[:1]])[: len(own)])

    def _flags_with_value(self, ctx: click.Context) -> set[str]:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and not param.is_flag]
        return {flag for option in options if not isinstance(option, OptionalValue) for flag in option.opts}


def split(arguments: list[str], flags_with_value: set[str]) -> tuple[list[str], list[str]]:
    """Part our own options from the program and all that belongs to it."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return arguments[:position], arguments[position + 1 :]
        if not word.startswith("-") or word == "-" or (word.startswith("-m") and not word.startswith("--")):
            break
        position += 2 if word in flags_with_value else 1
    return arguments[:position], arguments[position:]


@click.command(
    "exec",
    cls=ExecCommand,
    short_help="Run an asyncio program, unchanged, under the detector.",
    options_metavar="[OPTIONS] SCRIPT [ARGS]... | -m MODULE [ARGS]...",
)
@config_options(
    ["detect_blocking", "stall_limit", "record", "ledger", "feed", "web_dashboard", "metrics", "health_limit"]
)
@click.option("--fail-on-stall", is_flag=True, help=f"Exit {STALLED_EXIT_CODE} when a clean run stalled.")
@click.pass_obj
def command(words: list[str], /, fail_on_stall: bool, **given: str | None) -> NoReturn:
    """Run SCRIPT, or MODULE with -m, as python would, and report who blocks its event loops.

    The threshold is 100 ms unless --detect-blocking=MS sets another. The exit code is the
    program's own. A directory or a zip file with a __main__.py is a SCRIPT too.
    """
    if not words:
        raise click.UsageError("exec wants a program: loophound exec SCRIPT [ARGS], or -m MODULE [ARGS]")
    settings = values(given)
    target = _program(words)

    from loophound.cli.detection import detection
    from loophound.cli.hosting import hosting

    threshold_ms = settings.get("detect_blocking") or DEFAULT_THRESHOLD_MS
    if threshold_ms == "calls":
        raise ConfigError("--detect-blocking=calls is for `loophound serve`: a program has no requests")
    if threshold_ms == "stalls":
        threshold_ms = DEFAULT_THRESHOLD_MS
    config.check_stall_limit(settings.get("stall_limit"), threshold_ms)
    about = {"app": " ".join(words), "command": "exec", "threshold_s": threshold_ms / 1000}
    with ExitStack() as at_end:
        shown = hosting(
            about,
            feed=settings.get("feed"),
            metrics=settings.get("metrics"),
            health_limit_s=settings.get("health_limit"),
            web=settings.get("web_dashboard"),
        )
        if shown is not None:
            at_end.enter_context(shown)
        detector = at_end.enter_context(
            detection(
                threshold_ms,
                settings.get("record"),
                settings.get("ledger"),
                hosting=shown,
                stall_limit_s=settings.get("stall_limit"),
            )
        )
        end = program.run(target)
    if fail_on_stall and end.code == 0 and detector.stalls:
        end.code = STALLED_EXIT_CODE
    raise end


def _program(words: list[str]) -> program.Program:
    first, *rest = words
    if not first.startswith("-m"):
        return program.script(first, rest)
    if first == "-m" and not rest:
        raise ConfigError("-m wants the name of a module")
    name, *arguments = rest if first == "-m" else [first[2:], *rest]
    return program.module(name, arguments)
