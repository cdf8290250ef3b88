"""A program in namespaces of its own (unshare(1)): as process 1, with a network and mounts that are nobody else's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.supervisor.running import PATIENCE_S, children, wait_until

NEEDED = ("unshare", "nsenter", "ip", "mount")
POSSIBLE = sys.platform == "linux" and os.geteuid() == 0 and all(map(shutil.which, NEEDED))
ALL = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


class Contained:
    """`command` as process 1. `setup` are shell commands that run before, in its place."""

    def __init__(self, command: list[str], folder: Path, *, log: Path | None = None, setup: str = "true") -> None:
        script = f'ip link set lo up && {setup} && exec "$@"'
        self.log = ((log or folder) / "contained.log").open("w+")
        self._outside = subprocess.Popen(
            ["unshare", *ALL, "sh", "-c", script, "sh", *command],
            cwd=folder,
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        wait_until(lambda: children(self._outside.pid) or self._outside.poll() is not None, "it has begun")
        self.pid = next(iter(children(self._outside.pid)), 0)  # as it is seen from here

    @property
    def text(self) -> str:
        return Path(self.log.name).read_text()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it."""
        assert self._outside.poll() is None, self.text
        return subprocess.run(
            ["nsenter", "-t", f"{self.pid}", "-n", "-m", "-p", *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def status(self, url: str) -> int:
        """What an HTTP server within answers; 0 where there is none."""
        code = (
            "import sys, urllib.request, urllib.error\n"
            f"try: print(urllib.request.urlopen({url!r}, timeout=5).status)\n"
            "except urllib.error.HTTPError as error: print(error.code)\n"
            "except OSError: print(0)\n"
        )
        return int(self.run(sys.executable, "-c", code).stdout or 0)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self._outside.poll() is None:
            self.send(number)
        return self._outside.wait(PATIENCE_S)

    def close(self) -> None:
        self._outside.kill()
        self._outside.wait()
        self.log.close()


@contextmanager
def contained(command: list[str], folder: Path, *, log: Path | None = None, setup: str = "true") -> Iterator[Contained]:
    made = Contained(command, folder, log=log, setup=setup)
    try:
        yield made
    finally:
        made.close()
