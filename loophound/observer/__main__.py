"""The observer process: `python -m loophound.observer SETTINGS`, started by the watched process."""

from __future__ import annotations

import json
import sys

from loophound.observer.process import Observer, Settings

if __name__ == "__main__":
    Observer(Settings(**json.loads(sys.argv[1]))).run()
