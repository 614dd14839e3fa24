"""The queries of the dashboards, run on a Prometheus as Grafana runs them."""

import re
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
import yaml

import sdk
from conftest import free_port
from dashboards import DASHBOARDS, PANELS
from grafana_queries import ask, fill_in, find_series, instant, latest, options, regex, seconds, selections
from grafana_series import (
    BUDGETS,
    CONTRACT_START,
    DAY,
    SELECTORS,
    SHANGHAI,
    SHARED_BUDGETS,
    import_series,
    past,
    second_exporter,
    synthetic_exporter,
)
from monitoring import start_prometheus


HALF_OF_CONTRACT = ("studio-prod", "contract", "all", "all", "all")
# A time without samples: the year 2001.
LONG_AGO = 1_000_000_000
# An exporter that never runs.
DOWN = f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def prometheus(demo, tmp_path_factory):
    """The address of a Prometheus with the series that the dashboards query.

    It scrapes the demo; a second exporter with temporary keys, which polls the same projects of another cloud with
    faults; and synthetic metrics.
    """
    directory = tmp_path_factory.mktemp("grafana")
    second = f"127.0.0.1:{free_port()}"
    import_series(past(), directory / "past.txt", directory / "prometheus" / "data")
    with synthetic_exporter() as synthetic:
        exporters = [demo[0].removeprefix("http://"), second, DOWN]
        write_scrapes(directory / "prometheus.yml", exporters, synthetic)
        native = "--enable-feature=native-histograms"
        with start_prometheus(directory / "prometheus", directory / "prometheus.yml", native) as server:
            server.wait_to_find("metastudio_exporter_build_info")
            with second_exporter(directory, second):
                server.wait_to_find("sum(rate(metastudio_api_request_duration_seconds_count[5m])) > 0")
                server.wait_to_find("count(metastudio_up) == 8")
                server.wait_to_find("sum(rate(metastudio_exporter_http_requests_total[5m])) > 0")
                server.wait_to_find('metastudio_budget_minutes{project="nowhere"}')
                server.wait_to_find('rate(metastudio_api_request_duration_seconds{project="native"}[5m])')
                yield server.url


def write_scrapes(path, exporters, synthetic):
    """Writes the example configuration of Prometheus with these targets."""
    config = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    [job] = config["scrape_configs"]
    job["static_configs"] = [{"targets": exporters}]
    other = {"job_name": "synthetic", "static_configs": [{"targets": [synthetic]}]}
    config["scrape_configs"] += [other, {**other, "job_name": "native", "metrics_path": "/native"}]
    path.write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def ends(prometheus):
    """The ends of the tested time ranges, in seconds after now.

    `past` is the time of the first test. Before it, most series have samples of a few seconds only.
    """
    started = time.time()
    return {"now": lambda: 0, "today": lambda: 6 * 3600, "past": lambda: started - time.time()}


def run(url, dashboard, panel, target, values, *, ahead=0):
    """The result of a query, with a time range that ends some seconds after now."""
    # "Today" has the length of a day. Other ranges have the length of the dashboard's default.
    span = DAY if ahead > 0 else seconds(dashboard["time"]["from"])
    found = find_series(url, dashboard, panel, target, values, span, time.time() + ahead)
    return [(series["metric"], [float(value) for _, value in series["samples"]]) for series in found]


def finds(url, dashboard, panel, target, values, **options):
    """The labels of the series that a query finds."""
    result = run(url, dashboard, panel, target, values, **options)
    return [set(labels) for labels, numbers in result if any(number == number for number in numbers)]


@pytest.mark.parametrize("name, panel", PANELS)
def test_every_query_of_a_panel_finds_data(name, panel, prometheus):
    dashboard = DASHBOARDS[name]
    everything, each = selections(prometheus, dashboard)
    found = {}
    for target in panel["targets"]:
        of_all = finds(prometheus, dashboard, panel, target, everything)
        assert of_all, target["expr"]
        found[target["refId"]] = set().union(*of_all)
        for variable, choices in each.items():
            # A project may have no live streams, and an exporter no keys that expire.
            some = [finds(prometheus, dashboard, panel, target, values) for values in choices]
            assert any(some), f"{target['expr']} by {variable}"
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= found[target["refId"]]
    if panel["type"] == "table":
        # Every label has a column, and every column is a label or a value.
        names = panel["transformations"][1]["options"]["renameByName"]
        values = {f"Value #{ref}" for ref in found} if len(found) > 1 else {"Value"}
        assert set(names) == values.union(*found.values())
        assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= set(names.values())


