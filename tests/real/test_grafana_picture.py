"""The picture of the overview in the README, drawn by Grafana's components.

It is drawn only with METASTUDIO_SCREENSHOTS=docs/images. grafana/README.md says how to build the page that draws it.
"""

import json
import os
import shutil
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import sync_playwright

import sdk
from conftest import BINARY, LISTEN, Running, wait_until_ready
from dashboards import DASHBOARDS
from grafana_queries import find_series, selections
from grafana_series import DAY, SHANGHAI, import_series
from monitoring import start_prometheus

OVERVIEW = DASHBOARDS["metastudio-overview"]
DAYS = 30
# The picture ends above this row of the grid. The row has a pie chart, for which Grafana's packages have no component.
ROWS = 45
PICTURE = Path("target/picture")
PACKAGES = PICTURE / "node_modules"
ORIGIN = "http://grafana.example/"
# The directories of the files that the page requests, by the beginning of the requested path.
DIRECTORIES = {
    "": PICTURE / "dist",
    "public/build/img/icons/": PACKAGES / "@grafana/ui/dist/public/img/icons",
    "public/fonts/inter/": PACKAGES / "inter-ui/web",
}


def past(cloud):
    """The window `yesterday` on the past days, as it was polled every four hours."""
    midnight = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    yield "# TYPE metastudio_usage_minutes gauge"
    for project in sdk.PROJECTS:
        days = [midnight - timedelta(days=days) for days in range(DAYS, -1, -1)]
        usage = {day: sdk.minutes(cloud, project, day - timedelta(days=1), day) for day in days}
        for resource_type, business_type in sorted(set().union(*usage.values())):
            types = f'resource_type="{resource_type}",business_type="{business_type}"'
            labels = f'project="{project}",window="yesterday",{types}'
            for day in days:
                for moment in (day + timedelta(hours=hours) for hours in range(2, 24, 4)):
                    if moment.timestamp() < time.time():
                        minutes = usage[day].get((resource_type, business_type), 0)
                        yield f"metastudio_usage_minutes{{{labels}}} {minutes} {int(moment.timestamp())}"
    yield "# EOF\n"


@pytest.mark.skipif("METASTUDIO_SCREENSHOTS" not in os.environ, reason="METASTUDIO_SCREENSHOTS is not set")
def test_draw_the_picture_of_the_readme(tmp_path):
    with Running(tmp_path, BINARY, "demo", "--all-green", LISTEN) as demo:
        exporter = demo.find(r"status page +(http://[0-9.:]+)/")
        cloud = demo.find(r"simulated cloud \(at (http://[0-9.:]+)\)")
        import_series(past(cloud), tmp_path / "past.txt", tmp_path / "prometheus" / "data")
        wait_until_ready(exporter)
        config = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())
        config["global"]["scrape_interval"] = "1s"
        config["scrape_configs"][0]["static_configs"] = [{"targets": [exporter.removeprefix("http://")]}]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        retention = f"--storage.tsdb.retention.time={2 * DAYS}d"
        with start_prometheus(tmp_path / "prometheus", tmp_path / "prometheus.yml", retention) as prometheus:
            prometheus.wait_to_find("metastudio_package_left_minutes")
            overview = answered(prometheus.url)
    draw(overview, Path(os.environ["METASTUDIO_SCREENSHOTS"]) / "dashboard.en.png")


def answered(url):
    """The upper part of the overview: its variables are filled in, and each query has its answer."""
    now = time.time()
    values, _ = selections(url, OVERVIEW)
    # Titles and names of columns contain this variable.
    panels = json.loads(json.dumps(OVERVIEW["panels"]).replace("$window", values["window"]))
    panels = [panel for panel in panels if panel["gridPos"]["y"] < ROWS]
    for panel in panels:
        targets = panel.get("targets", [])
        for target in targets:
            target["answer"] = find_series(url, OVERVIEW, panel, target, values, DAYS * DAY, now)
        assert panel["type"] == "row" or any(target["answer"] for target in targets), panel["title"]
    return {"panels": panels, "from": 1000 * (now // DAY - DAYS) * DAY, "to": 1000 * now}


def draw(dashboard, picture):
    complaints = []

    def serve(route):
        path = route.request.url.removeprefix(ORIGIN)
        prefix = max(filter(path.startswith, DIRECTORIES), key=len)
        route.fulfill(path=DIRECTORIES[prefix] / path.removeprefix(prefix))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1800}, timezone_id="Asia/Shanghai")
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.route("**/*", serve)
        page.goto(ORIGIN + "page.html")
        page.evaluate("dashboard => draw(dashboard)", dashboard)
        # The icons are loaded, and the tables measure their columns.
        page.wait_for_timeout(2000)
        page.locator("main").screenshot(path=picture)
        browser.close()
    assert complaints == []
    subprocess.run(["pngquant", "--force", "--strip", "--output", picture, picture], check=True)
