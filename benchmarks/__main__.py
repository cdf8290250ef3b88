"""All benchmarks, one after the other: `make bench`. Figures go to docs/benchmarks.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (
    ("peers.py", "--write"),
    ("detection_cost.py", "--write"),
    ("feed_cost.py", "--write"),
    ("top_cost.py", "--write"),
    ("loop_cost.py", "--write"),
    ("durations.py", "--write"),
    ("fairness.py", "--write"),
    ("preload.py", "--write"),
    ("outside_walk.py",),
)


def main() -> int:
    return max(
        subprocess.run([sys.executable, str(HERE / name), *arguments]).returncode for name, *arguments in COMMANDS
    )


if __name__ == "__main__":
    sys.exit(main())
