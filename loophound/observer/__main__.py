"""The observer process: `python -m loophound.observer SETTINGS`, started by launch.py."""

from __future__ import annotations

import json
import sys

from loophound.detector.stream import tell
from loophound.observer.host import Host, Settings


def main() -> int:
    try:
        Host(Settings(**json.loads(sys.argv[1]))).run()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        tell(f"the observer process ended ({problem}); a C call that holds the GIL is named only after it has ended")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
