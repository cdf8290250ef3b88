"""The Grafana dashboard asks for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.dashboards.metrics.test_figures import everything

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana.json"


@pytest.fixture(scope="module")
def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_each_query_names_figures_and_labels_that_exist(queries: list[str]) -> None:
    samples = [sample for family in everything().collect() for sample in family.samples]
    known = {sample.name: set(sample.labels) | {"job"} for sample in samples}
    assert len(queries) > 10
    for query in queries:
        [name] = re.findall(r"loophound_\w+", query)
        assert name in known, f"there is no {name}"
        for labels in re.findall(r"by \(([^)]*)\)", query):
            assert set(labels.split(", ")) <= known[name], query


def test_each_panel_has_a_place_of_its_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells
