"""The systemd unit, the image and the compose file, checked without systemd and Docker. .ci/packages boots the unit."""

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
from monitoring import ALWAYS_SPENT, SPENT, start_alertmanager, start_prometheus

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
    """The unit, with the path of the program under test."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/metastudio-exporter ", f"ExecStart={BINARY} "))
    assert BINARY in path.read_text()
    return path


def test_systemd_accepts_the_unit_without_warnings(unit):
    verified = run("systemd-analyze", "verify", "--man=no", unit)
    assert verified.stdout + verified.stderr == ""


def test_the_exposure_of_the_unit_is_at_most_2_0(unit):
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)


def test_the_unit_keeps_its_state():
    unit = UNIT.read_text()
    [directory] = re.findall(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    assert re.search(r"^ExecStart=.* --storage\.path=\$\{STATE_DIRECTORY\} ", unit, re.MULTILINE)
    assert f"/var/lib/{directory} /var/lib/private/{directory}" in (ROOT / "deploy/debian/postrm").read_text()


def test_the_dockerfile_passes_hadolint_and_has_labels():
    run(PROGRAMS / "hadolint", DOCKERFILE)
    final = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)[-1]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    for label in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{label}=" in final
    assert "HEALTHCHECK" not in final
    # The directory of the state is a volume, and belongs to the user.
    [volume] = re.findall(r"^VOLUME (\S+)$", final, re.MULTILINE)
    [user] = re.findall(r"^USER (\S+)$", final, re.MULTILINE)
    assert re.search(rf"^COPY .*--chown={user} .* {volume}$", final, re.MULTILINE)
    assert f'"--storage.path={volume}"]' in final.splitlines()[-1]


def test_the_build_context_of_the_image_is_complete(tmp_path):
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*" and all(re.fullmatch(r"![\w.*-]+", line) for line in lines[1:]), lines
    for path in (path for line in lines[1:] for path in ROOT.glob(line.removeprefix("!"))):
        if path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
        else:
            shutil.copy(path, tmp_path)
    # Checked, not built. The dependencies are in the target directory already.
    environment = {"CARGO_TARGET_DIR": str(ROOT / "target"), "BUILD_REVISION": "0123456789ab"}
    run("cargo", "check", "--locked", environment=environment, cwd=tmp_path)


@pytest.fixture(scope="module")
def compose():
    """The compose file, as Docker Compose reads it."""
    return json.loads(run(PROGRAMS / "docker-compose", "--file", COMPOSE, "config", "--format=json").stdout)


def binds(service):
    return [volume for volume in service.get("volumes", []) if volume["type"] == "bind"]


def test_an_account_in_compose_keeps_its_state():
    command = [PROGRAMS / "docker-compose", "--file", COMPOSE, "--file", COMPOSE.with_name("account.yaml")]
    exporter = json.loads(run(*command, "config", "--format=json").stdout)["services"]["exporter"]
    [path] = [flag.split("=")[1] for flag in exporter["command"] if flag.startswith("--storage.path=")]
    assert {mount["target"]: mount["type"] for mount in exporter["volumes"]} == {
        "/etc/metastudio-exporter": "bind", path: "volume",
    }
    assert exporter["read_only"] and "VOLUME " + path in (ROOT / "deploy/docker/Dockerfile").read_text()


def test_services_listen_locally_with_pinned_images_and_read_only_files(compose):
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
    """The files that the compose file mounts, in a directory for each service."""
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
    assert len(list(dashboards.glob("*.json"))) == 4
    environment = compose["services"]["grafana"]["environment"]
    home = files / "grafana" / environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].removeprefix("/")
    assert json.loads(home.read_text())["title"] == "MetaStudio / Overview"


@pytest.fixture
def services(compose, files):
    """The exporter, and Debian's Prometheus and Alertmanager instead of the images. Ports replace names of services."""
    config = files / "prometheus" / "etc" / "prometheus" / "prometheus.yml"
    routes = files / "alertmanager" / "etc" / "alertmanager" / "alertmanager.yml"
    run("promtool", "check", "config", config)
    run("amtool", "check-config", routes)
    exporter, alertmanager = free_port(), free_port()
    replace_all(
        config,
        {
            "exporter:19677": f"127.0.0.1:{exporter}",
            "alertmanager:9093": f"127.0.0.1:{alertmanager}",
            "interval: 30s": "interval: 1s",
        },
    )
    # Alerts without delay, so that the test does not wait.
    rules = config.with_name("metastudio.rules.yml")
    rules.write_text(re.sub(r"^ +for: .*\n", "", rules.read_text(), flags=re.MULTILINE))
    [command, listen] = compose["services"]["exporter"]["command"]
    assert (command, listen) == ("demo", "--web.listen-address=:19677")
    # Alertmanager first: if Prometheus cannot send an alert, it sends it again only after a minute.
    with (
        Running(files / "exporter", BINARY, command, f"--web.listen-address=:{exporter}") as exporter,
        start_alertmanager(files / "alertmanager", routes, alertmanager) as alertmanager,
        start_prometheus(files / "prometheus", config) as prometheus,
    ):
        yield exporter, prometheus, alertmanager


def replace_all(path, replacements):
    text = path.read_text()
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def test_an_alert_of_the_demo_arrives_in_alertmanager(compose, services):
    exporter, prometheus, alertmanager = services

    def alerts():
        exporter.assert_running()
        prometheus.assert_running()
        found = alertmanager.get_json("/api/v2/alerts") or []
        labels = [alert["labels"] for alert in found if alert["labels"]["alertname"] == "MetaStudioBudgetSpent"]
        return {(alert["project"], alert["window"]) for alert in labels}

    wait_for(lambda: ALWAYS_SPENT in alerts(), "the alert in Alertmanager")
    assert alerts() <= SPENT
    for name, port, server in ("prometheus", 9090, prometheus), ("alertmanager", 9093, alertmanager):
        check = compose["services"][name]["healthcheck"]["test"][-1]
        path = re.fullmatch(rf"http://[^/]*:{port}(/.*)", check)[1]
        assert requests.get(server.url + path).status_code == 200


def test_the_configuration_of_the_docker_page_is_valid(tmp_path):
    page = (ROOT / "docs" / "run" / "docker.md").read_text()
    [config] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    [keys] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "chown" in block]
    # The test is not root, and fills in the keys.
    commands = re.sub(r"^sudo chown -R 65532:65532 metastudio/secrets\n", "", keys, flags=re.MULTILINE)
    assert "sudo" not in commands
    run("bash", "-euc", "AK=key SK=secret\n" + commands, cwd=tmp_path)
    (tmp_path / "metastudio" / "config.yaml").write_text(config)
    assert "studio-prod" in run(BINARY, "check", "--config.file=metastudio/config.yaml", cwd=tmp_path).stdout
