"""What `loophound top` itself takes: CPU and memory with 1,000 groups of stalls and 5,000 tasks.

    python benchmarks/top_cost.py [--seconds 20] [--write]

The feed is made up (tests/dashboards/top/shop.py): two workers of which one is blocked for three seconds in
every ten, all figures moving, states four times a second as a server tells them. The dashboard runs in a
terminal of each size (tmux), on a core of its own. CPU time is from schedstat (proc(5)), memory the
resident set at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import cpu_s, give_up, positive, two_cores
from machine import RESULTS, describe, write

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the feed and the terminal are those of the tests

from tests.dashboards.top.tmux import TMUX, Tmux  # noqa: E402

SIZES = ((80, 24), (120, 40), (200, 60))
STALLS, TASKS = 1000, 5000
SETTLING_S = 4.0
TARGET = 0.05
HEADING = "| columns by rows | CPU, share of a core | memory |\n|---|---:|---:|"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the dashboard in the terminal takes.")
    parser.add_argument("--seconds", type=positive, default=20, help="how long each size is watched (20)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    options = parser.parse_args()
    if TMUX is None:
        give_up("tmux is not installed (Debian, Ubuntu: apt install tmux)")
    cores = two_cores()
    report = (
        f"## Cost of `loophound top`, {describe()}\n"
        f"{STALLS:,} groups of stalls, {TASKS:,} tasks, two workers of which one is blocked now and then; each size "
        f"for {options.seconds} s.\nTarget: at most {TARGET:.0%} of a core.\n\n{HEADING}"
    )
    with tempfile.TemporaryDirectory() as folder, feed(Path(folder, "feed"), cores[1]) as path:
        for width, height in SIZES:
            share, megabytes = measure(path, width, height, options.seconds, cores[0])
            met = "met" if share <= TARGET else "missed"
            report += f"\n| {width} by {height} | {share:.1%}: {met} | {megabytes:.0f} MB |"
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


@contextmanager
def feed(path: Path, core: int) -> Iterator[Path]:
    command = [sys.executable, "-m", "tests.dashboards.top.shop", str(path), str(STALLS), str(TASKS)]
    shop = subprocess.Popen(["taskset", "-c", str(core), *command], cwd=ROOT)
    try:
        while not path.exists():
            if shop.poll() is not None:
                give_up("the feed has ended")
            time.sleep(0.05)
        yield path
    finally:
        shop.kill()
        shop.wait()


def measure(path: Path, width: int, height: int, seconds: int, core: int) -> tuple[float, float]:
    """Share of a core, and resident megabytes."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "loophound", "top", str(path)]
    environ = {"LANG": "C.UTF-8", "LC_ALL": "", "TERM": "tmux-256color"}
    with tempfile.TemporaryDirectory() as folder, Tmux(Path(folder), command, width, height, **environ) as screen:
        screen.wait_for("live", "1,000")
        [pid] = map(int, subprocess.check_output(["pgrep", "-P", str(screen.pid)], text=True).split())
        time.sleep(SETTLING_S)
        began_s, used_s = time.monotonic(), cpu_s(pid)
        time.sleep(seconds)
        share = (cpu_s(pid) - used_s) / (time.monotonic() - began_s)
        resident = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return share, int(resident[1]) / 1024 if resident else 0.0


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
