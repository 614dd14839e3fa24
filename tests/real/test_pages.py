"""The pages about ways to run the exporter, followed to the letter: their configurations and commands, in their order."""

import re
import subprocess
from pathlib import Path

import pytest
import requests

from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY, Running, wait_for
from internet import HOSTS, Internet

PAGES = Path(__file__).parents[2] / "docs" / "run"
KEYS = {"SDK_AK=…": f"SDK_AK={ACCESS_KEY}", "SDK_SK=…": f"SDK_SK={SECRET_KEY}"}
USER = {"ROBOT_PASSWORD=…": "ROBOT_PASSWORD=simulated-password", "domain: acme": "domain: simulated"}
POD = {
    "HC_CONTAINER_CREDENTIALS_FULL_URI": "SIMULATOR/v1/pod-identity",
    "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": "pod-token",
}
BOTH = {"AK": ACCESS_KEY, "SK": SECRET_KEY, "NEW_AK": ACCESS_KEY, "NEW_SK": SECRET_KEY}


@pytest.fixture(scope="module")
def internet(simulator, tmp_path_factory):
    return Internet(simulator, tmp_path_factory.mktemp("internet"))


# What the reader fills in, and what is there where he does it. The metadata service cannot be at its own address here.
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
def test_a_page_works_as_it_is_written(
    page, filled_in, variables, configuration, hosts, simulator, internet, tmp_path, monkeypatch
):
    text = (PAGES / f"{page}.md").read_text()
    for blank, value in filled_in.items():
        assert blank in text, blank
        text = text.replace(blank, value)
    text = text.replace("SIMULATOR", simulator)
    config = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[configuration]
    if "projects:" not in config:
        config += "projects: [{name: studio-prod, region: cn-north-4}]\n"
    (tmp_path / "config.yaml").write_text(config)
    for name, content in {"pod-token": "simulated-pod-token", "oidc-token": "simulated-id-token"}.items():
        (tmp_path / name).write_text(content + "\n")
    for name, content in {"access-key": ACCESS_KEY, "secret-key": SECRET_KEY}.items():
        (tmp_path / name).write_text(content + "\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "metastudio-exporter").symlink_to(BINARY)
    variables = {name: value.replace("SIMULATOR", simulator) for name, value in variables.items()}
    environment = ENVIRONMENT | variables | internet.variables()
    environment["PATH"] = f"{tmp_path}/bin:{environment['PATH']}"

    script = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    assert script.count("\nmetastudio-exporter\n") == 1
    before, after = script.split("\nmetastudio-exporter\n")
    assert "metastudio-exporter check --online" in before
    del internet.connected[:]
    # The environment that the commands leave behind is that of the last one.
    shell = f"set -euo pipefail\n{before}\nenv -0 > environment\n"
    ran = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "credentials" in ran.stdout and "FAIL" not in ran.stdout
    assert ran.stderr == ""

    left = (tmp_path / "environment").read_text().rstrip("\0").split("\0")
    monkeypatch.chdir(tmp_path)
    daemon = Running(tmp_path, "env", *left, "metastudio-exporter", "--web.listen-address=127.0.0.1:0")
    address = daemon.find(r"address=(127\.0\.0\.1:\d+)")
    wait_for(lambda: requests.get(f"http://{address}/-/ready").status_code == 200, "the exporter to be ready")
    metrics = requests.get(f"http://{address}/metrics").text
    daemon.stop()
    assert 'metastudio_up{project="studio-prod"} 1' in metrics
    assert 'metastudio_usage_minutes{project="studio-prod"' in metrics
    assert {target.removesuffix(":443") for target in internet.connected} == set(hosts)

    rotation = subprocess.run(["bash", "-c", f"set -eu\n{after}"], cwd=tmp_path, env=environment)
    assert rotation.returncode == 0
