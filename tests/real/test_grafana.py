"""The dashboards: are they what Grafana reads, and does every query find data in a Prometheus that scrapes a demo?"""

import json
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import yaml

import sdk
from conftest import BINARY, ENVIRONMENT, Running, free_port, simulated_cloud, wait_for
from monitoring import start_prometheus
from schema import UNITS, as_panel_reads, faults, lost, plain, read

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
PANELS = [
    pytest.param(name, panel, id=f"{name}-{panel['id']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
SHANGHAI = timezone(timedelta(hours=8))
DAY = 86400


# The files.


def test_the_files_are_what_the_generator_writes():
    sys.path.insert(0, str(GRAFANA))
    import generate

    written = {path.name: path.read_text() for path in (GRAFANA / "dashboards").iterdir()}
    assert written == generate.generate()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_of_grafanas_types(name):
    dashboard = DASHBOARDS[name]
    model = read(dashboard)
    assert list(faults(model)) == []
    assert list(lost(dashboard, plain(model))) == []


@pytest.mark.parametrize("name, panel", PANELS)
def test_a_panels_overrides_are_of_grafanas_types(name, panel):
    for override in panel["fieldConfig"]["overrides"]:
        read_back, properties = as_panel_reads(panel["type"], override["properties"])
        assert list(faults(read_back)) == []
        assert properties == override["properties"]


@pytest.mark.parametrize("name, panel", PANELS)
def test_a_panel_says_what_it_shows_in_which_unit(name, panel):
    assert panel["title"] and panel["description"]
    assert panel["description"].endswith(".") and "  " not in panel["description"]
    properties = [one for override in panel["fieldConfig"]["overrides"] for one in override["properties"]]
    units = [panel["fieldConfig"]["defaults"]["unit"]] + [one["value"] for one in properties if one["id"] == "unit"]
    assert set(units) <= UNITS | {"suffix:min"}
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEF")[: len(panel["targets"])]
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
def test_panels_have_a_place_and_an_id_of_their_own(name):
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
    # No holes either.
    assert len(taken) == 24 * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)


BUILT_IN = {"__all", "__rate_interval", "__range", "__url_time_range", "__data", "__field"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_only_variables_that_exist_are_used(name):
    dashboard = DASHBOARDS[name]
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    assert defined <= used <= defined | BUILT_IN


def test_the_dashboards_lead_to_each_other():
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


def test_provisioning_names_what_is_there():
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    interval = re.search(r"scrape_interval: (\w+)", Path("deploy/prometheus/prometheus.yml").read_text()).group(1)
    assert source["jsonData"]["timeInterval"] == interval
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/metastudio.yaml").read_text())["providers"]
    readme = (GRAFANA / "README.md").read_text()
    assert provider["options"]["path"] in readme


# The queries.

# Those of the demo, and those of the second exporter: (project, window, resource type, business type, user).
BUDGETS = {
    ("campaign", "this_month", "", "", ""): 6000,
    ("campaign", "30d", "", "", ""): 5000,
    ("live-commerce", "this_month", "", "", ""): 30000,
    ("live-commerce", "this_month", "video_time_2d_model", "", ""): 1000,
    ("studio-prod", "this_month", "", "VIDEO_2D", ""): 6000,
    ("studio-prod", "this_month", "", "", ""): 5000,
    ("studio-prod", "this_month", "video_time_2d_model", "VIDEO_2D", ""): 1500,
    # Nothing was used of it.
    ("studio-prod", "today", "", "PICTURE_2D", ""): 10,
    ("by-user", "this_month", "", "", ""): 4000,
    # Among those that will be exceeded most.
    ("by-user", "this_month", "", "", "user-a"): 300,
    ("by-user", "this_month", "", "VIDEO_2D", "user-b"): 1000,
}
SELECTORS = "resource_type", "business_type", "user_id"
WINDOWS = ["today", "yesterday", "this_month", "30d"]


def budgets(project):
    """The configuration of a project's budgets."""
    for (name, window, *values), minutes in BUDGETS.items():
        if name == project:
            selectors = {key: value for key, value in zip(SELECTORS, values, strict=True) if value}
            yield {"window": window, "minutes": minutes, **selectors}


def withdrawn():
    """A budget whose project's usage is not known."""
    yield 'metastudio_budget_minutes{project="nowhere",window="this_month"} 1'


def young_month():
    """A project that has used one minute in the first minute of its month."""
    start = time.time() - 60
    yield 'metastudio_usage_minutes{project="young",window="this_month",resource_type="",business_type="VIDEO_2D"} 1'
    yield f'metastudio_window_start_timestamp_seconds{{project="young",window="this_month"}} {start}'
    yield f'metastudio_window_end_timestamp_seconds{{project="young",window="this_month"}} {start + 30 * DAY}'


def other_units():
    """Of a resource type, which those of the simulated cloud have not."""
    types = 'resource_type="channel",business_type="CHAT_2D",unit="CHANNEL"'
    yield f'metastudio_usage_other{{project="studio-prod",window="this_month",{types}}} 2.5'


def many():
    """A hundred projects, each of which has used one minute more than the one before."""
    start = time.time() - 10 * DAY
    for index in range(100):
        project = f'project="many-{index:02}"'
        yield f"metastudio_project_info{{{project}}} 1"
        for window in "today", "yesterday", "this_month":
            types = 'resource_type="video_time_2d_model",business_type="VIDEO_2D"'
            yield f'metastudio_usage_minutes{{{project},window="{window}",{types}}} {100_000 + index}'
            yield f'metastudio_window_start_timestamp_seconds{{{project},window="{window}"}} {start}'
            yield f'metastudio_window_end_timestamp_seconds{{{project},window="{window}"}} {start + 30 * DAY}'
        yield f'metastudio_budget_minutes{{{project},window="this_month"}} 150000'


class SyntheticMetrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\n".join([*withdrawn(), *young_month(), *other_units(), *many(), ""]).encode())

    def log_message(self, *_):
        pass


def past():
    """What `yesterday` was for nine days: of the day n of the year, n minutes; polled five minutes after midnight."""
    midnight = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    # Every five hours, so that there is little to import; and before and after the poll.
    times = [timedelta(minutes=minutes) for minutes in (2, 10, 300, 600, 900, 1200)]
    moments = [midnight - timedelta(days=days) + time for days in range(10, 1, -1) for time in times]
    for metric in "metastudio_usage_minutes", "metastudio_usage_number":
        yield f"# TYPE {metric} gauge"
        for project in ["past", *sdk.PROJECTS]:
            for business_type, resource_type in ("VIDEO_2D", "video_time_2d_model"), ("LIVE_2D", ""):
                types = f'resource_type="{resource_type}",business_type="{business_type}"'
                labels = f'project="{project}",window="yesterday",{types}'
                for moment in moments:
                    day = (moment - timedelta(minutes=5)).date() - timedelta(days=1)
                    yield f"{metric}{{{labels}}} {day.timetuple().tm_yday} {int(moment.timestamp())}"
    yield "# EOF\n"


@contextmanager
def synthetic_exporter():
    """The address of a server of the metrics that no exporter here has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), SyntheticMetrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def prometheus(demo, tmp_path_factory):
    """The address of a Prometheus with the series that the dashboards query.

    It scrapes the demo; a second exporter with temporary keys, which polls the same projects of another cloud with
    faults; and synthetic metrics.
    """
    directory = tmp_path_factory.mktemp("grafana")
    second = f"127.0.0.1:{free_port()}"
    import_past_days(directory / "past.txt", directory / "prometheus" / "data")
    with synthetic_exporter() as synthetic:
        write_scrapes(directory / "prometheus.yml", [demo[0].removeprefix("http://"), second], synthetic)
        with start_prometheus(directory / "prometheus", directory / "prometheus.yml") as server:

            def has(query):
                def found():
                    answer = server.get_json("/api/v1/query", query=query)
                    return answer and answer["data"]["result"]

                wait_for(found, query)

            has("metastudio_exporter_build_info")
            with second_exporter(directory, second):
                has("sum(rate(metastudio_api_request_duration_seconds_count[5m])) > 0")
                has("count(metastudio_up) == 7")
                has("sum(rate(metastudio_exporter_http_requests_total[5m])) > 0")
                has('metastudio_budget_minutes{project="nowhere"}')
                yield server.url


@contextmanager
def second_exporter(directory, address):
    """Its first polls need a retry, so that Prometheus scrapes its counters before they count."""
    for name in "cloud", "second":
        (directory / name).mkdir()
    faults = ["--fault=throttle:project=campaign,times=1,retry_after=4", "--fault=odd-rows"]
    with simulated_cloud(directory / "cloud", *faults) as cloud:
        (directory / "config.yaml").write_text(configuration(cloud))
        config = f"--config.file={directory / 'config.yaml'}"
        with Running(directory / "second", BINARY, "serve", config, f"--web.listen-address={address}"):
            yield


def import_past_days(text, data):
    data.mkdir(parents=True)
    text.write_text("\n".join(past()))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data]
    subprocess.run(command, check=True, env=ENVIRONMENT)


def write_scrapes(path, exporters, synthetic):
    """The example of a configuration of Prometheus, with these targets."""
    config = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    [job] = config["scrape_configs"]
    job["static_configs"] = [{"targets": exporters}]
    other = {"job_name": "synthetic", "static_configs": [{"targets": [synthetic]}]}
    config["scrape_configs"].append(other)
    path.write_text(yaml.safe_dump(config))


def configuration(cloud):
    """The configuration of the second exporter."""
    projects = [
        {"name": name, "endpoint": cloud, "project_id": project_id, "windows": WINDOWS, "budgets": [*budgets(name)]}
        for name, project_id in (sdk.PROJECTS | {"by-user": sdk.PROJECTS["campaign"]}).items()
    ]
    projects[-1]["user_ids"] = ["user-a", "user-b"]
    return yaml.safe_dump({"credentials": {"vm": {"ecs_agency": {"endpoint": cloud}}}, "projects": projects})


def ask(url, path, **parameters):
    answer = requests.get(f"{url}/api/v1/{path}", params=parameters).json()
    assert answer["status"] == "success", (answer, parameters)
    return answer["data"]


def instant(url, query, at=None):
    samples = ask(url, "query", query=query, **({"time": at} if at else {}))["result"]
    return [(sample["metric"], float(sample["value"][1])) for sample in samples]


def seconds(duration):
    number, unit = re.fullmatch(r"(?:now-)?(\d+)([smhd])", duration).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": DAY}[unit]


def fill_in(text, values, built_in=()):
    """As Grafana does."""
    for name, value in [*values.items(), *built_in]:
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _, value=value: value, text)
    assert "$" not in text, text
    return text


def regex(values):
    escaped = [re.sub(r"[\\^$.*+?()\[\]{}|]", r"\\\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def options(url, variable, values):
    """The values of a variable: those of its query, with the variables before it filled in."""
    selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
    found = ask(url, f"label/{label}/values", **{"match[]": fill_in(selector, values)})
    return [value for value in found if not value.startswith("many-")]


def selections(url, dashboard):
    """All values of all variables; and, by variable, each value of it with all of the others."""
    chosen, each = {}, {}
    for variable in dashboard["templating"]["list"][1:]:
        name = variable["name"]
        found = options(url, variable, chosen)
        assert found, variable
        if variable["multi"]:
            assert variable["includeAll"]
            chosen[name] = variable.get("allValue") or regex(found)
        else:
            preferred = variable.get("current", {}).get("value", "studio-prod")
            assert preferred in found
            chosen[name] = preferred
        each[name] = [regex([value]) if variable["multi"] else value for value in found]
    return chosen, {name: [chosen | {name: value} for value in values] for name, values in each.items()}


def run(url, dashboard, panel, target, values):
    """The result of a query, as Grafana asks it."""
    span = seconds(dashboard["time"]["from"])
    minimum = panel.get("interval")
    step = max(seconds(minimum) if minimum else 1, span // 1000)
    query = fill_in(target["expr"], values, [("__rate_interval", f"{step + 1}s"), ("__range", f"{span}s")])
    if target.get("instant"):
        return [(labels, [value]) for labels, value in instant(url, query)]
    # Grafana's steps are multiples of it, and so of days; but the demo is too young for shorter ones.
    end = time.time() // DAY * DAY if minimum == "1d" else time.time()
    result = ask(url, "query_range", query=query, start=end - span // step * step, end=end, step=step)["result"]
    return [(series["metric"], [float(value) for _, value in series["values"]]) for series in result]


@pytest.mark.parametrize("name, panel", PANELS)
def test_every_query_of_a_panel_finds_data(name, panel, prometheus):
    dashboard = DASHBOARDS[name]
    everything, each = selections(prometheus, dashboard)

    def finds(target, values):
        """The labels of what a query finds, if that is anything."""
        result = run(prometheus, dashboard, panel, target, values)
        return [set(labels) for labels, numbers in result if any(number == number for number in numbers)]

    found = {}
    for target in panel["targets"]:
        found[target["refId"]] = set().union(*finds(target, everything))
        assert finds(target, everything), target["expr"]
        for variable, choices in each.items():
            # A project may have no live streams, and an exporter no keys that expire.
            assert any([finds(target, values) for values in choices]), f"{target['expr']} by {variable}"
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= found[target["refId"]]
    if panel["type"] == "table":
        # Every label has a column, and every column is a label or a value.
        names = panel["transformations"][1]["options"]["renameByName"]
        values = {f"Value #{ref}" for ref in found} if len(found) > 1 else {"Value"}
        assert set(names) == values.union(*found.values())
        assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= set(names.values())


@pytest.mark.parametrize("name, panel", PANELS)
def test_a_panel_is_readable_with_a_hundred_projects(name, panel, prometheus):
    if panel["type"] == "table":
        assert panel["options"]["footer"]["enablePagination"]
        return
    everything, _ = selections(prometheus, DASHBOARDS[name])
    for target in panel["targets"]:
        assert len(run(prometheus, DASHBOARDS[name], panel, target, everything)) <= 11
        # The exporters here have but three projects.
        assert "{{project}}" not in target["legendFormat"] or "topk(10," in target["expr"]


def test_the_top_and_the_others_are_all(prometheus):
    at = time.time()
    answer = instant(prometheus, expression("metastudio-overview", 25), at)
    shares = {labels["project"]: value for labels, value in answer}
    [(_, total)] = instant(prometheus, expression("metastudio-overview", 1), at)
    assert set(shares) == {f"many-{index}" for index in range(90, 100)} | {"others"}
    assert sum(shares.values()) == pytest.approx(total)


def expression(name, panel_id, ref="A", **values):
    values = {"project": ".*", "business_type": ".*", "window": "this_month"} | values
    [panel] = [panel for panel in DASHBOARDS[name]["panels"] if panel["id"] == panel_id]
    [target] = [target for target in panel["targets"] if target["refId"] == ref]
    return fill_in(target["expr"], values)


def test_replicas_count_once(demo, prometheus):
    names = "|".join(sdk.PROJECTS)
    [(_, total)] = instant(prometheus, expression("metastudio-overview", 1, window="yesterday", project=f"({names})"))
    text = requests.get(f"{demo[0]}/metrics").text
    samples = re.findall(r'^metastudio_usage_minutes\{[^}]*window="yesterday"[^}]*\} (\S+)$', text, re.MULTILINE)
    assert total == pytest.approx(sum(map(float, samples)))
    assert total > 0


def usage(prometheus, at, project, window, *values):
    """By hand; of two exporters, as the one sees it that sees more."""
    types = "".join(f', {key}="{value}"' for key, value in zip(SELECTORS, values, strict=False) if value)
    selected = f'metastudio_usage_minutes{{project="{project}", window="{window}"{types}}}'
    most = {}
    for labels, value in instant(prometheus, selected, at):
        key = tuple(labels.get(key) for key in SELECTORS)
        most[key] = max(most.get(key, 0), value)
    return sum(most.values())


@pytest.mark.parametrize("ref, kind", [("A", "budget"), ("B", "used"), ("C", "share")])
def test_budgets_count_what_they_are_for(prometheus, ref, kind):
    at = time.time()
    # The business type that is chosen is another matter.
    answer = instant(prometheus, expression("metastudio-overview", 12, ref, business_type="LIVE_2D"), at)
    actual = {tuple(labels[name] for name in ("project", "window", *SELECTORS)): value for labels, value in answer}
    assert len(actual) == len(answer) >= 100
    actual = {budget: value for budget, value in actual.items() if not budget[0].startswith("many-")}
    expected = {("nowhere", "this_month", "all", "all", "all"): 1} if kind == "budget" else {}
    for budget, minutes in BUDGETS.items():
        used = usage(prometheus, at, *budget)
        named = tuple(selector or "all" for selector in budget)
        expected[named] = {"budget": minutes, "used": used, "share": used / minutes}[kind]
    assert actual == pytest.approx(expected)
    if kind == "used":
        assert actual["studio-prod", "today", "all", "PICTURE_2D", "all"] == 0


def test_budgets_that_will_be_exceeded_are_counted(prometheus):
    at = time.time()
    shares = [value for _, value in instant(prometheus, expression("metastudio-overview", 12, "E"), at)]
    [(_, count)] = instant(prometheus, expression("metastudio-overview", 6), at)
    # Those of the hundred are.
    assert 100 <= count == sum(share > 1 for share in shares) < len(shares)


def test_every_metric_exists(prometheus):
    """Also where a query has another answer when there is none."""
    queries = [target["expr"] for parameters in PANELS for target in parameters.values[1]["targets"]]
    named = set(re.findall(r"\b(\w+)\{", " ".join(queries)))
    assert "up" in named and "metastudio_usage_minutes" in named
    assert named <= set(ask(prometheus, "label/__name__/values"))


def test_the_forecast_is_in_proportion_and_does_not_start_absurd(prometheus):
    at = time.time()
    answer = instant(prometheus, expression("metastudio-overview", 22, "F"), at)
    forecast = {labels["project"]: value for labels, value in answer}
    # One minute in the first minute is not 43200 in the month.
    assert forecast["young"] == pytest.approx(30)
    for project in sdk.PROJECTS:
        names = [f"metastudio_window_{bound}_timestamp_seconds" for bound in ("start", "end")]
        selected = f'{{project="{project}", window="this_month"}}'
        start, end = (instant(prometheus, f"max({name}{selected})", at)[0][1] for name in names)
        over = max((at - start) / (end - start), 1 / 30)
        assert forecast[project] == pytest.approx(usage(prometheus, at, project, "this_month") / over)
    # What has ended is its own forecast.
    of_yesterday = expression("metastudio-project", 5, project="studio-prod").replace("this_month", "yesterday")
    [(_, ended)] = instant(prometheus, of_yesterday, at)
    assert ended == pytest.approx(usage(prometheus, at, "studio-prod", "yesterday"))


@pytest.mark.parametrize("hours", [8, 9, 13, 0, -5, -10], ids="UTC{:+d}".format)
def test_a_day_is_drawn_at_its_own_date(prometheus, hours):
    zone = timezone(timedelta(hours=hours))
    midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = midnight - timedelta(days=9), midnight - timedelta(days=5)
    query = expression("metastudio-project", 22, project="past", business_type="VIDEO_2D")
    bounds = {"start": start.timestamp(), "end": end.timestamp(), "step": "1d"}
    [series] = ask(prometheus, "query_range", query=query, **bounds)["result"]
    assert len(series["values"]) == 5
    for at, value in series["values"]:
        assert float(value) == datetime.fromtimestamp(at, zone).timetuple().tm_yday
