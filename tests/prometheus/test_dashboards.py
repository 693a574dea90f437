"""The dashboards' files: what Grafana needs to show them, and where it finds them. Their queries run in test_scrape.py."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from libs.runtime.telemetry.metric_table import TABLE
from scripts.dashboards import DASHBOARDS, WIDTH
from tests.fakes.running.processes import ROOT

FOLDER = ROOT / "deploy" / "grafana"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_have_a_place_each(uid: str) -> None:
    """Ids are unique, none covers another, none sticks out; every query says where it goes and what it is called."""
    document = json.loads((FOLDER / "dashboards" / f"{uid}.json").read_text())
    panels = document["panels"]
    assert document["uid"] == uid
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < WIDTH
    source = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    for panel in panels:
        assert panel["type"] in ("timeseries", "stat", "table")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in [panel, *panel["targets"]]:
            assert target["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert all(target["legendFormat"] for target in panel["targets"])


def test_every_metric_is_watched_by_somebody() -> None:
    """What is measured stands in a dashboard, a rule or an alert; else why measure it."""
    text = "".join(
        path.read_text() for path in [*FOLDER.glob("dashboards/*.json"), *(ROOT / "deploy/prometheus").glob("fliq.*")]
    )
    assert [row.name for row in TABLE if not re.search(rf"\b{row.name}(_bucket|_count|_sum)?\b", text)] == []
