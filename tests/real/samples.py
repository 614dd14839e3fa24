"""The samples of the exporter that stay the same until the next poll of a project."""

import requests
from prometheus_client.parser import text_string_to_metric_families

STEADY = ("metastudio_usage", "metastudio_window", "metastudio_budget")


def labels(metric):
    """The labels of a series, without the labels that a scrape adds, and without empty labels."""
    return frozenset((name, value) for name, value in metric.items() if name not in ("job", "instance") and value)


def exposed(exporter):
    """The value of each series of usage, windows and budgets."""
    families = text_string_to_metric_families(requests.get(f"{exporter}/metrics").text)
    samples = [sample for family in families if family.name.startswith(STEADY) for sample in family.samples]
    assert len(samples) > 30
    return {labels({"__name__": sample.name, **sample.labels}): sample.value for sample in samples}
