"""Debian's Prometheus and promtool accept the exposition and get the right numbers."""

import json
import re
import shutil
import subprocess
from datetime import datetime, time, timedelta, timezone
from pathlib import Path

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import sdk
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, LISTEN, SECRET_KEY, Running, wait_for
from monitoring import start_prometheus


@pytest.fixture(scope="module")
def prometheus(demo, tmp_path_factory):
    """The address of a Prometheus that has scraped the demo."""
    exporter, _ = demo
    directory = tmp_path_factory.mktemp("prometheus")
    with open("deploy/prometheus/prometheus.yml") as example:
        config = example.read()
    # The example as shipped, except for the port, and for an interval that does not make the test wait.
    assert "127.0.0.1:19677" in config and "scrape_interval: 30s" in config
    config = config.replace("127.0.0.1:19677", exporter.removeprefix("http://")).replace("30s", "1s")
    (directory / "prometheus.yml").write_text(config)
    shutil.copy("deploy/prometheus/metastudio.rules.yml", directory)
    subprocess.run(["promtool", "check", "config", directory / "prometheus.yml"], check=True, env=ENVIRONMENT)
    scraped = "up{job='metastudio'} == 1 and on (job, instance) metastudio_exporter_build_info"
    with start_prometheus(directory, directory / "prometheus.yml") as server:

        def has_scraped():
            answer = server.get_json("/api/v1/query", query=scraped)
            return answer and answer["data"]["result"]

        wait_for(has_scraped, "Prometheus to scrape")
        yield server.url


def query(url, promql):
    response = requests.get(f"{url}/api/v1/query", params={"query": promql})
    answer = response.json()
    assert answer["status"] == "success", answer
    return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]


def test_promql_returns_the_numbers_of_the_cloud(demo, prometheus):
    _, cloud = demo

    def bound(name, project):
        [(_, seconds)] = query(
            prometheus, f"metastudio_window_{name}_timestamp_seconds{{{project}, window='yesterday'}}"
        )
        return datetime.fromtimestamp(seconds, timezone.utc)

    total = 0
    for name in sdk.PROJECTS:
        project = f"project='{name}'"
        start, end = bound("start", project), bound("end", project)
        assert end - start == timedelta(days=1)
        assert start.astimezone(timezone(timedelta(hours=8))).time() == time(0), "a day of Shanghai"
        # One project has a series for each user.
        by_type = f"sum by (resource_type, business_type) (metastudio_usage_minutes{{{project}, window='yesterday'}})"
        samples = query(prometheus, by_type)
        actual = {(labels.get("resource_type", ""), labels["business_type"]): value for labels, value in samples}
        expected = sdk.minutes(cloud, name, start, end)
        assert set(expected) <= set(actual)
        assert actual == pytest.approx({key: expected.get(key, 0.0) for key in actual})
        total += sum(actual.values())
    assert total > 0


DOCUMENTED = re.findall(r"```promql\n(.*?)```", Path("docs/faq.md").read_text(), re.DOTALL)
# The query of the demo, without its limit, and the queries of the documentation about usage.
QUERIES = [
    re.search(r"this month:\n(.*?)    > 6000", Path("src/commands/demo.rs").read_text(), re.DOTALL)[1]
    .replace("{{", "{")
    .replace("}}", "}")
    .replace('\\"', '"'),
    *(promql for promql in DOCUMENTED if "metastudio_usage_minutes" in promql),
]


@pytest.fixture(scope="module")
def pair(demo, tmp_path_factory):
    """The address of a Prometheus that has scraped the same usage from two exporters.

    The demo knows the sub-users of a project. The other exporter has all usage in series without a user.
    """
    exporter, cloud = demo
    directory = tmp_path_factory.mktemp("pair")
    projects = [{"name": name, "endpoint": cloud, "project_id": sdk.PROJECTS[name]} for name in sdk.PROJECTS]
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    config = {"poll": {"interval": "1m"}, "credentials": {"main": keys}, "projects": projects}
    (directory / "config.yaml").write_text(json.dumps(config))
    (directory / "other").mkdir()
    with Running(directory / "other", BINARY, "serve", f"--config.file={directory / 'config.yaml'}", LISTEN) as other:
        targets = [exporter.removeprefix("http://"), other.find(r"listening address=(127\.0\.0\.1:\d+)")]
        scrapes = [{"job_name": "metastudio", "static_configs": [{"targets": targets}]}]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": scrapes}
        (directory / "prometheus.yml").write_text(json.dumps(config))
        with start_prometheus(directory, directory / "prometheus.yml") as server:
            both = "count(count by (project, instance) (metastudio_usage_minutes))"
            server.wait_to_find(f"{both} == {2 * len(sdk.PROJECTS)}")
            yield server.url


@pytest.mark.parametrize("promql", QUERIES)
def test_the_queries_of_the_demo_and_the_documentation_count_usage_once(prometheus, pair, promql):
    def answers():
        return [{tuple(labels.items()): value for labels, value in query(url, promql)} for url in (prometheus, pair)]

    projects = {dict(labels)["project"] for labels in answers()[0]}
    assert projects and projects <= set(sdk.PROJECTS)

    def are_equal():
        one, two = answers()
        return two == pytest.approx(one, rel=0.05)

    # A poll may end between the two queries. The first video of a month changes a value by much more than 5%.
    wait_for(are_equal, "the same answers")


def test_the_age_of_usage_is_that_of_the_last_poll_of_both_exporters(pair):
    [age] = [promql for promql in DOCUMENTED if promql not in QUERIES]
    ages = query(pair, age)
    assert sorted(labels["project"] for labels, _ in ages) == sorted(sdk.PROJECTS)
    # Both exporters poll each minute.
    assert all(0 <= seconds < 120 for _, seconds in ages), ages


def test_prometheus_stores_every_exposed_metric(demo, prometheus):
    exporter, _ = demo
    text = requests.get(f"{exporter}/metrics").text
    exposed = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    stored = requests.get(f"{prometheus}/api/v1/label/__name__/values").json()["data"]
    assert exposed <= set(stored)


def test_prometheus_reads_types_units_and_help(demo, prometheus):
    metadata = requests.get(f"{prometheus}/api/v1/metadata").json()["data"]
    minutes = metadata["metastudio_usage_minutes"][0]
    assert (minutes["type"], minutes["unit"]) == ("gauge", "minutes")
    assert "Polled and cached" in minutes["help"]


def test_promtool_accepts_the_text_format(demo):
    exporter, _ = demo
    text = requests.get(f"{exporter}/metrics", headers={"Accept": "text/plain"}).text
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    # The service meters, bills and sells minutes: a deliberate exception from base units.
    finding = 'use base unit "seconds" instead of "minutes"'
    amounts = [f"{noun}_{amount}" for noun in ("package", "packages") for amount in ("bought", "left", "used")]
    of_users = ["user_quota", "user_used", "users_used"]
    compared = ["reconciliation_difference", "reconciliation_usage"]
    names = ["budget", *amounts, *compared, "shared_budget", "usage", *of_users]
    assert result.stderr.splitlines() == [f"metastudio_{name}_minutes {finding}" for name in names]


def test_the_reference_parser_accepts_openmetrics(demo):
    exporter, _ = demo
    response = requests.get(f"{exporter}/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert families["metastudio_usage_minutes"].unit == "minutes"
    assert families["metastudio_polls"].type == "counter"
    assert families["metastudio_project"].type == "info"
