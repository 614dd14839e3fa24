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
    assert scripts == {".ci/run", ".ci/msrv", ".ci/fuzz", ".ci/dates", ".ci/release", ".ci/checksums"}
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script


def images():
    """The images that builds and tests download, by the place that names them."""
    for name, job in jobs():
        if container := job.get("container"):
            yield name, container if isinstance(container, str) else container["image"]
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    # A line `# syntax=` downloads an image, too.
    for image in re.findall(r"^(?:FROM (?:--\S+ )*|# *syntax *= *)(\S+)", text, re.MULTILINE):
        yield "Dockerfile", image
    for name, service in yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"].items():
        if "build" not in service:
            yield f"compose.{name}", service["image"]


def test_images_are_pinned_by_their_full_version():
    named = list(images())
    assert {name.split(".")[0] for name, _ in named} == {"ci", "release", "Dockerfile", "compose"}
    # This one has no tags with versions.
    named.remove(("Dockerfile", "gcr.io/distroless/cc-debian13:nonroot"))
    for name, image in named:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w-]+)?(@sha256:[0-9a-f]{64})?", image), f"{name}: {image}"
    versions = {re.sub("-.*", "", image) for _, image in named if image.startswith("rust:")}
    assert len(versions) == 1, "the image and the tests use different compilers"


def test_every_job_that_compiles_has_a_pinned_toolchain():
    msrv = (ROOT / ".ci/msrv").read_text()
    assert re.search(r'^rust-version = "\d+\.\d+"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert "Cargo.toml).0\n" in msrv and re.findall(r"cargo \S+", msrv) == ['cargo "+$version"']
    compiling = set()
    for name, job in jobs():
        commands = "\n".join(step["run"] for step in job.get("steps", []) if "run" in step)
        files = [ROOT / script for script in re.findall(r"\.ci/\w+", commands)]
        text = "\n".join([commands, *(file.read_text() for file in files)])
        assert not re.search(r"rustup (default|update|override|toolchain install (?!.*\$version))", text), name
        if re.search(r"\bcargo ", text) and ".ci/msrv" not in commands:
            compiling.add(name)
            assert "rust:" in str(job.get("container")), name
    assert compiling == {"ci.checks", "ci.dates", "ci.fuzz", "release.build"}


def test_dependabot_reads_every_list_of_dependencies():
    lists = {
        "cargo": ["Cargo.toml"],
        "docker": ["*Dockerfile*"],
        "docker-compose": ["*compose*.y*ml"],
        "gomod": ["go.mod"],
        "helm": ["Chart.lock"],
        "npm": ["package.json"],
        "pip": ["*requirements*.txt", "pyproject.toml"],
        "rust-toolchain": ["rust-toolchain*"],
    }
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    files = [Path(line) for line in tracked.stdout.splitlines()]
    expected = {("github-actions", "/")}
    for ecosystem, names in lists.items():
        found = {file.parent for file in files if any(file.match(name) for name in names)}
        expected |= {(ecosystem, f"/{directory}".rstrip(".")) for directory in map(str, found)}
    read = []
    for entry in yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]:
        directories = entry.get("directories") or [entry["directory"]]
        read += [(entry["package-ecosystem"], directory) for directory in directories]
    assert sorted(read) == sorted(expected)


def test_both_architectures_are_built_and_tested():
    for name in ("ci.checks", "release.build", "release.image"):
        matrix = dict(jobs())[name]["strategy"]["matrix"]
        runners = {entry["runner"] for entry in matrix["include"]} if "include" in matrix else set(matrix["runner"])
        assert runners == {"ubuntu-24.04", "ubuntu-24.04-arm"}, name
