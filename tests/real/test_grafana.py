"""The files of the dashboards: Grafana can read them, and their links, variables and units are right."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from dashboards import DASHBOARDS, GRAFANA, PANELS
from schema import UNITS, as_panel_reads, faults, lost, plain, read


def test_the_files_are_up_to_date_with_the_generator():
    sys.path.insert(0, str(GRAFANA))
    import generate

    written = {path.name: path.read_text() for path in (GRAFANA / "dashboards").iterdir()}
    assert written == generate.generate()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_the_types_of_grafana(name):
    dashboard = DASHBOARDS[name]
    model = read(dashboard)
    assert list(faults(model)) == []
    assert list(lost(dashboard, plain(model))) == []


@pytest.mark.parametrize("name, panel", PANELS)
def test_the_overrides_of_a_panel_have_the_types_of_grafana(name, panel):
    for override in panel["fieldConfig"]["overrides"]:
        read_back, properties = as_panel_reads(panel["type"], override["properties"])
        assert list(faults(read_back)) == []
        assert properties == override["properties"]


@pytest.mark.parametrize("name, panel", PANELS)
def test_a_panel_has_a_title_a_description_and_a_known_unit(name, panel):
    assert panel["title"] and panel["description"]
    assert panel["description"].endswith(".") and "  " not in panel["description"]
    properties = [one for override in panel["fieldConfig"]["overrides"] for one in override["properties"]]
    units = [panel["fieldConfig"]["defaults"]["unit"]] + [one["value"] for one in properties if one["id"] == "unit"]
    assert set(units) <= UNITS | {"suffix:min"}
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]
    assert all(target["legendFormat"].strip() for target in panel["targets"])


def objects(value):
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from objects(one)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_datasource_is_hard_coded(name):
    dashboard = DASHBOARDS[name]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    first, *others = dashboard["templating"]["list"]
    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert "current" not in first and "datasource" not in first
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    targets = [target for panel in panels for target in panel["targets"]]
    assert all(one["datasource"] == chosen for one in [*others, *panels, *targets])
    named = [one["uid"] for one in objects(dashboard) if "uid" in one and one is not dashboard]
    assert set(named) == {"${datasource}"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_have_unique_ids(name):
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for place in (panel["gridPos"] for panel in panels):
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, place
        taken |= cells
    # No gaps.
    assert len(taken) == 24 * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)


BUILT_IN = {"__all", "__rate_interval", "__range", "__url_time_range", "__data", "__field"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_only_variables_that_exist_are_used(name):
    dashboard = DASHBOARDS[name]
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([^\W\d]\w*)", json.dumps(dashboard)))
    assert defined <= used <= defined | BUILT_IN


def test_the_dashboards_link_to_each_other():
    for name, dashboard in DASHBOARDS.items():
        assert name == dashboard["uid"]
        links = dashboard["links"]
        assert {link["url"].split("?")[0] for link in links} == {f"/d/{other}" for other in DASHBOARDS} - {f"/d/{name}"}
        for link in links:
            assert link["keepTime"] and (link["includeVars"] or "${datasource:queryparam}" in link["url"])
        for link in objects(dashboard["panels"]):
            if "url" in link:
                page, query = re.fullmatch(r"/d/([\w-]+)\?(.*)", link["url"]).groups()
                assert page in DASHBOARDS
                assert "${__url_time_range}" in query and "${datasource:queryparam}" in query


def test_provisioning_matches_prometheus_and_the_readme():
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    interval = re.search(r"scrape_interval: (\w+)", Path("deploy/prometheus/prometheus.yml").read_text()).group(1)
    assert source["jsonData"]["timeInterval"] == interval
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/metastudio.yaml").read_text())["providers"]
    readme = (GRAFANA / "README.md").read_text()
    assert provider["options"]["path"] in readme
