"""The exporter in the pods of the chart, and docs/run/kubernetes.md, whose commands and values match the chart."""

import itertools
import re
import shlex
import subprocess

import helm_python as helm
import kubernetes_validate
import pytest
import requests
import yaml

from chart import (
    CHART,
    ROOT,
    RULES,
    VALUES,
    Strict,
    check_manifest,
    objects,
    of_kind,
    render,
    values_of,
    workload,
)
from cloud_proxy import self_signed
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY, wait_for
from kubelet import Pod
from monitoring import promtool

PAGE = (ROOT / "docs" / "run" / "kubernetes.md").read_text()
CONFIGURED = [name for name in VALUES if name != "demo"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """The contents of the Secrets that the values name."""
    directory = tmp_path_factory.mktemp("certificate")
    self_signed(directory / "tls.crt", directory / "tls.key", "IP:127.0.0.1")
    hashed = subprocess.run(["htpasswd", "-nbBC", "4", "prometheus", "pw"], check=True, capture_output=True, text=True)
    name, hashed = hashed.stdout.strip().split(":")
    certificate = (directory / "tls.crt").read_text()
    tls = {"tls.crt": certificate, "ca.crt": certificate, "tls.key": (directory / "tls.key").read_text()}
    files = {"cert_file": "tls.crt", "key_file": "tls.key"}
    users = {"tls_server_config": files, "basic_auth_users": {name: hashed}}
    clients = files | {"client_ca_file": "ca.crt", "client_auth_type": "RequireAndVerifyClientCert"}
    return {
        "metastudio-keys": {"access-key": ACCESS_KEY, "secret-key": SECRET_KEY},
        "metastudio-robot": {"password": "simulated-password"},
        "metastudio-web": {"web.yaml": yaml.safe_dump(users)},
        "metastudio-web-clients": {"web.yaml": yaml.safe_dump({"tls_server_config": clients})} | tls,
        "metastudio-tls": tls,
    }


@pytest.fixture
def pod_of(chart, secrets, cloud_proxy, tmp_path):
    """Makes a pod of the rendered chart: the pod of the exporter, or the pod of `helm test`."""

    def pod_of(values, name="pod-0", check=False):
        found = objects(chart, values)
        configmaps = {document["metadata"]["name"]: document["data"] for document in of_kind(found, "ConfigMap")}
        configmaps["company-ca"] = {"ca.crt": cloud_proxy.certificate.read_text()}
        [template] = of_kind(found, "Pod") if check else [workload(found)["spec"]["template"]]
        return Pod(tmp_path / f"{name}-{check}", template, configmaps, secrets, name)

    return pod_of


@pytest.fixture
def started(pod_of):
    """Starts a pod of the exporter."""
    running = []

    def started(values, name="pod-0", variables=()):
        running.append(pod_of(values, name).start(variables))
        return running[-1]

    yield started
    for pod in running:
        pod.stop()


@pytest.mark.parametrize("name", CONFIGURED)
def test_the_exporter_accepts_the_configuration(pod_of, name, tmp_path):
    # CCE sets these variables in a pod with an agency.
    (tmp_path / "token").write_text("token")
    variables = {
        "HC_CONTAINER_CREDENTIALS_FULL_URI": "http://node/",
        "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    command = [*pod_of(values_of(name)).command(variables), "--config.check"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_has_the_sections_of_the_configuration(chart, pod_of):
    pod = pod_of(values_of("everything"))
    config = f"{pod.directory}/etc/metastudio-exporter/config.yaml"
    environment = ENVIRONMENT | {"ROBOT_PASSWORD": "x"}
    command = [BINARY, "check", "--print", f"--config.file={config}"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stdout + printed.stderr
    assert set(yaml.safe_load(printed.stdout)) == set(chart.schema["properties"]["config"]["properties"])


def test_the_exporter_reads_its_keys_from_a_secret(pod_of, started, cloud_proxy):
    values, variables = values_of("secret"), cloud_proxy.variables()
    # As `helm test` runs it.
    check = subprocess.run(pod_of(values, check=True).command(variables), capture_output=True, text=True)
    assert check.returncode == 0 and "studio-prod" in check.stdout and "FAIL" not in check.stdout, check.stdout

    pod = started(values, variables=variables)
    assert pod.probe("livenessProbe")
    wait_for(lambda: pod.probe("readinessProbe"), "the pod to be ready")
    metrics = requests.get(f"http://127.0.0.1:{pod.port}/metrics").text
    assert 'metastudio_up{project="studio-prod"} 1' in metrics
    assert 'metastudio_usage_minutes{project="studio-prod"' in metrics


def test_the_demo_gets_ready(started):
    pod = started(values_of("demo"))
    wait_for(lambda: pod.probe("readinessProbe"), "the pod to be ready")
    assert pod.probe("livenessProbe")
    assert 'metastudio_up{project="campaign"} 1' in requests.get(f"http://127.0.0.1:{pod.port}/metrics").text


def test_probes_need_no_user_but_scrapes_do(started, cloud_proxy):
    # The proxy in these values does not exist. Polls fail, and the liveness probe succeeds.
    pod = started(values_of("everything") | {"shards": 1}, variables=cloud_proxy.variables())
    assert pod.probe("livenessProbe")
    url = f"https://127.0.0.1:{pod.port}/metrics"
    trusted = f"{pod.directory}/etc/metastudio-exporter-web/ca.crt"
    assert requests.get(url, verify=trusted).status_code == 401
    assert requests.get(url, verify=trusted, auth=("prometheus", "pw")).status_code == 200


def test_probes_only_connect_if_client_certificates_are_required(started):
    pod = started(values_of("client-certificates"))
    assert pod.probe("livenessProbe") and pod.probe("readinessProbe")
    trusted = f"{pod.directory}/etc/metastudio-exporter-web/ca.crt"
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"https://127.0.0.1:{pod.port}/-/healthy", verify=trusted)


def test_every_project_is_polled_by_one_shard(started, cloud_proxy):
    values = values_of("sharded")
    found = []
    for ordinal in range(values["shards"]):
        pod = started(values, name=f"metastudio-exporter-{ordinal}", variables=cloud_proxy.variables())
        wait_for(lambda: pod.probe("readinessProbe"), "the shard to be ready")
        metrics = requests.get(f"http://127.0.0.1:{pod.port}/metrics").text
        assert f'metastudio_exporter_shard_info{{shard="{ordinal}",shards="3"}} 1' in metrics
        found += re.findall(r'^metastudio_up\{project="([^"]*)"\}', metrics, re.MULTILINE)
    assert sorted(found) == sorted(project["name"] for project in values["config"]["projects"])


# The page.


def steps():
    """The values after each block of the page, and the helm and kubectl commands of the block.

    Numbered sections build on each other. Other sections build on the last numbered one.
    """
    base = {}
    for section in PAGE.split("\n## ")[1:]:
        values = base
        for language, text in re.findall(r"^ *```(\w+)\n(.*?)```", section, re.DOTALL | re.MULTILINE):
            if text.startswith("# values.yaml\n"):
                values = values | yaml.load(text, Strict)
                yield values, []
            elif language == "sh":
                lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
                yield values, [shlex.split(line) for line in lines if line.startswith(("helm ", "kubectl "))]
        base = values if section[0].isdigit() else base


def values_of_helm(command, values):
    """The values that a command of helm installs the chart with."""
    assert (ROOT / command[command.index("metastudio-exporter") + 1]).resolve() == CHART
    if "--set" not in command:
        assert command[command.index("-f") + 1] == "values.yaml"
        return values
    settings = [word for flag, word in itertools.pairwise(command) if flag == "--set"]
    return helm.parse_set_string(",".join(settings))


def test_every_command_of_the_page_names_objects_that_exist(chart):
    checked = 0
    for values, commands in steps():
        for command in commands:
            checked += 1
            if command[0] == "helm":
                assert command.index("--namespace") + 1 == command.index("monitoring")
                assert "metastudio-exporter" in command[2:4]
            else:
                assert command[1:3] == ["-n", "monitoring"]
            if command[:2] in (["helm", "install"], ["helm", "upgrade"]):
                values = values_of_helm(command, values)
                render(chart, values)
            for path in re.findall(r"deploy/kubernetes/\S+", " ".join(command)):
                assert (ROOT / path).is_file()
            for kind, name in re.findall(r"(deployment|statefulset)/(\S+)", " ".join(command)):
                assert (kind, name) == (workload(objects(chart, values))["kind"].lower(), "metastudio-exporter")
    assert checked > 15


def test_the_values_of_the_page_are_valid(chart, pod_of):
    stages = [values for values, commands in steps() if not commands]
    assert [list(values)[-1] for values in stages] == ["config", "dashboards", "shards", "webConfig", "networkPolicy"]
    for values in stages:
        chart.validate_schema(values)
        for manifest in objects(chart, values).values():
            check_manifest(manifest, kubernetes_validate.latest_version())
    checked = subprocess.run([*pod_of(stages[0]).command(), "--config.check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    secrets = set(re.findall(r"create secret generic (\S+)", PAGE))
    assert {stages[0]["existingSecret"], stages[3]["webConfig"]["existingSecret"], "metastudio-scrape"} == secrets


def test_prometheus_accepts_the_scrape_of_the_page(chart, tmp_path):
    [config] = re.findall(r"```yaml\n(# prometheus.yml\n.*?)```", PAGE, re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(config)
    (tmp_path / "metastudio.rules.yml").write_text(RULES.read_text())
    promtool("check", "config", tmp_path / "prometheus.yml")
    [scrape] = yaml.safe_load(config)["scrape_configs"]
    [names] = scrape["dns_sd_configs"]
    [service] = of_kind(objects(chart, values_of("secret")), "Service")
    assert scrape["job_name"] in re.findall(r'up\{job="([^"]*)"', RULES.read_text())
    assert names["names"] == [f"{service['metadata']['name']}.monitoring.svc.cluster.local"]
    assert names["port"] == service["spec"]["ports"][0]["port"]
