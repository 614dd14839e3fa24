"""The chart and the plain manifests, as Helm renders them, Kubernetes takes them, and the exporter runs in them."""

import json
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import pytest
import requests
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY, wait_for
from internet import Internet
from kubelet import Pod

ROOT = Path(__file__).parents[2]
HELM = ROOT / "deploy" / "helm"
sys.path.insert(0, str(HELM))
from manifests import CHART, KUBERNETES, documented, generate, render, values_of  # noqa: E402

VALUES = sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*.yaml"))
CONFIGURED = [name for name in VALUES if name != "demo"]
RULES = ROOT / "deploy" / "prometheus" / "metastudio.rules.yml"
PAGE = (ROOT / "docs" / "run" / "kubernetes.md").read_text()
LONG_NAME = "a-release-whose-name-is-as-long-as-helm-lets-it-be-123"
MINIMAL = {"config": {"projects": [{"name": "a", "region": "cn-north-4"}]}}


class Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, of which others take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), (node.start_mark, keys)
        return super().construct_mapping(node, deep)


@pytest.fixture(scope="module")
def chart():
    with helm.Chart.load(CHART) as chart:
        yield chart


def documents(text):
    return [document for document in yaml.load_all(text, Strict) if document]


def objects(chart, values, name="metastudio-exporter"):
    """What is rendered, by kind and name."""
    texts = render(chart, values, name)
    found = [document for path, text in texts.items() if path != "NOTES.txt" for document in documents(text)]
    by_name = {(document["kind"], document["metadata"]["name"]): document for document in found}
    assert len(by_name) == len(found)
    return by_name


def of_kind(found, *kinds):
    return [document for (kind, _), document in found.items() if kind in kinds]


