"""The command line: `loophound COMMAND`, one file per command.

A command fails with a LoophoundError; here, and only here, it becomes one message on
standard error and an exit code. docs/exit-codes.md lists the codes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from loophound.errors import LoophoundError

PROGRAM = "loophound"
INTERRUPTED_EXIT_CODE = 128 + signal.SIGINT


class ProgramEnded(BaseException):
    """The program under `exec` has ended, and all that it had to print is printed.

    From here on the interpreter does as it would for the program alone: exit handlers, the
    last flush and the messages about it.
    """

    def __init__(self, code: int, interrupted: bool = False) -> None:
        self.code = code
        self.interrupted = interrupted  # by a KeyboardInterrupt that nobody caught


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except LoophoundError as error:
        return _fail(str(error), error.exit_code)
    except ProgramEnded as end:
        if not end.interrupted:
            return end.code
        # The interpreter ends the process by SIGINT for a KeyboardInterrupt that nobody catches, after
        # threads and exit handlers; it would print the traceback a second time.
        sys.excepthook = lambda *_: None
        raise KeyboardInterrupt from None
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # Whoever read our output has gone. What is still buffered has nowhere to go: without this,
        # the interpreter complains of it at exit (docs.python.org, signal, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _run(arguments: Sequence[str]) -> int:
    import click

    from loophound.cli.group import commands

    try:
        with commands.make_context(PROGRAM, list(arguments)) as context:
            return commands.invoke(context) or 0
    except click.exceptions.Exit as leave:  # --help and --version
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)


def _fail(message: str, exit_code: int) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)  # noqa: T201 - the one place that talks for a failed command
    return exit_code