@pytest.mark.parametrize("range", ["now", "today", "past"])
def test_the_latest_scrape_is_at_the_end_of_the_range_but_not_in_the_future(range, ends, prometheus):
    for dashboard in DASHBOARDS.values():
        end = time.time() + ends[range]()
        at = float(latest(prometheus, dashboard, DAY, end))
        # Scrapes are a second apart, and Grafana rounds the end up to a second.
        assert min(end, time.time()) - 3 < at <= min(end + 1, time.time())
        # Without any scrape, it is the end.
        assert float(latest(prometheus, dashboard, DAY, LONG_AGO)) == LONG_AGO


@pytest.mark.parametrize("range", ["today", "past"])
@pytest.mark.parametrize("name, panel", PANELS)
def test_every_query_finds_data_if_the_range_ends_at_another_time(name, panel, range, ends, prometheus):
    if range == "today" and panel.get("interval") == "1d":
        pytest.skip("the last bar is yesterday")
    dashboard = DASHBOARDS[name]
    everything, _ = selections(prometheus, dashboard)
    for target in panel["targets"]:
        found = finds(prometheus, dashboard, panel, target, everything, ahead=ends[range]())
        assert found, target["expr"]
        if target.get("instant"):
            assert len(found) == len(finds(prometheus, dashboard, panel, target, everything)), target["expr"]


@pytest.mark.parametrize("name, panel", PANELS)
def test_a_panel_without_data_shows_no_number(name, panel, prometheus):
    """In particular no green 0."""
    dashboard = DASHBOARDS[name]
    everything, _ = selections(prometheus, dashboard)
    for target in panel["targets"]:
        assert run(prometheus, dashboard, panel, target, everything, ahead=LONG_AGO - time.time()) == []


def test_a_value_does_not_change_if_the_range_ends_in_the_future(ends, prometheus):
    """An age, a forecast and the oldest usage: none is computed with the time of the end."""
    for name, panel_id in ("metastudio-overview", 5), ("metastudio-project", 7), ("metastudio-health", 4):
        [panel] = [panel for panel in DASHBOARDS[name]["panels"] if panel["id"] == panel_id]
        everything, _ = selections(prometheus, DASHBOARDS[name])
        arguments = (prometheus, DASHBOARDS[name], panel, panel["targets"][0], everything)
        [[(_, [now])], [(_, [later])]] = run(*arguments), run(*arguments, ahead=ends["today"]())
        assert later == pytest.approx(now, abs=30, rel=0.01)


def test_exporters_that_are_down_are_counted(prometheus):
    [variable] = [one for one in DASHBOARDS["metastudio-health"]["templating"]["list"] if one["name"] == "instance"]
    found = options(prometheus, variable, {"job": "metastudio"})
    assert DOWN in found and len(found) == 3
    for instance, down in (regex(found), 1), (regex([DOWN]), 1), (regex(set(found) - {DOWN}), 0):
        query = expression("metastudio-health", 1, job="metastudio", instance=instance)
        assert instant(prometheus, query) == [({}, down)]


@pytest.mark.parametrize("ref, quantile", [("A", 0.5), ("B", 0.9), ("C", 0.99)])
def test_durations_are_those_of_classic_and_of_native_histograms(prometheus, ref, quantile):
    def durations(project):
        values = {"job": ".*", "instance": ".*", "project": project, "__rate_interval": "5m"}
        return instant(prometheus, expression("metastudio-health", 22, ref, **values))

    # One bucket, from 0.5 to 1 s. Prometheus 3 interpolates exponentially in it.
    [(_, native)] = durations("native")
    assert 0.5 < native <= 1 and native == pytest.approx(0.5 + 0.5 * quantile, abs=0.05)
    [(_, classic)] = durations("studio-prod")
    assert 0 < classic and durations(".*") != durations("native")


@pytest.mark.parametrize("name, panel", PANELS)
def test_a_panel_is_readable_with_a_hundred_projects(name, panel, prometheus):
    if panel["type"] == "table":
        assert panel["options"]["footer"]["enablePagination"]
        return
    everything, _ = selections(prometheus, DASHBOARDS[name])
    for target in panel["targets"]:
        assert len(run(prometheus, DASHBOARDS[name], panel, target, everything)) <= 11
        # Few projects have health metrics here, so check in the text of the query that it limits the number of lines.
        assert "{{project}}" not in target["legendFormat"] or re.search(r"(top|bottom)k\(10,", target["expr"])


