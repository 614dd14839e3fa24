#!/usr/bin/env python3
"""Writes the dashboards in dashboards/.

Run `pip install -r requirements.txt`, change the code, run this script, and commit the code and the dashboards.
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import health
import overview
import packages
import project

DIRECTORY = Path(__file__).parent / "dashboards"


def generate():
    """The text of each file by its name."""
    models = (overview.overview(), project.project(), packages.packages(), health.health())
    return {f"{model.uid}.json": _json(model) for model in models}


def _json(model):
    return json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, content in generate().items():
        (DIRECTORY / name).write_text(content)
        print(f"{DIRECTORY / name}: {len(content)} bytes", file=sys.stderr)
