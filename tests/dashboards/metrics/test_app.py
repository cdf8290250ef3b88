from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from loophound.dashboards.metrics.app import MetricsApp
from tests.dashboards.feed import fake


def ask(app: MetricsApp, path: str, method: str = "GET", accept: bytes = b"*/*") -> tuple[int, str, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("there is no body to be read")

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"accept", accept)]}
    asyncio.run(app(scope, receive, send))
    headers = dict(sent[0]["headers"])
    return sent[0]["status"], headers[b"content-type"].decode(), sent[1]["body"]


@pytest.fixture
def app() -> MetricsApp:
    app = MetricsApp(2.0)
    for message in (fake.hello(), fake.worker(), fake.state()):
        app.feed(message)
    return app


def test_metrics_in_the_format_that_is_asked_for(app: MetricsApp) -> None:
    status, kind, body = ask(app, "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert b"loophound_workers" in body
    status, kind, body = ask(app, "/metrics", accept=b"application/openmetrics-text; version=1.0.0")
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert list(read_openmetrics(body.decode()))


def test_health_goes_with_the_loop(app: MetricsApp) -> None:
    assert ask(app, "/healthz")[0] == 200
    assert ask(app, "/readyz")[0] == 200
    app.feed(fake.blocked(0, 2.5))
    status, kind, body = ask(app, "/healthz")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body)["standing"][0]["for_s"] >= 2.5
    assert ask(app, "/readyz")[0] == 503
    app.feed(fake.state())
    assert ask(app, "/healthz")[0] == 200


def test_health_says_nothing_of_the_code(app: MetricsApp) -> None:
    app.feed(fake.blocked(0, 2.5))
    for word in (b"main.py", b"show", b"MainThread", b"requests"):
        assert word not in ask(app, "/healthz")[2]


def test_all_else_is_refused(app: MetricsApp) -> None:
    assert ask(app, "/")[0] == 404
    assert ask(app, "/metrics", method="POST")[0] == 405