def test_top_and_others_add_up_to_the_total(prometheus):
    at = time.time()
    answer = instant(prometheus, expression("metastudio-overview", 25, latest=str(at)), at)
    shares = {labels["project"]: value for labels, value in answer}
    [(_, total)] = instant(prometheus, expression("metastudio-overview", 1, latest=str(at)), at)
    assert set(shares) == {f"many-{index}" for index in range(90, 100)} | {"others"}
    assert sum(shares.values()) == pytest.approx(total)


def test_before_any_usage_each_share_is_0(prometheus):
    def shares(project):
        return instant(prometheus, expression("metastudio-overview", 22, "B", project=project))

    assert shares("idle") == [({"project": "idle"}, 0)]
    assert dict((labels["project"], share) for labels, share in shares("young|idle")) == {"young": 1, "idle": 0}


def expression(name, panel_id, ref="A", **values):
    values = {"project": ".*", "business_type": ".*", "window": "this_month", "latest": str(time.time())} | values
    [panel] = [panel for panel in DASHBOARDS[name]["panels"] if panel["id"] == panel_id]
    [target] = [target for target in panel["targets"] if target["refId"] == ref]
    return fill_in(target["expr"], values)


def test_replicas_count_once_although_only_one_knows_the_users(demo, prometheus):
    names = "|".join(sdk.PROJECTS)
    [(_, total)] = instant(prometheus, expression("metastudio-overview", 1, window="yesterday", project=f"({names})"))
    text = requests.get(f"{demo[0]}/metrics").text
    samples = re.findall(r'^metastudio_usage_minutes\{[^}]*window="yesterday"[^}]*\} (\S+)$', text, re.MULTILINE)
    assert total == pytest.approx(sum(map(float, samples)))
    assert total > 0


def test_usage_without_a_user_is_that_of_all_users_or_of_others(prometheus):
    def users(project):
        answer = instant(prometheus, expression("metastudio-project", 41, project=project, window="yesterday"))
        return {labels["user_id"] for labels, _ in answer}

    assert users("campaign") == {"all users"}
    assert users("by-user") <= {"user-a", "user-b"}
    assert "(others)" in users("live-commerce") and users("live-commerce") & {"user-a", "user-b", "user-c"}


def usage(prometheus, at, project, window, *values):
    """The usage, summed here instead of by PromQL. If two exporters poll the project, the greater sum."""
    types = "".join(f', {key}="{value}"' for key, value in zip(SELECTORS, values, strict=False) if value)
    selected = f'metastudio_usage_minutes{{project="{project}", window="{window}"{types}}}'
    sums = {}
    for labels, value in instant(prometheus, selected, at):
        sums[labels["instance"]] = sums.get(labels["instance"], 0) + value
    return max(sums.values(), default=0)


@pytest.mark.parametrize("ref, kind", [("A", "budget"), ("B", "used"), ("C", "share"), ("F", "left")])
def test_budgets_count_the_usage_that_they_select(prometheus, ref, kind):
    at = time.time()
    # The selected business type does not matter.
    query = expression("metastudio-overview", 12, ref, business_type="LIVE_2D", latest=str(at))
    answer = instant(prometheus, query, at)
    actual = {tuple(labels[name] for name in ("project", "window", *SELECTORS)): value for labels, value in answer}
    assert len(actual) == len(answer) >= 100
    actual = {budget: value for budget, value in actual.items() if not budget[0].startswith("many-")}
    expected = {("nowhere", "this_month", "all", "all", "all"): 1} if kind == "budget" else {}
    for budget, minutes in BUDGETS.items():
        used = usage(prometheus, at, *budget)
        named = tuple(selector or "all" for selector in budget)
        expected[named] = {"budget": minutes, "used": used, "share": used / minutes, "left": minutes - used}[kind]
    for (name, window, *selectors), (minutes, covered) in SHARED_BUDGETS.items():
        used = sum(usage(prometheus, at, project, window, *selectors, "") for project in covered)
        named = (f"{name} (shared)", window, *(selector or "all" for selector in selectors), "all")
        expected[named] = {"budget": minutes, "used": used, "share": used / minutes, "left": minutes - used}[kind]
    assert actual == pytest.approx(expected)
    if kind == "used":
        assert actual["studio-prod", "today", "all", "PICTURE_2D", "all"] == 0
    if kind == "left":
        assert actual["studio-prod", "contract", "all", "LIVE_2D", "all"] == -50


