"""One scenario as a program of its own: `python -m tests.corpus.alone LOOP NAME`."""

from __future__ import annotations

import sys
import time

from tests.corpus.__main__ import run_once
from tests.corpus.scenario import SCENARIOS

if __name__ == "__main__":
    scenario = SCENARIOS[sys.argv[2]]
    if scenario.prepare is not None:
        scenario.prepare()
    # The observer starts beside the program: what lasts a third of a second is over before it looks.
    time.sleep(0.5)
    run_once(sys.argv[1], scenario)
