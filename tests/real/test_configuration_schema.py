"""The JSON schema for editors, compared with `check`: it finds only faults that `check` finds, and most of them."""

import copy
import itertools
import json
import subprocess
from pathlib import Path

import pytest
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
    """The paths of all values of a document."""
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


def keys(schema, path=()):
    """The paths of all keys of a schema. A name that the user chooses is `*`, and an element of a list is `[]`."""
    for alternative in schema.get("anyOf", ()):
        yield from keys(alternative, path)
    for key, value in schema.get("properties", {}).items():
        yield (*path, key)
        yield from keys(value, (*path, key))
    for step, child in ("*", schema.get("additionalProperties")), ("[]", schema.get("items")):
        if isinstance(child, dict):
            yield from keys(child, (*path, step))


@pytest.fixture
def verdicts(tmp_path):
    """A function: whether the schema accepts a document, and whether `check` does."""
    schema = json.loads(run("--schema").stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    file = tmp_path / "config.yaml"

    def of(document):
        file.write_text(json.dumps(document))
        return validator.is_valid(document), run("--config.file", file).returncode == 0

    return of


def test_the_whole_configuration_has_every_key():
    documented = set(keys(json.loads(run("--schema").stdout)))
    present = set()
    for path in paths(WHOLE):
        names = [("[]",) if isinstance(step, int) else (step, "*") for step in path]
        present.update(itertools.product(*names))
    # Left out: the other places of a secret, and the profile, because it needs a file.
    missing = {path for path in documented - present if path[-1] not in ("env", "file", "profile")}
    assert len(documented) > 100 and not missing, missing


def test_the_schema_and_check_agree(verdicts):
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


def test_the_schema_and_check_read_the_same_durations(verdicts):
    # All are within the range of this setting, 1 minute to 30 days.
    units = {
        "90000000000": "nanos nsec ns",
        "90000000": "usec us µs",
        "90000": "millis msec ms",
        "90": "seconds second secs sec s",
        "2": "minutes minute mins min m hours hour hrs hr h days day d weeks week wks wk w",
        "0.5": "months month M",
        "0.05": "years year yrs yr y",
    }
    durations = [number + unit for number, names in units.items() for unit in names.split()]
    durations += ["1.5h", "1 h 30 m", "1h30m", " 2 0 min ", "0. 5 d", "1h0.5m"]
    no_durations = ["90", "h", "1.h", ".5h", "-1h", "1 fortnight", "1H", "1 msecs", "1e3s", "1h 30", "1,5h", "1h, 30m"]
    for text, is_duration in [(text, True) for text in durations] + [(text, False) for text in no_durations]:
        assert verdicts(changed(("collectors", "sessions", "max_duration"), text)) == (is_duration, is_duration), text


def test_the_example_fits_the_schema():
    schema = json.loads(run("--schema").stdout)
    text = run("--example").stdout
    assert text == (ROOT / "config.example.yaml").read_text()
    Draft202012Validator(schema).validate(yaml.safe_load(text))
