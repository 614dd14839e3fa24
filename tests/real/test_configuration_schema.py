"""The JSON schema for editors, compared with `check`: it finds only faults that `check` finds, and most of them."""

import copy
import json
import subprocess
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from conftest import BINARY, ENVIRONMENT

ROOT = Path(__file__).parents[2]

WHOLE = json.loads((ROOT / "tests/data/whole-configuration.json").read_text())
WHOLE["x-shared"] = {"anything": 1}
ODD = ["", " ", "odd", "all", "5m", "https://example.com/x", 7, -7.5, True, None, [], ["odd"], [7], {}, {"odd": 1}]


def run(*arguments):
    command = [BINARY, "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, "SECRET": "s"})


def paths(value, path=()):
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths(child, (*path, key))


def changed(path, value):
    document = copy.deepcopy(WHOLE)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def test_the_schema_and_check_agree(tmp_path):
    schema = json.loads(run("--schema").stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    file = tmp_path / "config.yaml"

    def verdicts(document):
        file.write_text(json.dumps(document))
        return validator.is_valid(document), run("--config.file", file).returncode == 0

    assert verdicts(WHOLE) == (True, True)
    refused, missed = 0, []
    for path in paths(WHOLE):
        for odd in ODD:
            is_valid, is_accepted = verdicts(changed(path, odd))
            refused += not is_accepted
            assert is_valid or not is_accepted, f"check accepts {path} = {odd!r}, and the schema does not"
            if is_valid and not is_accepted:
                missed.append((path, odd))
    # Only `check` finds faults that depend on other values, on time zones or on exact ranges.
    assert refused > 700 and len(missed) < refused / 8, (refused, len(missed), missed)


def test_the_example_fits_the_schema():
    schema = json.loads(run("--schema").stdout)
    text = run("--example").stdout
    assert text == (ROOT / "config.example.yaml").read_text()
    Draft202012Validator(schema).validate(yaml.safe_load(text))
