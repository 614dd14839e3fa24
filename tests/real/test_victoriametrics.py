"""Debian's VictoriaMetrics scrapes the exporter and holds the same numbers, and its vmalert accepts the rules."""

import json
import subprocess

import pytest
import requests

import samples
from conftest import ENVIRONMENT, Running, free_port, wait_for

CONFIG = """
scrape_configs:
  - job_name: metastudio
    scrape_interval: 1s
    static_configs: [{{targets: ["{}"]}}]
"""


@pytest.fixture(scope="module")
def victoria_metrics(demo, tmp_path_factory):
    """The address of a VictoriaMetrics that scrapes the demo."""
    exporter, _ = demo
    directory = tmp_path_factory.mktemp("victoria-metrics")
    config = directory / "scrape.yml"
    config.write_text(CONFIG.format(exporter.removeprefix("http://")))
    port = free_port()
    flags = [f"-httpListenAddr=127.0.0.1:{port}", f"-promscrape.config={config}", f"-storageDataPath={directory / 'data'}"]
    with Running(directory, "victoria-metrics", *flags, "-search.latencyOffset=0s"):
        yield f"http://127.0.0.1:{port}"


def held(url):
    """The last value of each series."""
    try:
        requests.get(f"{url}/internal/force_flush")
        lines = requests.get(f"{url}/api/v1/export", params={"match[]": '{job="metastudio"}'}).text.splitlines()
    except requests.ConnectionError:
        return {}
    series = [json.loads(line) for line in lines]
    return {samples.labels(one["metric"]): one["values"][-1] for one in series}


def test_the_numbers_are_those_of_the_exporter(demo, victoria_metrics):
    exporter, _ = demo
    # A poll may come in between: then the next scrape brings its values.
    wait_for(
        lambda: samples.exposed(exporter).items() <= held(victoria_metrics).items(),
        "VictoriaMetrics to hold the values of the exporter",
    )


def vmalert(rules):
    return subprocess.run(["vmalert", "-dryRun", f"-rule={rules}"], env=ENVIRONMENT, capture_output=True, text=True)


def test_vmalert_accepts_the_rules(tmp_path):
    checked = vmalert("deploy/prometheus/metastudio.rules.yml")
    assert checked.returncode == 0, checked.stderr
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("groups: [{name: a, rules: [{alert: A, expr: 'sum('}]}]")
    checked = vmalert(wrong)
    assert checked.returncode != 0 and "sum(" in checked.stderr + checked.stdout, "a wrong rule is found"