def test_a_budget_is_used_up_when_its_forecast_reaches_it(prometheus):
    at = time.time()

    def column(ref):
        answer = instant(prometheus, expression("metastudio-overview", 12, ref, latest=str(at)), at)
        return {tuple(labels[name] for name in ("project", "window", *SELECTORS)): value for labels, value in answer}

    used_up = {budget: value / 1000 for budget, value in column("G").items()}
    # Of one budget and of one shared budget, half was used in the first ten days. The other budgets of this window last
    # until it ends, or are used up.
    half_of_shared = ("contract (shared)", *HALF_OF_CONTRACT[1:])
    assert {budget for budget in used_up if budget[1] == "contract"} == {HALF_OF_CONTRACT, half_of_shared}
    for budget in HALF_OF_CONTRACT, half_of_shared:
        assert used_up[budget] == pytest.approx(CONTRACT_START + 2 * (at - CONTRACT_START), abs=1)
    shares, forecasts = column("C"), column("E")
    assert set(used_up) == {budget for budget in shares if shares[budget] < 1 <= forecasts[budget]}
    assert len(used_up) > 100 and all(moment > at for moment in used_up.values())


def test_a_legend_has_one_space_between_labels(prometheus):
    [panel] = [panel for panel in DASHBOARDS["metastudio-overview"]["panels"] if panel["id"] == 11]
    [legend] = [target["legendFormat"] for target in panel["targets"]]
    shown = set()
    for project in ("studio-prod", "by-user"):
        for labels, _ in instant(prometheus, expression("metastudio-overview", 11, project=project)):
            shown.add(re.sub(r"{{(\w+)}}", lambda label, labels=labels: labels.get(label[1], ""), legend))
    assert {"studio-prod contract", "studio-prod contract LIVE_2D", "by-user this_month user-a"} <= shown
    assert "by-user this_month VIDEO_2D user-b" in shown and not any("  " in text for text in shown)


def test_budgets_whose_forecast_exceeds_them_are_counted(prometheus):
    at = time.time()
    shares = [value for _, value in instant(prometheus, expression("metastudio-overview", 12, "E", latest=str(at)), at)]
    [(_, count)] = instant(prometheus, expression("metastudio-overview", 6, latest=str(at)), at)
    # All budgets of the hundred projects are exceeded.
    assert 100 <= count == sum(share > 1 for share in shares) < len(shares)


def test_every_metric_exists(prometheus):
    """Checked by name: some queries find 0 if the metric does not exist."""
    queries = [target["expr"] for parameters in PANELS for target in parameters.values[1]["targets"]]
    named = set(re.findall(r"\b(\w+)\{", " ".join(queries)))
    assert "up" in named and "metastudio_usage_minutes" in named
    assert named <= set(ask(prometheus, "label/__name__/values"))


def test_the_forecast_is_proportional_and_limited_at_first(prometheus):
    at = time.time()
    answer = instant(prometheus, expression("metastudio-overview", 22, "F", latest=str(at)), at)
    forecast = {labels["project"]: value for labels, value in answer}
    # One minute in the first minute is not 43200 in the month.
    assert forecast["young"] == pytest.approx(30)
    for project in sdk.PROJECTS:
        names = [f"metastudio_window_{bound}_timestamp_seconds" for bound in ("start", "end")]
        selected = f'{{project="{project}", window="this_month"}}'
        start, end = (instant(prometheus, f"max({name}{selected})", at)[0][1] for name in names)
        over = max((at - start) / (end - start), 1 / 30)
        assert forecast[project] == pytest.approx(usage(prometheus, at, project, "this_month") / over)
    # The forecast of a window that has ended is its usage.
    of_month = expression("metastudio-project", 5, project="studio-prod", latest=str(at))
    [(_, ended)] = instant(prometheus, of_month.replace("this_month", "yesterday"), at)
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


@pytest.mark.parametrize("panel_id", [22, 23])
def test_the_minutes_of_a_user_who_leaves_the_list_count_once_a_day(prometheus, panel_id):
    start = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=9)
    bounds = {"start": start.timestamp(), "end": (start + timedelta(days=4)).timestamp(), "step": "1d"}
    query = expression("metastudio-project", panel_id, project="leaving")
    [series] = ask(prometheus, "query_range", query=query, **bounds)["result"]
    assert [float(value) for _, value in series["values"]] == [25] * 5
