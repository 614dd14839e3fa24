#!/usr/bin/env python3
"""Writes what follows from the chart: the table of its README.md, and the plain manifests of ../kubernetes.

`pip install -r requirements.txt`, change the chart, run this, commit both.
"""

import json
import re
import sys
from pathlib import Path

import helm_python as helm
import yaml

CHART = Path(__file__).parent / "metastudio-exporter"
KUBERNETES = Path(__file__).parents[1] / "kubernetes"
NAME = "metastudio-exporter"
TABLE = re.compile(r"(?<=<!-- values -->\n).*?(?=<!-- /values -->)", re.DOTALL)

# What only Helm can keep true.
OF_HELM = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by|checksum/config): .*\n", re.MULTILINE)
INTRODUCTION = """\
# {what}
#
# Rendered from the chart in ../helm by manifests.py there; docs/run/kubernetes.md says how to use it.
"""
SECRET = """\
# It reads its keys from a Secret:
#
#   kubectl create secret generic metastudio-keys --from-file=access-key --from-file=secret-key
#
# After a change of the ConfigMap: kubectl rollout restart {kind}/metastudio-exporter
"""
MANIFESTS = {
    "single.yaml": ("One process for all projects.", "secret", {}, "deployment"),
    "sharded.yaml": (
        "Three processes, each with its own part of the projects. replicas and the number in --shard are the same.",
        "sharded",
        {},
        "statefulset",
    ),
    "service-monitor.yaml": (
        "For the Prometheus operator: scrape whichever of the others is applied. Label it as your Prometheus selects.",
        "secret",
        {"serviceMonitor": {"enabled": True}},
        None,
    ),
}


def generate():
    """The text of each file by its path."""
    readme = CHART / "README.md"
    files = {readme: TABLE.sub(lambda _: table(), readme.read_text())}
    with helm.Chart.load(CHART) as chart:
        for name, manifest in MANIFESTS.items():
            files[KUBERNETES / name] = plain(chart, *manifest)
    return files


def render(chart, values, name=NAME):
    """The rendered text of each template by its path below templates/, those that are empty left out."""
    rendered = chart.render(values, name=name, namespace="monitoring")
    texts = {path.split("/templates/", 1)[1]: text for path, text in rendered.items()}
    return {path: text for path, text in sorted(texts.items()) if text.strip()}


def values_of(name):
    """Values that the chart is tested with."""
    return helm.values_from_yaml((CHART / "ci" / f"{name}-values.yaml").read_text())


def plain(chart, what, values, more, kind):
    rendered = render(chart, values_of(values) | more)
    names = [path for path in rendered if path.endswith(".yaml") and not path.startswith("tests/")]
    # The monitor goes with either of the others.
    names = [path for path in names if (path == "servicemonitor.yaml") == (kind is None)]
    header = INTRODUCTION.format(what=what) + (SECRET.format(kind=kind) if kind else "")
    return header + "".join(f"---\n{OF_HELM.sub('', rendered[path]).strip()}\n" for path in names)


def table():
    rows = ["| value | default | meaning |", "|---|---|---|"]
    rows += [f"| `{path}` | `{json.dumps(default)}` | {meaning} |" for path, default, meaning in documented()]
    return "\n".join(rows) + "\n"


def documented():
    """Path, default and meaning of every value, in the order of values.yaml: a comment that begins with `# --`, and the
    key below it. Keys below a documented one are a part of its default, unless they have comments of their own."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    comment, path, found = [], [], []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped.removeprefix("# "))
        elif key := re.match(r"( *)([A-Za-z_]\w*):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                default = values
                for part in path:
                    default = default[part]
                found.append((".".join(path), default, " ".join(comment)))
            comment = []
    return found


if __name__ == "__main__":
    KUBERNETES.mkdir(exist_ok=True)
    for path, content in generate().items():
        path.write_text(content)
        print(f"{path}: {len(content)} bytes", file=sys.stderr)
