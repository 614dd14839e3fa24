"""Programs in Go, compiled from their modules where Go is found: Prometheus 3, and a client with the official SDK."""

import json
import os
import shutil
import subprocess
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from filelock import FileLock

import samples
import sdk
from conftest import ACCESS_KEY, SECRET_KEY, wait_for
from monitoring import Server, free_port

GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
MODULE = Path("tests/real/go")
# Compiled programs are kept between runs.
PROGRAMS = Path("target/go").absolute()
# Every protocol that Prometheus 3 can be told to prefer.
PROTOCOLS = ["PrometheusProto", "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"]

pytestmark = pytest.mark.skipif(GO is None, reason="Go is not found")


def compiled(package, *flags):
    """The path of the program of a package, which is compiled if it is not up to date."""
    PROGRAMS.mkdir(exist_ok=True)
    program = PROGRAMS / Path(package).name
    with FileLock(f"{program}.lock"):
        command = [GO, "build", "-mod=readonly", *flags, "-o", program, package]
        built = subprocess.run(command, cwd=MODULE, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def prometheus_3(demo, tmp_path_factory):
    """A Prometheus 3 that scrapes the demo by one job for each protocol."""
    exporter, _ = demo
    # Without service discovery it is compiled in a fraction of the time.
    program = compiled("github.com/prometheus/prometheus/cmd/prometheus", "-tags=remove_all_sd")
    directory = tmp_path_factory.mktemp("prometheus_3")
    targets = [{"targets": [exporter.removeprefix("http://")]}]
    jobs = [
        {"job_name": protocol, "scrape_protocols": [protocol], "static_configs": targets} for protocol in PROTOCOLS
    ]
    config = directory / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    data = f"--storage.tsdb.path={directory / 'data'}"
    with Server(directory, program, free_port(), f"--config.file={config}", data) as server:
        yield server


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prometheus_3_reads_the_same_numbers_over_every_protocol(demo, prometheus_3, protocol):
    exporter, _ = demo

    def held():
        answer = prometheus_3.get_json("/api/v1/query", query=f'{{job="{protocol}"}}')
        series = answer["data"]["result"] if answer else []
        return {samples.labels(one["metric"]): float(one["value"][1]) for one in series}

    # A poll may come in between: then the next scrape brings its values.
    wait_for(lambda: samples.exposed(exporter).items() <= held().items(), "Prometheus 3 to hold the same values")
    [target] = [
        target
        for target in prometheus_3.get_json("/api/v1/targets")["data"]["activeTargets"]
        if target["labels"]["job"] == protocol
    ]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_the_go_sdk_reads_the_same_usage_as_the_python_sdk(simulator):
    program = compiled("./usage")
    start, end = (datetime(2026, month, 1, tzinfo=timezone.utc) for month in (1, 2))
    for name, project in sdk.PROJECTS.items():
        bounds = [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in (start, end)]
        command = [program, simulator, ACCESS_KEY, SECRET_KEY, project, *bounds]
        environment = {"PATH": os.environ["PATH"]}
        read = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert read.returncode == 0, read.stderr
        sums = {}
        for bucket in json.loads(read.stdout, parse_float=Decimal)["time_list"]:
            for row in bucket["resources_usage"]:
                key = (row.get("resource_type", ""), row["business_type"])
                sums[key] = sums.get(key, Decimal(0)) + row["usage"] * {"MIN": 1, "HOUR": 60}[row["unit"]]
        # The SDK for Go keeps amounts in 32 bits.
        expected = sdk.minutes(simulator, name, start, end)
        assert {key: float(value) for key, value in sums.items()} == pytest.approx(expected, rel=1e-6)
        assert expected
