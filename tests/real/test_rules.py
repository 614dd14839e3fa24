"""The rules for Prometheus: promtool tests them, each alert has a runbook, and an alert arrives at a webhook."""

import http.server
import json
import re
import subprocess
import threading
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import requests
import yaml

from chart import objects, of_kind, values_of
from conftest import ENVIRONMENT, free_port, wait_for
from monitoring import ALWAYS_SPENT, SPENT, promtool, start_alertmanager, start_prometheus
from sdk import PROJECTS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "metastudio.rules.yml"
TESTS = sorted((ROOT / "tests" / "rules").glob("*_test.yml"))


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_promtool_accepts_the_rules():
    promtool("check", "rules", RULES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_tests_the_rules(path):
    promtool("test", "rules", path)


def severities(case):
    """The severities of the alerts that a case expects."""
    return {alert["exp_labels"]["severity"] for alert in case["exp_alerts"]}


def test_every_alert_has_a_test_that_fires_and_one_that_does_not():
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    for alert in alerts():
        severity = alert["labels"]["severity"]
        mine = [severities(case) for case in cases if case["alertname"] == alert["alert"]]
        assert {True, False} == {severity in found for found in mine}, f"{alert['alert']} {severity}"


def test_a_stage_of_an_alert_fires_until_the_next_one_has_waited():
    stages = {}
    for alert in alerts():
        stages.setdefault(alert["alert"], []).append(alert)
    stages["MetaStudioPackagesNearlySpent"] += stages.pop("MetaStudioPackagesSpent")
    for name, mine in stages.items():
        order = ["info", "warning", "critical"]
        severities = [order.index(alert["labels"]["severity"]) for alert in mine]
        assert severities == sorted(set(severities)), name
        for stage, following in pairwise(mine):
            condition, next_one = re.fullmatch(r"(.+) unless max_over_time\((.+)", stage["expr"]).groups()
            series, limit = following["expr"].split(" unless ")[0].split(" <= ")
            assert condition.startswith(f"{series} <= "), name
            # The range is longer than the next stage waits, so that at each time one of the stages fires.
            assert (following["for"], next_one) == ("1h", f"{series}[65m]) <= {limit}"), name


def test_every_alert_has_a_severity_and_a_runbook():
    for alert in alerts():
        assert alert["labels"]["severity"] in ("info", "warning", "critical")
        runbook = alert["annotations"]["runbook"]
        assert runbook == f"deploy/runbooks/{alert['alert']}.md"
        for page in (runbook, runbook.replace(".md", ".zh-CN.md")):
            assert (ROOT / page).read_text().startswith(f"# {alert['alert']}\n")
    pages = {path.name for path in (ROOT / "deploy" / "runbooks").glob("*.md")}
    assert pages == {alert["alert"] + ending for alert in alerts() for ending in (".md", ".zh-CN.md")}


def test_the_command_in_the_rules_gives_the_alerts_the_links_of_the_chart(chart, tmp_path):
    [command] = re.findall(r"^#   (sed .*)$", RULES.read_text(), re.MULTILINE)
    [address] = re.findall(r"https://[^|]*", command)
    (tmp_path / RULES.name).write_bytes(RULES.read_bytes())
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, env=ENVIRONMENT)
    promtool("check", "rules", tmp_path / "rules.yml")
    values = values_of("everything")
    values["prometheusRule"]["runbookUrl"] = address
    [rule] = of_kind(objects(chart, values), "PrometheusRule")
    made = yaml.safe_load((tmp_path / "rules.yml").read_text())
    assert made == rule["spec"]
    links = [rule["annotations"].get("runbook_url") for rule in made["groups"][0]["rules"] if "alert" in rule]
    assert links == [f"{address}{alert['alert']}.md" for alert in alerts()]


class Receiver(http.server.BaseHTTPRequestHandler):
    """The webhook that Alertmanager sends alerts to."""

    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.extend(json.loads(body)["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def webhook():
    """The address of a receiver of alerts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def write_rules(path):
    """The rules as shipped, except that their alerts fire without delay."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    path.write_text(yaml.safe_dump(rules))


@pytest.fixture
def prometheus(demo, tmp_path):
    """The address of a Prometheus that scrapes the demo, and whose alerts arrive in `Receiver.received`."""
    exporter, _ = demo
    port = free_port()
    write_rules(tmp_path / "rules.yml")
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}
scrape_configs: [{{job_name: metastudio, static_configs: [{{targets: ['{exporter.removeprefix("http://")}']}}]}}]
"""
    )
    with webhook() as receiver:
        (tmp_path / "alertmanager.yml").write_text(
            f"""
route: {{receiver: test, group_wait: 0s, group_interval: 1s, group_by: ['...']}}
receivers: [{{name: test, webhook_configs: [{{url: '{receiver}'}}]}}]
"""
        )
        # Alertmanager first: if Prometheus cannot send an alert, it sends it again only after a minute.
        with (
            start_alertmanager(tmp_path / "alertmanager", tmp_path / "alertmanager.yml", port),
            start_prometheus(tmp_path / "prometheus", tmp_path / "prometheus.yml") as server,
        ):
            yield server.url


def labels_of(name):
    """The labels of the alerts with this name that have arrived."""
    return [alert["labels"] for alert in Receiver.received if alert["labels"]["alertname"] == name]


def test_an_alert_arrives_for_the_project_that_is_over_budget(prometheus):
    def arrived():
        """The alerts by project and window."""
        alerts = [alert for alert in Receiver.received if alert["labels"]["alertname"] == "MetaStudioBudgetSpent"]
        return {(alert["labels"]["project"], alert["labels"]["window"]): alert for alert in alerts}

    alert = wait_for(lambda: arrived().get(ALWAYS_SPENT), "the alert to arrive")
    assert set(arrived()) <= SPENT
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"] == "campaign has used up its budget for 30d"
    names = {alert["labels"]["alertname"] for alert in Receiver.received}
    budgets = {"MetaStudioBudgetSpent", "MetaStudioBudgetNearlySpent", "MetaStudioBudgetForecastExceeded"}
    packages = {alert["alert"] for alert in alerts() if alert["alert"].startswith("MetaStudioPackage")}
    # The demo causes no other alerts, on any day. The polls of one project fail.
    assert names <= budgets | packages | {"MetaStudioPollRefused", "MetaStudioDataStale"}, names
    refused = wait_for(lambda: labels_of("MetaStudioPollRefused"), "the alert of the project whose polls fail")
    assert {labels["project"] for labels in refused} == {"partner-studio"}
    unused = {f"{project}-trial" for project in PROJECTS}
    wait_for(
        lambda: unused <= {labels["package"] for labels in labels_of("MetaStudioPackageEnding")},
        "the alerts of the packages that end and are not used",
    )
    health = {
        rule["name"]: (rule["health"], rule.get("lastError", ""))
        for group in requests.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
        for rule in group["rules"]
    }
    assert {state for state, _ in health.values()} == {"ok"}, health
