"""The unit, the image and the compose file, as far as they go without systemd and Docker: .ci/packages boots the one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml

from conftest import BINARY, ENVIRONMENT, Running, free_port, wait_for

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "metastudio-exporter.service"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
PROGRAMS = Path(sys.executable).parent


def run(*command, environment=None, cwd=None):
    variables = ENVIRONMENT | (environment or {})
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, cwd=cwd)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


@pytest.fixture
def unit(tmp_path):
    """The unit, with the program where it is."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/metastudio-exporter ", f"ExecStart={BINARY} "))
    assert BINARY in path.read_text()
    return path


def test_systemd_has_no_objection_to_the_unit(unit):
    verified = run("systemd-analyze", "verify", "--man=no", unit)
    assert verified.stdout + verified.stderr == ""


def test_the_unit_is_exposed_to_2_0_at_the_most(unit):
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)


def test_the_dockerfile_is_sound():
    run(PROGRAMS / "hadolint", DOCKERFILE)
    final = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)[-1]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    for label in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{label}=" in final
    assert "HEALTHCHECK" not in final


def test_the_image_is_built_from_all_that_is_needed(tmp_path):
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*" and all(re.fullmatch(r"![\w.-]+", line) for line in lines[1:]), lines
    for name in (line.removeprefix("!") for line in lines[1:]):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    # Checked, not built; what it depends on has been by the time that this runs.
    environment = {"CARGO_TARGET_DIR": str(ROOT / "target"), "BUILD_REVISION": "0123456789ab"}
    run("cargo", "check", "--locked", environment=environment, cwd=tmp_path)


@pytest.fixture(scope="module")
def compose():
    """The compose file, as Docker Compose understands it."""
    return json.loads(run(PROGRAMS / "docker-compose", "--file", COMPOSE, "config", "--format=json").stdout)


def binds(service):
    return [volume for volume in service.get("volumes", []) if volume["type"] == "bind"]


def test_the_services_are_as_they_should_be(compose):
    services = compose["services"]
    assert set(services) == {"exporter", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}, name
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]
        for bind in binds(service):
            assert Path(bind["source"]).exists(), bind
            assert bind["read_only"], bind
        for needed, how in service.get("depends_on", {}).items():
            assert (how["condition"] == "service_healthy") == ("healthcheck" in services[needed]), (name, needed)
    build = services["exporter"]["build"]
    assert Path(build["context"]) == ROOT and ROOT / build["dockerfile"] == DOCKERFILE


@pytest.fixture
def files(compose, tmp_path):
    """The files of the services' containers, each in a directory of its name."""
    for name, service in compose["services"].items():
        (tmp_path / name).mkdir()
        for bind in binds(service):
            target = tmp_path / name / bind["target"].removeprefix("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if Path(bind["source"]).is_dir() else shutil.copy
            copy(bind["source"], target)
    return tmp_path


def test_grafana_finds_prometheus_and_the_dashboards(compose, files):
    provisioning = files / "grafana" / "etc" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    [shipped] = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source == shipped | {"url": "http://prometheus:9090"}
    assert compose["services"]["prometheus"]["ports"][0]["target"] == 9090
    [provider] = yaml.safe_load((provisioning / "dashboards" / "metastudio.yaml").read_text())["providers"]
    dashboards = files / "grafana" / provider["options"]["path"].removeprefix("/")
    assert len(list(dashboards.glob("*.json"))) == 3
    environment = compose["services"]["grafana"]["environment"]
    home = files / "grafana" / environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].removeprefix("/")
    assert json.loads(home.read_text())["title"] == "MetaStudio / Overview"


def test_the_services_find_each_other(compose, files):
    """Debian's Prometheus and Alertmanager in place of the images; names of services become ports."""
    config = files / "prometheus" / "etc" / "prometheus" / "prometheus.yml"
    routes = files / "alertmanager" / "etc" / "alertmanager" / "alertmanager.yml"
    run("promtool", "check", "config", config)
    run("amtool", "check-config", routes)

    exporter, prometheus, alertmanager = (free_port() for _ in range(3))
    text = config.read_text()
    # And the patience of a test.
    replacements = {
        "exporter:19677": f"127.0.0.1:{exporter}",
        "alertmanager:9093": f"127.0.0.1:{alertmanager}",
        "interval: 30s": "interval: 1s",
    }
    for there, here in replacements.items():
        assert there in text, there
        text = text.replace(there, here)
    config.write_text(text)
    rules = config.with_name("metastudio.rules.yml")
    rules.write_text(re.sub(r"^ +for: .*\n", "", rules.read_text(), flags=re.MULTILINE))
    command = compose["services"]["exporter"]["command"]
    running = [
        Running(files / "exporter", BINARY, *command, f"--web.listen-address=:{exporter}"),
        Running(
            files / "alertmanager",
            "prometheus-alertmanager",
            f"--config.file={routes}",
            f"--storage.path={files / 'alertmanager' / 'data'}",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ),
        Running(
            files / "prometheus",
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={files / 'prometheus' / 'data'}",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ),
    ]

    def alerts():
        for program in running:
            assert program.process.poll() is None, program.text()
        try:
            found = requests.get(f"http://127.0.0.1:{alertmanager}/api/v2/alerts").json()
        except requests.ConnectionError:
            return None
        return [alert["labels"] for alert in found if alert["labels"]["alertname"] == "MetaStudioBudgetSpent"]

    try:
        [alert] = wait_for(alerts, "the alert in Alertmanager")
        assert (alert["project"], alert["window"]) == ("campaign", "30d")
        health = compose["services"]["prometheus"]["healthcheck"]["test"][-1]
        assert requests.get(health.replace(":9090", f":{prometheus}")).status_code == 200
        health = compose["services"]["alertmanager"]["healthcheck"]["test"][-1]
        assert requests.get(health.replace(":9093", f":{alertmanager}")).status_code == 200
    finally:
        for program in running:
            program.stop()


def test_the_configuration_on_the_page_about_containers_is_valid(tmp_path):
    page = (ROOT / "docs" / "run" / "docker.md").read_text()
    [config] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    [keys] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "chown" in block]
    # Without root, and with keys.
    commands = re.sub(r"^sudo chown -R 65532:65532 metastudio/secrets\n", "", keys, flags=re.MULTILINE)
    assert "sudo" not in commands
    run("bash", "-euc", "AK=key SK=secret\n" + commands, cwd=tmp_path)
    (tmp_path / "metastudio" / "config.yaml").write_text(config)
    assert "studio-prod" in run(BINARY, "check", "--config.file=metastudio/config.yaml", cwd=tmp_path).stdout
