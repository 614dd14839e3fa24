"""The FinOps Foundation's validator checks `report --format focus`: the report lacks only the columns of a bill."""

import csv
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as xml
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import sdk
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY

focus_validator = pytest.importorskip("focus_validator", reason="its dependencies need Python 3.12 or older")

# Columns that usage does not have: an account that pays, a currency and prices.
ONLY_IN_A_BILL = {
    "BilledCost": "0.0",
    "BillingAccountId": "account",
    "BillingCurrency": "CNY",
    "ContractedCost": "0.0",
    "EffectiveCost": "0.0",
    "ListCost": "0.0",
    "SkuPriceId": "price",
}
# Columns for which the rules of the validator have other names than the specification.
OTHER_NAMES = {
    "InvoiceIssuerName": "InvoiceIssuer",
    "ProviderName": "Provider",
    "PublisherName": "Publisher",
    "ResourceId": "ResourceID",
}


def report(simulator, directory):
    project = dict(region="cn-north-4", endpoint=simulator, labels={"team": "a\"b", "site": "上海"})
    projects = [project | dict(name=name, project_id=id) for name, id in sdk.PROJECTS.items()]
    credentials = {"main": {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}}
    (directory / "config.yaml").write_text(json.dumps({"credentials": credentials, "projects": projects}))
    month = f"{datetime.now().replace(day=1) - timedelta(days=1):%Y-%m}"
    command = [BINARY, "report", f"--config.file={directory / 'config.yaml'}", f"--month={month}", "--format=focus"]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def failed_rules(text, directory):
    """Checks a file against all rules of FOCUS 1.0. Returns the names of the broken rules."""
    (directory / "focus.csv").write_text(text)
    command = [sys.executable, "-c", "from focus_validator.main import main; main()"]
    command += [f"--data-file={directory / 'focus.csv'}", "--validate-version=1.0", "--column-namespace=x_"]
    command += ["--output-type=unittest", f"--output-destination={directory / 'rules.xml'}"]
    # It looks for the currencies below its working directory.
    ended = subprocess.run(command, cwd=Path(focus_validator.__file__).parents[1], capture_output=True, text=True)
    assert (directory / "rules.xml").exists(), ended.stdout + ended.stderr
    suites = xml.parse(directory / "rules.xml").getroot()
    assert int(suites.get("tests")) == 133
    return sorted(failure.get("name") for failure in suites.iter("failure"))


def test_only_a_bill_has_what_the_report_lacks(simulator, tmp_path):
    text = report(simulator, tmp_path)
    header, *rows = csv.reader(io.StringIO(text))
    assert len(rows) > 100
    rows = [dict(zip(header, row, strict=True)) for row in rows]

    def written(rows):
        rows = [{OTHER_NAMES.get(name, name): cell for name, cell in row.items()} for row in rows]
        file = io.StringIO()
        # A rule still reads a name of FOCUS 0.5.
        writer = csv.DictWriter(file, [*rows[0], "ChargeType"])
        writer.writeheader()
        writer.writerows(row | {"ChargeType": row["ChargeCategory"]} for row in rows)
        return file.getvalue()

    lacking = [f"{name}_{'Nullable' if name == 'SkuPriceId' else 'NotNull'}" for name in ONLY_IN_A_BILL]
    assert failed_rules(written(rows), tmp_path) == lacking
    # With the columns of a bill, it is valid.
    rows = [row | ONLY_IN_A_BILL for row in rows]
    assert failed_rules(written(rows), tmp_path) == []
    # The validator finds faults.
    rows[0]["ChargePeriodStart"] = "2026-10-01"
    rows[1]["ServiceCategory"] = "Video"
    rows[2]["Tags"] = "team"
    wrong = ["ChargePeriodStart_IsDateTime", "ServiceCategory_Enum", "Tags_IsJSONObject"]
    assert failed_rules(written(rows), tmp_path) == wrong
