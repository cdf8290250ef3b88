"""Errors with a message for the user and the exit code that goes with it.

The codes are part of the command line's contract: 2 for a command line that cannot be
right, 3 for an application or an address with which the server can never start
(supervisors read 3 as "do not restart").
"""

from __future__ import annotations

USAGE_EXIT_CODE = 2
STARTUP_EXIT_CODE = 3


class LoophoundError(Exception):
    """Base of the errors that the command line prints as one message, without a traceback."""

    exit_code = 1


class ConfigError(LoophoundError):
    """An option has a value that cannot be right."""

    exit_code = USAGE_EXIT_CODE


class StartupError(LoophoundError):
    """The server cannot start: the application, its lifespan or the address is at fault."""

    exit_code = STARTUP_EXIT_CODE


class BlockingCallError(RuntimeError):
    """A synchronous call within a request was refused before it happened: `action="raise"` of the
    BlockingCallMiddleware. The message names the call, the line that makes it, and what to write instead.
    """


class StallLimitExceeded(BaseException):
    """Raised in code that has blocked its event loop for longer than the stall limit.

    Like CancelledError it is no Exception, so that `except Exception` does not swallow it. A task ends
    with it, and a request under `loophound serve` gets 503.
    """

    def __init__(self, limit_s: float = 0.0) -> None:
        super().__init__(f"this code has blocked the event loop for more than {limit_s:g} s, the stall limit")


def exceeds_stall_limit(error: BaseException) -> bool:
    """Whether the error, or one in a group, is a StallLimitExceeded."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(StallLimitExceeded) is not None
    return isinstance(error, StallLimitExceeded)
