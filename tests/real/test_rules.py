"""The rules for Prometheus: promtool's tests of them, their runbooks, and an alert that arrives where alerts go."""

import http.server
import json
import subprocess
import threading
from pathlib import Path

import pytest
import requests
import yaml

from conftest import ENVIRONMENT, Running, free_port, wait_for

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "metastudio.rules.yml"
TESTS = sorted((ROOT / "tests" / "rules").glob("*_test.yml"))


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_promtool_accepts_the_rules():
    checked = subprocess.run(["promtool", "check", "rules", RULES], env=ENVIRONMENT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_tests_the_rules(path):
    tested = subprocess.run(["promtool", "test", "rules", path], env=ENVIRONMENT, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_to_fire_and_not_to():
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    for alert in alerts():
        mine = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert["alert"]]
        assert True in mine and False in mine, alert["alert"]


def test_every_alert_has_what_is_needed_at_night():
    for alert in alerts():
        assert alert["labels"]["severity"] in ("warning", "critical")
        runbook = alert["annotations"]["runbook"]
        assert runbook == f"deploy/runbooks/{alert['alert']}.md"
        assert (ROOT / runbook).read_text().startswith(f"# {alert['alert']}\n")
    pages = {path.stem for path in (ROOT / "deploy" / "runbooks").glob("*.md")}
    assert pages == {alert["alert"] for alert in alerts()}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Where Alertmanager sends what it has to say."""

    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.extend(json.loads(body)["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_project_that_is_over_its_budget_makes_an_alert_arrive(demo, tmp_path):
    exporter, _ = demo
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    ports = [free_port() for _ in range(2)]
    # As it is shipped, but for the ports and the patience of a test.
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{ports[1]}']}}]}}]}}
scrape_configs: [{{job_name: metastudio, static_configs: [{{targets: ['{exporter.removeprefix("http://")}']}}]}}]
"""
    )
    (tmp_path / "alertmanager.yml").write_text(
        f"""
route: {{receiver: test, group_wait: 0s, group_interval: 1s, group_by: ['...']}}
receivers: [{{name: test, webhook_configs: [{{url: 'http://127.0.0.1:{receiver.server_port}/'}}]}}]
"""
    )
    directories = [tmp_path / name for name in ("prometheus", "alertmanager")]
    for directory in directories:
        directory.mkdir()
    running = [
        Running(
            directories[0],
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={directories[0] / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
        ),
        Running(
            directories[1],
            "prometheus-alertmanager",
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={directories[1] / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
            "--cluster.listen-address=",
        ),
    ]
    try:
        def arrived():
            return [alert for alert in Receiver.received if alert["labels"]["alertname"] == "MetaStudioBudgetSpent"]

        wait_for(arrived, "the alert to arrive")
        [budget] = {(alert["labels"]["project"], alert["labels"]["window"]) for alert in arrived()}
        assert budget == ("campaign", "30d")
        alert = arrived()[0]
        assert alert["labels"]["severity"] == "critical"
        assert alert["annotations"]["summary"] == "campaign has used up its budget for 30d"
        names = {alert["labels"]["alertname"] for alert in Receiver.received}
        budgets = {"MetaStudioBudgetSpent", "MetaStudioBudgetNearlySpent", "MetaStudioBudgetForecastExceeded"}
        # Nothing else is wrong with the demo, whatever day it is.
        assert names <= budgets, names
        url = f"http://127.0.0.1:{ports[0]}/api/v1/rules"
        health = {
            rule["name"]: (rule["health"], rule.get("lastError", ""))
            for group in requests.get(url).json()["data"]["groups"]
            for rule in group["rules"]
        }
        assert {state for state, _ in health.values()} == {"ok"}, health
    finally:
        for program in running:
            program.stop()
        receiver.shutdown()
