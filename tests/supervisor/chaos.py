"""Workers at load, while everything happens to them: `python -m tests.supervisor.chaos [SECONDS] [SEED]`.

Every second or two a worker is killed, stopped, hung in Python, hung in C with the GIL held,
made to leak or to crash at its start, or the supervisor is told to replace, add or remove.
At the end: no request failed but those that a worker held which was harmed; each hang is in
the record file and in the ledger with its line and its request; nothing is left running. With an odd
seed nothing is asked to find them but the hang watch, which is on by default.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.supervisor.running import APP, Load, Supervised, children, command_line, wait_until

CRASHING = "import os\nif os.path.exists('crash'):\n    os._exit(1)\n"
CODE = CRASHING + APP
HANGS = {"/hang": "time.sleep(600)", "/regex": "re.match"}
LINES = {path: next(n for n, line in enumerate(CODE.splitlines(), 1) if code in line) for path, code in HANGS.items()}
# Around the end of a worker that was harmed, what it had accepted fails.
BEFORE_S, AFTER_S = 1.0, 3.0
SETTLE_S = 120.0  # on a crowded machine a worker that computes gets little of its time to hang


class Chaos:
    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.server = Supervised(
            folder, "--workers=4", "--timeout-worker=3", "--max-worker-memory=250", "--record=r.jsonl", "--ledger=l.db",
            "--timeout-graceful-shutdown=10", "--feed=off", *(() if seed % 2 else ("--detect-blocking=stalls",)),
            app=CODE,
        )  # fmt: skip
        self.folder = folder
        self.done: Counter[str] = Counter()
        self.harmed: dict[int, float | None] = {}  # processes, and when they had ended
        self.size = 4
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._see_ends, daemon=True)
        self.deeds: list[Callable[[], None]] = [
            self.kill, self.stop, self.hang, self.hold_the_gil, self.leak, self.crash_at_start, self.replace,
            self.more, self.fewer,
        ]  # fmt: skip

    def _see_ends(self) -> None:
        """When harmed processes end; the log tells of those that hang."""
        while not self._over.wait(0.05):
            for found in re.finditer(r"\(pid (\d+)\) (?:hangs|is stopped|was killed|did not end)", self.server.log):
                self.harmed.setdefault(int(found[1]), None)
            for pid, ended in list(self.harmed.items()):
                if ended is None and b"loophound" not in command_line(pid):
                    self.harmed[pid] = time.monotonic()

    def victim(self) -> int | None:
        workers = [pid for pid in self.server.workers() if pid not in self.harmed]
        return self.random.choice(workers) if workers else None

    def harm(self, number: int) -> None:
        pid = self.victim()
        if pid is not None:
            self.harmed[pid] = None
            os.kill(pid, number)

    def kill(self) -> None:
        self.harm(signal.SIGKILL)

    def stop(self) -> None:
        self.harm(signal.SIGSTOP)

    def hang(self) -> None:
        self.server.send_and_leave("/hang").close()

    def hold_the_gil(self) -> None:
        self.server.send_and_leave("/regex").close()

    def leak(self) -> None:
        for _ in range(3):
            self.server.send_and_leave("/eat").close()

    def crash_at_start(self) -> None:
        flag = self.folder / "crash"
        flag.touch()
        self.harm(signal.SIGKILL)
        time.sleep(0.7)
        flag.unlink()

    def replace(self) -> None:
        self.server.send(signal.SIGHUP)

    def more(self) -> None:
        if self.size < 6:
            self.size += 1
            self.server.send(signal.SIGTTIN)

    def fewer(self) -> None:
        if self.size > 3:
            self.size -= 1
            self.server.send(signal.SIGTTOU)

    def run(self, seconds: float) -> None:
        server = self.server
        server.wait_for("Worker . serves", 4)
        self._watch.start()
        began_s = time.monotonic()
        order: list[Callable[[], None]] = []

        def patient(clients: int, pause_s: float) -> Load:
            return Load(server.port, clients, pause_s=pause_s, patience_s=SETTLE_S)

        with patient(12, 0.002) as kept, patient(4, 0.2) as slow:
            while time.monotonic() - began_s < seconds:
                if not order:  # each once, in an order by chance, and again
                    order = self.random.sample(self.deeds, len(self.deeds))
                deed = order.pop()
                deed()
                self.done[deed.__name__] += 1
                time.sleep(self.random.uniform(0.5, 2.0))
            # Until those that hang are found and replaced.
            try:
                wait_until(self.is_calm, "all workers serve again", SETTLE_S)
            except AssertionError:
                alive = [pid for pid, ended in self.harmed.items() if ended is None]
                raise AssertionError(
                    f"{alive} live on, {server.workers()} are there, of {self.size}:\n{server.log}"
                ) from None
        self.errors = kept.failures + slow.failures
        self.answers = kept.answers.total() + slow.answers.total()

    def is_calm(self) -> bool:
        alive = [pid for pid in self.server.workers() if pid in self.harmed]
        return not alive and len(self.server.workers()) == self.size

    def close(self) -> None:
        self._over.set()
        self.server.close()

    # -- what must hold

    def unexcused(self) -> list[str]:
        ends_s = [ended for ended in self.harmed.values() if ended is not None]
        return [
            text
            for at_s, text in self.errors
            if not any(ended - BEFORE_S <= at_s <= ended + AFTER_S for ended in ends_s)
        ]

    def hangs(self) -> list[tuple[int, int | None, str | None]]:
        """What is in the record file of each process that was called hung: its number, line and request."""
        found: dict[int, tuple[int | None, str | None]] = {
            int(pid): (None, None) for pid in re.findall(r"\(pid (\d+)\) hangs", self.server.log)
        }
        for line in (self.folder / "r.jsonl").read_text().splitlines():
            record = json.loads(line)
            at, request = record["culprit"] and record["culprit"]["line"], record["request"]
            if not record["ongoing"] and record["pid"] in found and at in LINES.values():
                found[record["pid"]] = at, request and request["path"]
        return [(pid, at, path) for pid, (at, path) in sorted(found.items())]

    def lines_in_ledger(self) -> set[int]:
        words = [sys.executable, "-m", "loophound", "report", "--json", "l.db"]
        found = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=True)
        return {group["culprit"]["line"] for group in json.loads(found.stdout)["groups"] if group["culprit"]}


def left_running(pids: list[int]) -> list[int]:
    return [pid for pid in pids if b"loophound" in command_line(pid)]


def outcome(chaos: Chaos) -> dict[str, object]:
    """End it; what went wrong, by what it is, nothing where all holds."""
    everybody = children(chaos.server.pid)
    code = chaos.server.end()
    hangs, lines = chaos.hangs(), chaos.lines_in_ledger()
    return {
        "exit code": code,
        "requests that failed, and were no harmed worker's": chaos.unexcused(),
        "hangs without a record": [pid for pid, line, _ in hangs if line is None],
        "hangs without their request": [hang for hang in hangs if hang[1] and LINES.get(hang[2] or "") != hang[1]],
        "lines that are not in the ledger": sorted({line for _, line, _ in hangs if line} - lines),
        "left running": left_running(everybody),
    }


def main(seconds: float = 600.0, seed: int = 0) -> int:
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), seed)
        try:
            chaos.run(seconds)
            problems = outcome(chaos)
            told = [
                f"{sum(chaos.done.values())} deeds {dict(chaos.done)};",
                f"{chaos.answers} answers, {len(chaos.errors)} errors of harmed workers; {len(chaos.hangs())} hangs",
                *(f"{what}: {found or 'none'}" for what, found in problems.items()),
                *([chaos.server.log] if any(problems.values()) else []),
            ]
            print(*told, sep="\n")  # noqa: T201
            return 1 if any(problems.values()) else 0
        finally:
            chaos.close()


if __name__ == "__main__":
    sys.exit(main(*(float(word) for word in sys.argv[1:2]), *(int(word) for word in sys.argv[2:3])))
