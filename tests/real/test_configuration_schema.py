"""The JSON schema that editors use against `check`: what the schema marks as a fault is one, and it marks nearly all."""

import copy
import json
import subprocess
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from conftest import BINARY, ENVIRONMENT

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

ID = "0123456789abcdef0123456789abcdef"
WHOLE = {
    "x-shared": {"anything": 1},
    "poll": {"interval": "5m", "timeout": "60s", "concurrency": 8, "stale_after": "15m"},
    "windows": ["today", "this_month"],
    "timezone": "Asia/Shanghai",
    "api": {
        "request_timeout": "10s", "max_retries": 3, "requests_per_second": 5, "page_size": 1000,
        "iam_endpoint": "https://iam.example.com", "proxy": "http://proxy.example:3128",
    },
    "credentials": {
        "main": {"access_key": "a", "secret_key": {"env": "SECRET"}},
        "temporary": {"access_key": "a", "secret_key": "s", "security_token": "t"},
        "given": {"token": "t"},
        "robot": {"iam_user": {"domain": "d", "user": "u", "password": "p", "endpoint": "https://iam.example.com"}},
        "vm": {"ecs_agency": {}},
        "federated": {"oidc": {
            "provider_urn": "p", "agency_urn": "a", "id_token": "t", "policy_ids": ["x"], "session_name": "session",
            "duration": "1h", "endpoint": "https://sts.example.com",
        }},
        "pod": {"pod_identity": {"url": "http://10.0.0.1/x", "token": "t"}},
    },
    "defaults": {"region": "cn-north-4", "stale_after": "20m", "credentials": "main"},
    "projects": [{
        "name": "a", "region": "cn-north-4", "endpoint": "https://example.com", "project_id": ID,
        "credentials": "main", "labels": {"team": "x"}, "user_ids": ["u"], "app_user_id": "app",
        "resource_types": ["video_time_2d_model"], "business_types": ["VIDEO_2D"], "interval": "5m",
        "stale_after": "20m", "windows": ["today", "this_month"],
        "budgets": [{
            "window": "today", "minutes": 100, "resource_type": "video_time_2d_model",
            "business_type": "VIDEO_2D", "user_id": "u",
        }],
    }, {"name": "b", "project_id": ID.replace("0", "1")}],
}
ODD = ["", " ", "odd", "5m", "https://example.com/x", 7, -7.5, True, None, [], ["odd"], [7], {}, {"odd": 1}]


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
    # What needs other values, a zone's rules or an exact range is left to `check`.
    assert refused > 700 and len(missed) < refused / 8, (refused, len(missed), missed)


def test_the_example_fits_the_schema():
    schema = json.loads(run("--schema").stdout)
    text = run("--example").stdout
    assert text == EXAMPLE.read_text()
    Draft202012Validator(schema).validate(yaml.safe_load(text))
