"""Where figures were taken, and the page that keeps them."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def describe() -> str:
    """The rest of a heading: the date; below it the machine."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return (
        f"{datetime.now(UTC):%Y-%m-%d}\n\n"
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f} at the start."
    )


def write(section: str) -> None:
    """Put a section, which begins with its heading "## Title, date", in the place of the one with that title."""
    title = section.partition(",")[0]
    page = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Benchmarks\n"
    parts = [part for part in re.split(r"(?m)^(?=## )", page) if part.partition(",")[0] != title]
    RESULTS.write_text("".join(parts).rstrip() + f"\n\n{section.rstrip()}\n", encoding="utf-8")