def promtool(*arguments):
    checked = subprocess.run(["promtool", *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def workload(found):
    [workload] = of_kind(found, "Deployment", "StatefulSet")
    return workload


# The chart's own files.


def test_the_version_is_that_of_the_program(chart):
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert chart.metadata["version"] == chart.metadata["appVersion"] == version


@pytest.mark.parametrize("name", [None, *VALUES])
def test_helm_lints_it_strictly(name):
    report = helm.lint(CHART, values_of(name) if name else {}, strict=True)
    assert report["total_charts_linted"] == 1 and report["errors"] == []
    assert {message["error"] for message in report["messages"]} <= {"icon is recommended"}


def test_the_table_of_values_and_the_plain_manifests_are_what_the_generator_writes():
    generated = generate()
    assert {path: path.read_text() for path in generated} == generated
    assert set(KUBERNETES.iterdir()) == {path for path in generated if path.parent == KUBERNETES}


def test_every_value_is_documented_and_has_a_schema(chart):
    paths = {path for path, _, _ in documented()}

    def check(values, schema, path=()):
        assert schema["additionalProperties"] is False
        unknown = set(schema["properties"]) - set(values)
        # Of the exporter's configuration, and of charts that have this one as a part, there are no defaults.
        assert path == ("config",) or unknown <= {"global"}, unknown
        for key, value in values.items():
            here = (*path, key)
            below = schema["properties"][key]
            if ".".join(here) in paths and not any(found.startswith(".".join(here) + ".") for found in paths):
                continue
            check(value, below, here)

    check(chart.values, chart.schema)
    assert len(paths) > 50


def test_the_package_holds_the_files_that_are_links_here(chart, tmp_path):
    archive = Path(helm.package(CHART, destination=tmp_path))
    with tarfile.open(archive) as tar:
        members = {member.name.removeprefix("metastudio-exporter/"): member for member in tar}
        assert all(member.isfile() for member in members.values())
        read = {name: tar.extractfile(member).read() for name, member in members.items()}
    assert read["files/metastudio.rules.yml"] == RULES.read_bytes()
    dashboards = {path.name: path.read_bytes() for path in (ROOT / "grafana" / "dashboards").iterdir()}
    packed = {Path(name).name: text for name, text in read.items() if name.startswith("files/dashboards/")}
    assert packed == dashboards and len(dashboards) == 3
    with helm.Chart.load_archive(archive.read_bytes()) as packaged:
        assert render(packaged, values_of("everything")) == render(chart, values_of("everything"))


@pytest.mark.parametrize("name", VALUES)
def test_the_notes_name_what_is_there(chart, name):
    values = values_of(name)
    notes = render(chart, values, "x")["NOTES.txt"]
    pods = workload(objects(chart, values, "x"))
    assert f"kubectl -n monitoring rollout status {pods['kind'].lower()}/{pods['metadata']['name']}\n" in notes
    scheme = values.get("webConfig", {}).get("scheme", "http")
    assert f"{scheme}://localhost:{values.get('service', {}).get('port', 19677)}/metrics\n" in notes
    assert ("helm test -n monitoring x --logs" in notes) == (name != "demo")
    assert ("invented" in notes) == (name == "demo")
    assert (f"{pods['metadata']['name']}.monitoring.svc" in notes) == (name != "everything")


# What it refuses.


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"shards": 0}, "shards"),
        ({"shards": "3"}, "shards"),
        ({"replicaCount": 2}, "replicaCount"),
        ({"existingsecret": "x"}, "existingsecret"),
        ({"existingSecret": "Not A Name"}, "existingSecret"),
        ({"config": {"project": []}}, "project"),
        ({"config": {"projects": [{"name": "a", "project_id": 12345}]}}, "project_id"),
        ({"config": {"projects": {}}}, "projects"),
        ({"config": {"credentials": {"main": "AK"}}}, "credentials"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"image": {"digest": "sha256:0"}}, "digest"),
        ({"log": {"level": "trace"}}, "level"),
        ({"extraArgs": ["demo"]}, "extraArgs"),
        ({"webConfig": {"scheme": "ftp"}}, "scheme"),
        ({"service": {"port": 80}}, "port"),
        ({"serviceMonitor": {"interval": "half a minute"}}, "interval"),
        ({"serviceMonitor": {"labels": {"a": 1}}}, "labels"),
        ({"networkPolicy": {"enabled": "yes"}}, "networkPolicy"),
        ({"livenessProbe": {"httpGet": {}}}, "livenessProbe"),
        ({"podDisruptionBudget": {"selector": {}}}, "podDisruptionBudget"),
        ({"fullnameOverride": "x" * 53}, "fullnameOverride"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_the_schema_refuses(chart, values, complaint):
    chart.validate_schema(MINIMAL)
    with pytest.raises(helm.HelmValuesError, match=complaint):
        chart.validate_schema(MINIMAL | values)


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({}, "config.projects is empty"),
        ({"demo": True, "shards": 2}, "the demo is one process"),
        (MINIMAL | {"webConfig": {"scheme": "https"}}, "webConfig.existingSecret"),
        (MINIMAL | {"webConfig": {"tlsSecret": "x", "scheme": "https"}}, "webConfig.existingSecret"),
        (MINIMAL | {"webConfig": {"tlsSecret": "x", "existingSecret": "y"}}, "webConfig.scheme"),
        (MINIMAL | {"webConfig": {"clientCertificates": True, "existingSecret": "y"}}, "webConfig.scheme"),
    ],
)
def test_the_templates_refuse(chart, values, complaint):
    with pytest.raises(helm.HelmRenderError, match=complaint):
        chart.render(values, name="x", namespace="y")


# What Kubernetes and the Prometheus operator take.


def every_manifest():
    with helm.Chart.load(CHART) as chart:
        for name in VALUES:
            for release in ("metastudio-exporter", LONG_NAME):
                for manifest in objects(chart, values_of(name), release).values():
                    kind = f"{manifest['kind']}-{manifest['metadata']['name']}"
                    yield pytest.param(manifest, id=f"{name}-{kind}")
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for manifest in documents(path.read_text()):
            yield pytest.param(manifest, id=f"{path.stem}-{manifest['kind']}")


