"""The chart and the plain manifests: rendered by Helm, validated by the schemas of Kubernetes."""

import copy
import json
import re
import tarfile
import tomllib
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from chart import (
    CHART,
    KUBERNETES,
    ROOT,
    RULES,
    VALUES,
    check_manifest,
    documented,
    documents,
    generate,
    objects,
    of_kind,
    render,
    values_of,
    workload,
)
from monitoring import promtool

LONG_NAME = "a-release-whose-name-is-as-long-as-helm-lets-it-be-123"
MINIMAL = {"config": {"projects": [{"name": "a", "region": "cn-north-4"}]}}


# The chart's own files.


def test_the_chart_has_the_version_the_maintainer_and_the_home_of_the_program(chart):
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    assert chart.metadata["version"] == chart.metadata["appVersion"] == package["version"]
    [maintainer] = chart.metadata["maintainers"]
    assert "{name} <{email}>".format(**maintainer) == package["metadata"]["deb"]["maintainer"]
    # Cargo.toml has no address of the repository yet. Once it has one, the chart must have it, too.
    assert chart.metadata.get("home") == package.get("repository")


@pytest.mark.parametrize("name", [None, *VALUES])
def test_helm_lint_finds_only_the_missing_icon(name):
    report = helm.lint(CHART, values_of(name) if name else {}, strict=True)
    assert report["total_charts_linted"] == 1 and report["errors"] == []
    assert {message["error"] for message in report["messages"]} <= {"icon is recommended"}


def test_the_table_of_values_and_the_plain_manifests_are_up_to_date():
    generated = generate()
    assert {path: path.read_text() for path in generated} == generated
    assert set(KUBERNETES.iterdir()) == {path for path in generated if path.parent == KUBERNETES}


def test_every_value_is_documented_and_has_a_schema(chart):
    paths = {path for path, _, _ in documented()}

    def check(values, schema, path=()):
        assert schema["additionalProperties"] is False
        unknown = set(schema["properties"]) - set(values)
        # The exporter's configuration has no defaults here, and neither has `global`, which a parent chart sets.
        assert path == ("config",) or unknown <= {"global"}, unknown
        for key, value in values.items():
            here = (*path, key)
            below = schema["properties"][key]
            if ".".join(here) in paths and not any(found.startswith(".".join(here) + ".") for found in paths):
                continue
            check(value, below, here)

    check(chart.values, chart.schema)
    assert len(paths) > 50


def test_the_package_contains_the_files_that_are_links_here(chart, tmp_path):
    archive = Path(helm.package(CHART, destination=tmp_path))
    with tarfile.open(archive) as tar:
        members = {member.name.removeprefix("metastudio-exporter/"): member for member in tar}
        assert all(member.isfile() for member in members.values())
        read = {name: tar.extractfile(member).read() for name, member in members.items()}
    assert read["files/metastudio.rules.yml"] == RULES.read_bytes()
    dashboards = {path.name: path.read_bytes() for path in (ROOT / "grafana" / "dashboards").iterdir()}
    packed = {Path(name).name: text for name, text in read.items() if name.startswith("files/dashboards/")}
    assert packed == dashboards and len(dashboards) == 4
    assert not any(name.startswith("ci/") for name in read)
    with helm.Chart.load_archive(archive.read_bytes()) as packaged:
        assert render(packaged, values_of("everything")) == render(chart, values_of("everything"))


@pytest.mark.parametrize("name", VALUES)
def test_the_notes_name_the_rendered_objects(chart, name):
    values = values_of(name)
    notes = render(chart, values, "x")["NOTES.txt"]
    pods = workload(objects(chart, values, "x"))
    assert f"kubectl -n monitoring rollout status {pods['kind'].lower()}/{pods['metadata']['name']}\n" in notes
    scheme = values.get("webConfig", {}).get("scheme", "http")
    assert f"{scheme}://localhost:{values.get('service', {}).get('port', 19677)}/metrics\n" in notes
    assert ("helm test -n monitoring x --logs" in notes) == (name != "demo")
    assert ("invented" in notes) == (name == "demo")
    assert (f"{pods['metadata']['name']}.monitoring.svc" in notes) == (name != "everything")


