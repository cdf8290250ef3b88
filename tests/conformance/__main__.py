"""Put the cases to a server and print its score.

python -m tests.conformance                        # this project's own server
python -m tests.conformance --server uvicorn       # or hypercorn, granian, gunicorn (make bench installs them)
python -m tests.conformance --url 127.0.0.1:8000   # one that runs `tests.conformance.app:app`
python -m tests.conformance --all --write docs/conformance.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.conformance.cases import ALL
from tests.conformance.report import Score, page
from tests.conformance.servers import COMMANDS, serving, version


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=list(COMMANDS), default="loophound")
    parser.add_argument("--url", help="HOST:PORT of a server that runs already")
    parser.add_argument("--all", action="store_true", help="each server that is installed, one after the other")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the scores as a page")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this text in their name")
    options = parser.parse_args()
    cases = [case for case in ALL if options.only in case.name]
    scores = []
    if options.url:
        host, _, port = options.url.removeprefix("http://").rstrip("/").rpartition(":")
        scores.append(Score.of(options.url, cases, (host, int(port))))
    else:
        for name in COMMANDS if options.all else [options.server]:
            with serving(name) as address:
                scores.append(Score.of(version(name), cases, address))
    for score in scores:
        if not options.all:
            for case, why in score.failures.items():
                sys.stdout.write(f"{case.name} ({case.section}): {why}\n")
        sys.stdout.write(f"{score.name}: {score.passed} of {len(cases)}\n")
    if options.write is not None:
        options.write.write_text(page(scores), encoding="utf-8")
    return 0 if not scores[0].failures else 1


if __name__ == "__main__":
    sys.exit(main())
