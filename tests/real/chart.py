"""The chart of deploy/helm, rendered and read as objects of Kubernetes."""

import json
import sys
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "helm"))
from manifests import CHART, KUBERNETES, documented, generate, render, values_of  # noqa: E402

__all__ = ["CHART", "KUBERNETES", "documented", "generate", "render", "values_of"]
VALUES = sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*.yaml"))
RULES = ROOT / "deploy" / "prometheus" / "metastudio.rules.yml"


class Strict(yaml.SafeLoader):
    """Refuses a duplicate key. Other loaders take the last one."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), (node.start_mark, keys)
        return super().construct_mapping(node, deep)


def documents(text):
    return [document for document in yaml.load_all(text, Strict) if document]


def objects(chart, values, name="metastudio-exporter"):
    """The rendered objects by kind and name."""
    texts = render(chart, values, name)
    found = [document for path, text in texts.items() if path != "NOTES.txt" for document in documents(text)]
    by_name = {(document["kind"], document["metadata"]["name"]): document for document in found}
    assert len(by_name) == len(found)
    return by_name


def of_kind(found, *kinds):
    return [document for (kind, _), document in found.items() if kind in kinds]


def workload(found):
    [workload] = of_kind(found, "Deployment", "StatefulSet")
    return workload


def check_manifest(manifest, version):
    if manifest["apiVersion"] == "monitoring.coreos.com/v1":
        model = getattr(operator, manifest["kind"]).model_validate(manifest)
        # The types ignore unknown fields when they read, so the written object must be the same.
        assert json.loads(model.model_dump_json(by_alias=True, exclude_unset=True)) == manifest
    else:
        kubernetes_validate.validate(manifest, version, strict=True)