# Refused values.


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
def test_the_schema_refuses_invalid_values(chart, values, complaint):
    chart.validate_schema(MINIMAL)
    with pytest.raises(helm.HelmValuesError, match=complaint):
        chart.validate_schema(MINIMAL | values)


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({}, "config.projects is empty"),
        ({"config": None}, "config.projects is empty"),
        ({"demo": True, "shards": 2}, "the demo is one process"),
        (MINIMAL | {"webConfig": {"scheme": "https"}}, "webConfig.existingSecret"),
        (MINIMAL | {"webConfig": {"tlsSecret": "x", "scheme": "https"}}, "webConfig.existingSecret"),
        (MINIMAL | {"webConfig": {"tlsSecret": "x", "existingSecret": "y"}}, "webConfig.scheme"),
        (MINIMAL | {"webConfig": {"clientCertificates": True, "existingSecret": "y"}}, "webConfig.scheme"),
    ],
)
def test_the_templates_refuse_contradicting_values(chart, values, complaint):
    with pytest.raises(helm.HelmRenderError, match=complaint):
        chart.render(values, name="x", namespace="y")


# Validity for Kubernetes and the Prometheus operator.


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


@pytest.mark.parametrize("manifest", list(every_manifest()))
def test_kubernetes_accepts_the_manifest(chart, manifest):
    oldest = re.fullmatch(r">=(\d+\.\d+)\.0-0", chart.metadata["kubeVersion"])[1]
    for version in (oldest, kubernetes_validate.latest_version()):
        check_manifest(manifest, version)
    assert "namespace" not in manifest["metadata"] or manifest["metadata"]["namespace"] == "monitoring"
    # kubectl stores the manifest as JSON in an annotation. All annotations together have at most 256 KiB.
    assert len(json.dumps(json.dumps(manifest))) < 200 * 1024


@pytest.mark.parametrize("release", ["metastudio-exporter", LONG_NAME])
@pytest.mark.parametrize("name", VALUES)
def test_selectors_and_ports_match_their_pods(chart, name, release):
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
        # The pod of `helm test` is not scraped and does not count as a replica.
        assert not any(selects(selector, labels) for labels in check)
    for monitor in of_kind(found, "ServiceMonitor"):
        assert selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
        assert monitor["spec"]["endpoints"][0]["port"] == "http"
    for policy in of_kind(found, "NetworkPolicy"):
        # The pod of `helm test` needs the same connections as the exporter.
        assert all(selects(policy["spec"]["podSelector"]["matchLabels"], labels) for labels in [labels, *check])
        assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["containerPort"]
    account = pods["spec"]["template"]["spec"]["serviceAccountName"]
    assert ("ServiceAccount", account) in found
    # Labels of the pods contain this name and the ordinal or a hash, in at most 63 characters.
    assert len(pods["metadata"]["name"]) <= 52


@pytest.mark.parametrize("name", VALUES)
def test_pods_have_minimal_privileges(chart, name):
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
        writable = [mount["mountPath"] for mount in container.get("volumeMounts", []) if not mount.get("readOnly")]
        stores = [argument for argument in container["args"] if argument.startswith("--storage.path=")]
        assert stores == [f"--storage.path={path}" for path in writable], "the state is the only thing that is written"
        assert len(stores) == (container["args"][0] not in ("demo", "check")), "a crash loop must not get a key locked"


def test_a_null_value_removes_a_default(chart):
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


