"""Starts the observer process, and lets go of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import loophound

# The shell lets go of the observer, so that it is no child of the watched program: os.wait()
# and waitpid(-1) there must not see it. Started in the background of a shell without job
# control it ignores Ctrl-C, as it should: it ends when the watched process does.
_DETACH = ["/bin/sh", "-c", '"$@" &', "sh"]


def launch(settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
    """Run an observer for this process, which ends when this process does.

    `settings` and `descriptors` are fields of observer.host.Settings. Takes some milliseconds.
    Raises OSError or subprocess.CalledProcessError when it cannot be started.
    """
    with os.fdopen(os.pidfd_open(os.getpid()), "rb") as alive:
        passed = {**descriptors, "parent": alive.fileno()}
        arguments = json.dumps({"pid": os.getpid(), **settings, **passed})
        subprocess.run(
            detached("loophound.observer", arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=tuple(passed.values()),
            env=environment(),
            check=True,
        )


def detached(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours in a process of its own, which is nobody's child."""
    return [*_DETACH, sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """For such a process: it finds this package, wherever the program has it from."""
    home = str(Path(loophound.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path}
