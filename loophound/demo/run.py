"""One run of the demo: serve, load, stop, read what was recorded, judge."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loophound.demo.judge import Judgement, judge
from loophound.demo.plan import HEALTHY, PLANTED, planted_sites
from loophound.demo.process import HOST, free_port, serving
from loophound.demo.traffic import Load, drive
from loophound.detector.records import Stall
from loophound.errors import ConfigError, LoophoundError

REQUIRED = ("fastapi", "requests")


def require_extra() -> None:
    """Raise ConfigError when a library of the demo application is not installed."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f'the demo needs {" and ".join(missing)}: pip install "loophound[demo]"')


def run_demo(seconds: float, port: int) -> tuple[Judgement, Load]:
    """Run the whole demo; `port` 0 takes a free one.

    Raises LoophoundError when the server does not start, fails or goes away.
    """
    with tempfile.TemporaryDirectory(prefix="loophound-demo-") as folder:
        record = Path(folder) / "stalls.jsonl"
        port = port or free_port()
        with serving(record, port):
            try:
                load = asyncio.run(drive(HOST, port, PLANTED, HEALTHY, seconds))
            except (OSError, EOFError) as error:
                raise LoophoundError(f"the demo server went away: {error}") from error
        return judge(read_stalls(record), PLANTED, planted_sites(), HEALTHY), load


def read_stalls(record: Path) -> Iterator[Stall]:
    """The stalls of a file of JSON lines; none when nothing was recorded."""
    if record.exists():
        for line in record.read_text(encoding="utf-8").splitlines():
            yield Stall.from_dict(json.loads(line))