# Values whose defaults the templates do not repeat. Without these values, Kubernetes or Prometheus uses defaults of its
# own, and a ConfigMap has no label.
OPTIONAL_DEFAULTS = {"podSecurityContext", "securityContext", "resources", "livenessProbe", "readinessProbe"} | {
    "terminationGracePeriodSeconds",
    "serviceMonitor.interval",
    "dashboards.labels",
}
ENABLED = {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboards", "networkPolicy")}


def nullable():
    """The paths of all keys at the top level, and of the keys below them."""
    for key, value in yaml.safe_load((CHART / "values.yaml").read_text()).items():
        yield key
        if isinstance(value, dict) and key not in OPTIONAL_DEFAULTS | {"config"}:
            yield from (f"{key}.{inner}" for inner in value)


@pytest.mark.parametrize("path", list(nullable()))
def test_a_section_without_content_has_its_defaults(chart, path):
    """`service:` without content is null, which deletes the defaults of the whole section."""
    given = {"demo": True} if path == "config" else copy.deepcopy(MINIMAL)
    nulled = given | copy.deepcopy(ENABLED)
    omitted = copy.deepcopy(nulled)
    *section, key = path.split(".")
    for values in nulled, omitted:
        place = values.setdefault(section[0], {}) if section else values
        place.pop(key, None)
    (nulled[section[0]] if section else nulled)[key] = None
    chart.validate_schema(nulled)
    found = objects(chart, nulled)
    for manifest in found.values():
        check_manifest(manifest, kubernetes_validate.latest_version())
    if path not in OPTIONAL_DEFAULTS:
        assert found == objects(chart, omitted)
        assert render(chart, nulled)["NOTES.txt"] == render(chart, omitted)["NOTES.txt"]


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


def test_only_a_change_of_the_configuration_restarts_the_pods(chart):
    def template(**more):
        return workload(objects(chart, values_of("secret") | more))["spec"]["template"]

    assert template() == template(prometheusRule={"enabled": True}, networkPolicy={"enabled": True})
    assert template() != template(config=values_of("agency")["config"])


def test_a_policy_allows_the_metadata_service_only_for_an_agency(chart):
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


def test_the_dashboards_are_those_of_the_grafana_directory(chart):
    maps = of_kind(objects(chart, values_of("everything")), "ConfigMap")
    maps = [found["data"] for found in maps if found["metadata"]["labels"].get("grafana_dashboard") == "1"]
    dashboards = {path.name: path.read_text() for path in (ROOT / "grafana" / "dashboards").iterdir()}
    assert len(maps) == 4 and {name: text for data in maps for name, text in data.items()} == dashboards


def test_the_alerts_can_be_changed(chart):
    def rules(**values):
        all_values = {**values_of("everything"), "prometheusRule": {"enabled": True, **values}}
        [rule] = of_kind(objects(chart, all_values), "PrometheusRule")
        return rule["spec"]["groups"]

    [group] = rules(
        interval="2m",
        runbookUrl="https://wiki.example.com/runbooks/",
        alertLabels={"team": "media"},
        alerts={
            "MetaStudioNoUsage": {"enabled": False},
            "MetaStudioPollFailing": {"for": "2h", "labels": {"severity": "info"}},
            "MetaStudioPackageEnding": {"for": "3h"},
        },
    )
    [shipped] = yaml.safe_load(RULES.read_text())["groups"]
    expected = {**shipped, "interval": "2m", "rules": []}
    for rule in shipped["rules"]:
        if "alert" in rule:
            rule["labels"]["team"] = "media"
            del rule["annotations"]["runbook"]
            rule["annotations"]["runbook_url"] = f"https://wiki.example.com/runbooks/{rule['alert']}.md"
        if rule.get("alert") == "MetaStudioPollFailing":
            rule |= {"for": "2h", "labels": {"severity": "info", "team": "media"}}
        if rule.get("alert") == "MetaStudioPackageEnding":
            rule["for"] = "3h"
        if rule.get("alert") != "MetaStudioNoUsage":
            expected["rules"].append(rule)
    assert group == expected
    with pytest.raises(Exception, match="prometheusRule.alerts.MetaStudioNone: there is no such alert; expected one of"):
        rules(alerts={"MetaStudioNone": {"enabled": False}})


def test_a_scrape_has_the_job_of_the_alerts(chart):
    [monitor] = of_kind(objects(chart, values_of("everything")), "ServiceMonitor")
    relabelings = monitor["spec"]["endpoints"][0]["relabelings"]
    labels = {"job": "metastudio-exporter"}
    for rule in relabelings:
        if "replacement" in rule:
            labels[rule["targetLabel"]] = rule["replacement"]
    [job] = set(re.findall(r'job="([^"]*)"', RULES.read_text()))
    assert labels == {"job": job}
