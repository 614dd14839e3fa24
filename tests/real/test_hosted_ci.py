"""The files of hosted CI are well-formed and safe, and call scripts that exist. They run on GitHub only."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ENVIRONMENT

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SCHEMAS = [
    *(("vendor.github-workflows", path) for path in WORKFLOWS),
    *(("vendor.github-issue-forms", path) for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))),
    ("vendor.dependabot", GITHUB / "dependabot.yml"),
]
PROGRAMS = Path(sys.executable).parent


def run(program, *arguments):
    return subprocess.run([PROGRAMS / program, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)


def jobs():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield f"{path.stem}.{name}", job


@pytest.mark.parametrize("schema, path", SCHEMAS, ids=lambda value: getattr(value, "stem", value))
def test_files_match_their_schemas(schema, path):
    checked = run("check-jsonschema", "--builtin-schema", schema, path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_zizmor_finds_no_vulnerability():
    found = run("zizmor", "--offline", "--no-progress", "--quiet", GITHUB)
    assert found.returncode == 0, found.stdout + found.stderr


def test_actions_are_pinned_and_jobs_have_time_limits():
    for name, job in jobs():
        assert "timeout-minutes" in job or "uses" in job, name
        assert "permissions" in job, name
    uses = re.findall(r"uses: (.*)", "".join(path.read_text() for path in WORKFLOWS))
    assert len(uses) > 10
    for action in uses:
        assert re.fullmatch(r"\./\S+ # zizmor: .*|[\w/-]+@[0-9a-f]{40} # v[\d.]+", action), action


def test_jobs_run_the_scripts_of_the_ci_directory():
    commands = {step["run"] for _, job in jobs() for step in job.get("steps", []) if "run" in step}
    scripts = {script for command in commands for script in re.findall(r"\.ci/\w+", command)}
    assert scripts == {".ci/run", ".ci/msrv", ".ci/fuzz", ".ci/release", ".ci/checksums"}
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_both_architectures_are_built_and_tested():
    for name in ("ci.checks", "release.build", "release.image"):
        matrix = dict(jobs())[name]["strategy"]["matrix"]
        runners = {entry["runner"] for entry in matrix["include"]} if "include" in matrix else set(matrix["runner"])
        assert runners == {"ubuntu-24.04", "ubuntu-24.04-arm"}, name
