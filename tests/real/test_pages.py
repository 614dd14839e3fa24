"""Runs the configurations and commands of five pages of docs/run, and the line of cron, exactly as they are written."""

import re
import subprocess
from pathlib import Path

import pytest
import requests

from cloud_proxy import HOSTS
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, LISTEN, SECRET_KEY, Running, wait_until_ready

PAGES = Path(__file__).parents[2] / "docs" / "run"
KEYS = {"SDK_AK=…": f"SDK_AK={ACCESS_KEY}", "SDK_SK=…": f"SDK_SK={SECRET_KEY}"}
USER = {"ROBOT_PASSWORD=…": "ROBOT_PASSWORD=simulated-password", "domain: acme": "domain: simulated"}
POD = {
    "HC_CONTAINER_CREDENTIALS_FULL_URI": "SIMULATOR/v1/pod-identity",
    "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": "pod-token",
}
BOTH = {"AK": ACCESS_KEY, "SK": SECRET_KEY, "NEW_AK": ACCESS_KEY, "NEW_SK": SECRET_KEY}
FILES = {
    "pod-token": "simulated-pod-token",
    "oidc-token": "simulated-id-token",
    "access-key": ACCESS_KEY,
    "secret-key": SECRET_KEY,
}


# Texts that the reader fills in, variables that the environment has, the number of the configuration on the page, and
# the hosts that the exporter connects to. The metadata service has another address here than its own.
@pytest.mark.parametrize(
    "page, filled_in, variables, configuration, hosts",
    [
        ("environment", KEYS, {}, 0, HOSTS[:2]),
        ("files", {}, BOTH, 0, HOSTS[:2]),
        (
            "ecs-agency",
            {"http://169.254.169.254": "SIMULATOR", "ecs_agency: {}": "ecs_agency: {endpoint: 'SIMULATOR'}"},
            {},
            0,
            HOSTS[:2],
        ),
        ("cce", {}, POD, 0, HOSTS[:2]),
        ("cce", {"/var/run/secrets/tokens/oidc-token": "oidc-token"}, {}, 1, HOSTS),
        ("cce", {"/run/secrets/metastudio/": ""}, {}, 3, HOSTS[:2]),
        ("iam-user", USER, {}, 0, HOSTS[:2]),
    ],
)
def test_a_page_works_as_written(page, filled_in, variables, configuration, hosts, simulator, cloud_proxy, tmp_path):
    text = (PAGES / f"{page}.md").read_text()
    for blank, value in filled_in.items():
        assert blank in text, blank
        text = text.replace(blank, value)
    text = text.replace("SIMULATOR", simulator)
    write_files(tmp_path, re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[configuration])
    variables = {name: value.replace("SIMULATOR", simulator) for name, value in variables.items()}
    environment = ENVIRONMENT | variables | cloud_proxy.variables()
    environment["PATH"] = f"{tmp_path}/bin:{environment['PATH']}"

    script = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    assert script.count("\nmetastudio-exporter\n") == 1
    before, after = script.split("\nmetastudio-exporter\n")
    assert "metastudio-exporter check --online" in before
    del cloud_proxy.connected[:]
    metrics = run_exporter(tmp_path, run_commands(tmp_path, before, environment))
    assert 'metastudio_up{project="studio-prod"} 1' in metrics
    assert 'metastudio_usage_minutes{project="studio-prod"' in metrics
    assert {target.removesuffix(":443") for target in cloud_proxy.connected} == set(hosts)

    rotation = subprocess.run(["bash", "-c", f"set -eu\n{after}"], cwd=tmp_path, env=environment)
    assert rotation.returncode == 0


def test_the_line_of_cron_writes_a_whole_file_or_none(simulator, tmp_path):
    [line] = re.findall(r"```crontab\n(.*?)\n```", (PAGES.parent / "faq.md").read_text(), re.DOTALL)
    *schedule, user, command = line.split(maxsplit=6)
    assert (schedule, user) == (["*/10", "*", "*", "*", "*"], "prometheus")
    # cron would end the command at a percent sign.
    assert "%" not in command
    directory = tmp_path / "textfile"
    directory.mkdir()
    config = tmp_path / "config.yaml"
    places = {"/var/lib/prometheus/node-exporter": directory, "/etc/metastudio-exporter/config.yaml": config}
    for path, place in places.items():
        assert command.count(path) == 1
        command = command.replace(path, str(place))
    write_files(tmp_path, "")
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}/bin:{ENVIRONMENT['PATH']}"}
    environment |= {"HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY}

    def content(projects):
        """The file for the collector after the command has run with these projects."""
        config.write_text(f"api: {{iam_endpoint: '{simulator}'}}\nprojects: [{', '.join(projects)}]\n")
        # As cron does: with sh, in another directory.
        subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
        [file] = directory.glob("*.prom")
        return file.read_text()

    works = f"{{name: works, region: cn-north-4, endpoint: '{simulator}'}}"
    fails = "{name: fails, region: cn-north-4, endpoint: 'http://127.0.0.1:1'}"
    first = content([works])
    assert 'metastudio_up{project="works"} 1' in first
    both = content([works, fails])
    assert 'metastudio_up{project="works"} 1' in both and 'metastudio_up{project="fails"} 0' in both
    assert content(["{name: broken}"]) == both


def write_files(directory, config):
    """The files that a page expects in its directory, and the program."""
    if "projects:" not in config:
        config += "projects: [{name: studio-prod, region: cn-north-4}]\n"
    (directory / "config.yaml").write_text(config)
    for name, content in FILES.items():
        (directory / name).write_text(content + "\n")
    (directory / "bin").mkdir()
    (directory / "bin" / "metastudio-exporter").symlink_to(BINARY)


def run_commands(directory, commands, environment):
    """Runs the commands. Returns the variables of the shell after them, for the start of the exporter."""
    shell = f"set -euo pipefail\n{commands}\nenv -0 > environment\n"
    ran = subprocess.run(["bash", "-c", shell], cwd=directory, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "credentials" in ran.stdout and "FAIL" not in ran.stdout
    assert ran.stderr == ""
    return (directory / "environment").read_text().rstrip("\0").split("\0")


def run_exporter(directory, variables):
    """The metrics of an exporter that runs in the directory, with these variables."""
    command = ["env", f"--chdir={directory}", *variables, "metastudio-exporter", LISTEN]
    with Running(directory, *command) as exporter:
        address = "http://" + exporter.find(r"address=(127\.0\.0\.1:\d+)")
        wait_until_ready(address)
        return requests.get(f"{address}/metrics").text