def check_manifest(manifest, version):
    if manifest["apiVersion"] == "monitoring.coreos.com/v1":
        model = getattr(operator, manifest["kind"]).model_validate(manifest)
        # The types read over what they do not know, so it must come out again.
        assert json.loads(model.model_dump_json(by_alias=True, exclude_unset=True)) == manifest
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("manifest", list(every_manifest()))
def test_kubernetes_takes_the_manifest(chart, manifest):
    oldest = re.fullmatch(r">=(\d+\.\d+)\.0-0", chart.metadata["kubeVersion"])[1]
    for version in (oldest, kubernetes_validate.latest_version()):
        check_manifest(manifest, version)
    assert "namespace" not in manifest["metadata"] or manifest["metadata"]["namespace"] == "monitoring"
    # kubectl writes a whole manifest into an annotation, and all of them are 256 KiB at most.
    assert len(json.dumps(json.dumps(manifest))) < 200 * 1024


@pytest.mark.parametrize("release", ["metastudio-exporter", LONG_NAME])
@pytest.mark.parametrize("name", VALUES)
def test_what_belongs_together_finds_each_other(chart, name, release):
    found = objects(chart, values_of(name), release)
    pods = workload(found)
    labels = pods["spec"]["template"]["metadata"]["labels"]
    check = [pod["metadata"]["labels"] for pod in of_kind(found, "Pod")]
    assert len(check) == (name != "demo")

    def selects(selector, labels):
        return selector.items() <= labels.items()

    [service] = of_kind(found, "Service")
    port = pods["spec"]["template"]["spec"]["containers"][0]["ports"][0]
    assert service["spec"]["ports"] == [{"name": "http", "port": port["containerPort"], "targetPort": port["name"]}]
    for selector in (
        pods["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        *(budget["spec"]["selector"]["matchLabels"] for budget in of_kind(found, "PodDisruptionBudget")),
    ):
        assert selects(selector, labels)
        # Nobody scrapes the pod of `helm test`, nor takes it for a replica.
        assert not any(selects(selector, labels) for labels in check)
    for monitor in of_kind(found, "ServiceMonitor"):
        assert selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
        assert monitor["spec"]["endpoints"][0]["port"] == "http"
    for policy in of_kind(found, "NetworkPolicy"):
        # And yet it goes the same ways as the exporter.
        assert all(selects(policy["spec"]["podSelector"]["matchLabels"], labels) for labels in [labels, *check])
        assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["containerPort"]
    account = pods["spec"]["template"]["spec"]["serviceAccountName"]
    assert ("ServiceAccount", account) in found
    # The ordinal and the hash of a StatefulSet, in a label.
    assert len(pods["metadata"]["name"]) <= 52


@pytest.mark.parametrize("name", VALUES)
def test_a_pod_can_do_nothing_but_its_work(chart, name):
    found = objects(chart, values_of(name))
    pods = [workload(found)["spec"]["template"], *of_kind(found, "Pod")]
    for spec in (pod["spec"] for pod in pods):
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == security["fsGroup"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]
        assert all(mount["readOnly"] for mount in container.get("volumeMounts", []))


def test_a_default_goes_where_null_is_in_its_place(chart):
    users = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))
    gone = {"podSecurityContext": users, "livenessProbe": None, "resources": None, "serviceMonitor": {"enabled": True}}
    gone["serviceMonitor"]["interval"] = None
    found = objects(chart, MINIMAL | gone)
    for manifest in found.values():
        check_manifest(manifest, kubernetes_validate.latest_version())
    spec = workload(found)["spec"]["template"]["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    [container] = spec["containers"]
    assert container["livenessProbe"] == {"httpGet": {"path": "/-/healthy", "port": "http"}}
    assert "resources" not in container
    [monitor] = of_kind(found, "ServiceMonitor")
    assert "interval" not in monitor["spec"]["endpoints"][0]


def test_shards_are_a_stateful_set_and_one_process_is_a_deployment(chart):
    one = workload(objects(chart, values_of("secret")))
    assert one["kind"] == "Deployment" and one["spec"]["replicas"] == 1
    assert not any("--shard" in argument for argument in one["spec"]["template"]["spec"]["containers"][0]["args"])
    many = objects(chart, values_of("sharded"))
    shards = workload(many)
    assert shards["kind"] == "StatefulSet" and shards["spec"]["replicas"] == 3
    assert "--shard=auto/3" in shards["spec"]["template"]["spec"]["containers"][0]["args"]
    assert shards["spec"]["podManagementPolicy"] == "Parallel"
    service = many[("Service", shards["spec"]["serviceName"])]
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True


def test_a_change_of_the_configuration_rolls_the_pods_and_nothing_else_does(chart):
    def template(**more):
        return workload(objects(chart, values_of("secret") | more))["spec"]["template"]

    assert template() == template(prometheusRule={"enabled": True}, networkPolicy={"enabled": True})
    assert template() != template(config=values_of("agency")["config"])


def test_a_policy_lets_out_to_the_metadata_service_only_for_an_agency(chart):
    def metadata(values):
        [policy] = of_kind(objects(chart, values | {"networkPolicy": {"enabled": True}}), "NetworkPolicy")
        peers = [peer for rule in policy["spec"]["egress"] for peer in rule.get("to", [])]
        return {"ipBlock": {"cidr": "169.254.169.254/32"}} in peers

    assert metadata(values_of("agency")) and not metadata(values_of("secret"))


# Rules, dashboards and scrapes.


def test_the_rules_of_the_operator_are_those_of_prometheus(chart, tmp_path):
    [rule] = of_kind(objects(chart, values_of("everything")), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert "{{ $labels.project }}" in json.dumps(rule)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_the_dashboards_are_grafanas(chart):
    maps = of_kind(objects(chart, values_of("everything")), "ConfigMap")
    maps = [found["data"] for found in maps if found["metadata"]["labels"].get("grafana_dashboard") == "1"]
    dashboards = {path.name: path.read_text() for path in (ROOT / "grafana" / "dashboards").iterdir()}
    assert len(maps) == 3 and {name: text for data in maps for name, text in data.items()} == dashboards


def test_a_scrape_has_the_job_of_the_alerts_and_keeps_the_exporters_labels(chart):
    [monitor] = of_kind(objects(chart, values_of("everything")), "ServiceMonitor")
    relabelings = monitor["spec"]["endpoints"][0]["relabelings"]
    labels = {"job": "metastudio-exporter", "endpoint": "http", "pod": "x"}
    for rule in relabelings:
        if rule.get("action") == "labeldrop":
            labels = {name: value for name, value in labels.items() if not re.fullmatch(rule["regex"], name)}
        elif "replacement" in rule:
            labels[rule["targetLabel"]] = rule["replacement"]
    [job] = set(re.findall(r'job="([^"]*)"', RULES.read_text()))
    assert labels == {"job": job, "pod": "x"}


# The exporter in the pods.


@pytest.fixture(scope="module")
def internet(simulator, tmp_path_factory):
    return Internet(simulator, tmp_path_factory.mktemp("internet"))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """What operators put into the Secrets that the values name."""
    directory = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    command += " -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    subprocess.run([*command.split(), "-keyout", "tls.key", "-out", "tls.crt"], cwd=directory, check=True)
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
def pod_of(chart, secrets, internet, tmp_path):
    """Makes a pod of the rendered chart: the exporter's, or that of `helm test`."""

    def pod_of(values, name="pod-0", check=False):
        found = objects(chart, values)
        configmaps = {document["metadata"]["name"]: document["data"] for document in of_kind(found, "ConfigMap")}
        configmaps["company-ca"] = {"ca.crt": internet.certificate.read_text()}
        [template] = of_kind(found, "Pod") if check else [workload(found)["spec"]["template"]]
        return Pod(tmp_path / f"{name}-{check}", template, configmaps, secrets, name)

    return pod_of


@pytest.fixture
def started(pod_of):
    """Starts an exporter's pod."""
    running = []

    def started(values, name="pod-0", variables=()):
        running.append(pod_of(values, name).start(variables))
        return running[-1]

    yield started
    for pod in running:
        pod.stop()


@pytest.mark.parametrize("name", CONFIGURED)
def test_the_exporter_accepts_the_configuration(pod_of, name, tmp_path):
    # What CCE puts into the environment of a pod that has an agency.
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


def test_keys_in_a_secret(pod_of, started, internet):
    values, variables = values_of("secret"), internet.variables()
    # What `helm test` does.
    check = subprocess.run(pod_of(values, check=True).command(variables), capture_output=True, text=True)
    assert check.returncode == 0 and "studio-prod" in check.stdout and "FAIL" not in check.stdout, check.stdout

    pod = started(values, variables=variables)
    assert pod.probe("livenessProbe")
    wait_for(lambda: pod.probe("readinessProbe"), "the pod to be ready")
    metrics = requests.get(f"http://127.0.0.1:{pod.port}/metrics").text
    assert 'metastudio_up{project="studio-prod"} 1' in metrics
    assert 'metastudio_usage_minutes{project="studio-prod"' in metrics


def test_the_demo(started):
    pod = started(values_of("demo"))
    wait_for(lambda: pod.probe("readinessProbe"), "the pod to be ready")
    assert pod.probe("livenessProbe")
    assert 'metastudio_up{project="campaign"} 1' in requests.get(f"http://127.0.0.1:{pod.port}/metrics").text


def test_probes_need_no_user_and_scrapes_do(started, internet):
    # The proxy of the values is not there; that polls fail is no trouble for a probe.
    pod = started(values_of("everything") | {"shards": 1}, variables=internet.variables())
    assert pod.probe("livenessProbe")
    url = f"https://127.0.0.1:{pod.port}/metrics"
    trusted = f"{pod.directory}/etc/metastudio-exporter-web/ca.crt"
    assert requests.get(url, verify=trusted).status_code == 401
    assert requests.get(url, verify=trusted, auth=("prometheus", "pw")).status_code == 200


def test_probes_only_connect_where_certificates_of_clients_are_asked_for(started):
    pod = started(values_of("client-certificates"))
    assert pod.probe("livenessProbe") and pod.probe("readinessProbe")
    trusted = f"{pod.directory}/etc/metastudio-exporter-web/ca.crt"
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"https://127.0.0.1:{pod.port}/-/healthy", verify=trusted)


def test_every_project_is_of_one_shard(started, internet):
    values = values_of("sharded")
    found = []
    for ordinal in range(values["shards"]):
        pod = started(values, name=f"metastudio-exporter-{ordinal}", variables=internet.variables())
        wait_for(lambda: pod.probe("readinessProbe"), "the shard to be ready")
        metrics = requests.get(f"http://127.0.0.1:{pod.port}/metrics").text
        assert f'metastudio_exporter_shard_info{{shard="{ordinal}",shards="3"}} 1' in metrics
        found += re.findall(r'^metastudio_up\{project="([^"]*)"\}', metrics, re.MULTILINE)
    assert sorted(found) == sorted(project["name"] for project in values["config"]["projects"])


# The page about it.


def steps():
    """The blocks of the page: the values that the reader has come to, and the commands of helm and kubectl. The
    numbered sections build on each other, the others on those."""
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


def test_every_command_of_the_page_is_about_what_is_there(chart):
    number = 0
    for values, commands in steps():
        for number, command in enumerate(commands, number + 1):
            if command[0] == "helm":
                assert command.index("--namespace") + 1 == command.index("monitoring")
                assert "metastudio-exporter" in command[2:4]
            else:
                assert command[1:3] == ["-n", "monitoring"]
            if command[:2] in (["helm", "install"], ["helm", "upgrade"]):
                assert (ROOT / command[command.index("metastudio-exporter") + 1]).resolve() == CHART
                if "--set" in command:
                    more = [word for flag, word in zip(command, command[1:]) if flag == "--set"]
                    values = helm.parse_set_string(",".join(more))
                else:
                    assert command[command.index("-f") + 1] == "values.yaml"
                render(chart, values)
            for path in re.findall(r"deploy/kubernetes/\S+", " ".join(command)):
                assert (ROOT / path).is_file()
            for kind, name in re.findall(r"(deployment|statefulset)/(\S+)", " ".join(command)):
                assert (kind, name) == (workload(objects(chart, values))["kind"].lower(), "metastudio-exporter")
    assert number > 15


def test_the_values_of_the_page_make_manifests_and_a_configuration(chart, pod_of):
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


def test_prometheus_takes_the_scrape_of_the_page(chart, tmp_path):
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
