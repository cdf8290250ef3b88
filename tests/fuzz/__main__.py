"""Fuzz the HTTP connection, without sockets.

    python -m tests.fuzz --minutes 60 [--seed N]

Each stream has a seed of its own; one that breaks a promise is printed with it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

from tests.fuzz.check import check
from tests.fuzz.harness import Broken, Harness

REPORT_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first stream")
    parser.add_argument("--only", action="store_true", help="play the first stream alone")
    options = parser.parse_args()
    harness = Harness()
    if options.only:
        check(harness, options.seed)
        return 0
    began_s = reported_s = time.monotonic()
    seed, broken = options.seed, 0
    while (now_s := time.monotonic()) - began_s < options.minutes * 60:
        try:
            check(harness, seed)
        except Broken as error:
            broken += 1
            sys.stdout.write(f"seed {seed}: {error}\n")
            harness.close()
            harness = Harness()
        seed += 1
        if now_s - reported_s > REPORT_S:
            reported_s = now_s
            peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            sys.stdout.write(f"{seed - options.seed} streams, {broken} broken, {peak_kib} KiB at most\n")
            sys.stdout.flush()
    sys.stdout.write(f"{seed - options.seed} streams, {broken} broken\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
