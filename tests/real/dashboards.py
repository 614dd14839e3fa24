"""The dashboards of grafana/dashboards, as Grafana reads them."""

import json
from pathlib import Path

import pytest

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
PANELS = [
    pytest.param(name, panel, id=f"{name}-{panel['id']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
