"""What can go wrong with offloaded work. Errors of the function itself are raised as they are."""

from __future__ import annotations


class OffloadError(Exception):
    """The call was lost: its worker died, its executor broke, or the process shuts down."""


class OffloadQueueFullError(OffloadError):
    """All workers are busy and the queue is full: the call was not taken."""


class OffloadTimeoutError(OffloadError, TimeoutError):
    """The call took longer than the time limit, waiting included."""


class OffloadPicklingError(OffloadError):
    """Something that has to travel to another process cannot be pickled; the message names it."""
