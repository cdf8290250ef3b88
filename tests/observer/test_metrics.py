"""/metrics and /healthz as they are: asked while the loop is blocked and the GIL held."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.observer.feeding import PATIENCE_S, program

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc"),
]

BODY = """
    hosting.close()
    hosting = Hosting(
        feed=sys.argv[1], metrics="0", health_limit_s=0.5, about={"app": "program:app", "command": "exec"}
    )
    detector = Detector(0.1, hosting=hosting)
    Path(sys.argv[1] + ".url").write_text(hosting.metrics.url)

    async def main():
        await asyncio.sleep(0.5)
        hold_the_gil(4)
        await asyncio.sleep(60)
"""


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def until(url: str, wanted: int) -> str:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        status, body = ask(url)
        if status == wanted:
            return body
        assert time.monotonic() < deadline_s, body
        time.sleep(0.05)


def test_health_and_figures_are_told_while_the_gil_is_held(tmp_path: Path) -> None:
    with program(BODY, tmp_path / "feed") as running:
        url = (tmp_path / "feed.url").read_text()
        until(f"{url}/healthz", 200)
        until(f"{url}/readyz", 200)
        running.go()
        told = json.loads(until(f"{url}/healthz", 503))
        assert told["standing"][0]["state"] == "blocked"
        families = {family.name: family for family in text_string_to_metric_families(ask(f"{url}/metrics")[1])}
        [blocked] = families["loophound_loop_blocked_seconds"].samples
        assert blocked.value > 0.1
        until(f"{url}/healthz", 200)
        running.until(lambda m: m["type"] == "stall" and not m["stall"]["ongoing"] and m["stall"]["duration_s"] > 3)
        counted = 'loophound_stall_seconds_count{cause="native",worker="0"} 1.0'
        other = 'loophound_stall_seconds_count{cause="sleep",worker="0"} 1.0'
        metrics = ask(f"{url}/metrics")[1]
        assert counted in metrics or other in metrics
