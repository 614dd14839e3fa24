"""The status page in a real browser: few and many projects, no scripts, both languages, light and dark, a phone, and
hostile names.

With METASTUDIO_SCREENSHOTS=docs/images it also takes the screenshots of the README.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from conftest import ACCESS_KEY, BINARY, LISTEN, SECRET_KEY, Running, simulated_cloud, wait_until_ready

PROJECT_IDS = [f"5f0d1e2c3b4a59687786a5b4c3d2e10{n}" for n in (1, 2, 3)]
HOSTILE = "\"'><img src=x onerror=alert(1)></style><script>alert(2)</script>"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # Chromium has no sandbox when it runs as root, as it may in CI. It only opens pages of 127.0.0.1.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens an address in a new window. The test fails if the page logs, blocks or requests anything from elsewhere."""
    contexts, complaints = [], []

    def open_page(address, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        origin = address.split("?")[0]

        def complain(message):
            # Browsers request this icon for a page of plain text. The status page does not let them.
            if message.location["url"] != origin + "favicon.ico":
                complaints.append(message.text)

        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: request.url.startswith(origin) or complaints.append(request.url))
        page.address = origin
        assert page.goto(address).status == 200
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def exporter(directory, simulator, projects, windows=("today", "this_month", "30d")):
    """An exporter that has polled these projects of a simulated cloud, and its address.

    The window of 30 days has usage in the first hours of a month, too.
    """
    (directory / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "poll": {"interval": "1h", "concurrency": 32},
                "windows": list(windows),
                "api": {"requests_per_second": 1000},
                "credentials": {"main": {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}},
                "projects": [
                    {"region": "cn-north-4", "endpoint": simulator, "project_id": PROJECT_IDS[n % 3], **project}
                    for n, project in enumerate(projects)
                ],
            }
        )
    )
    running = Running(directory, BINARY, f"--config.file={directory}/config.yaml", LISTEN)
    address = "http://" + running.find(r"address=(127\.0\.0\.1:[0-9]+)")
    wait_until_ready(address)
    return running, address + "/"


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(simulator, projects, **options):
        running, address = exporter(tmp_path, simulator, projects, **options)
        started.append(running)
        return address

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The address of a simulated cloud that forbids access to the project `campaign`."""
    with simulated_cloud(tmp_path_factory.mktemp("broken"), "--fault=forbidden:project=campaign") as address:
        yield address


def fits(page):
    """Whether the page does not scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_project_shows_the_minutes_of_its_metrics(serve, simulator, visit):
    page = visit(serve(simulator, [{"name": "studio"}]))
    assert page.locator("article.ok h2").all_inner_texts() == ["studio"]
    metrics = requests.get(page.address + "metrics").text

    def total(metric, window):
        lines = [line for line in metrics.splitlines() if line.startswith(metric) and f'window="{window}"' in line]
        return sum(float(line.split()[-1]) for line in lines)

    names = {"today": "today", "30d": "of the last 30\u00a0d", "this_month": "this month"}
    minutes = {window: total("metastudio_usage_minutes", window) for window in names}
    assert minutes["30d"] > 0
    for window, name in names.items():
        shown = page.locator(f"dt:text-is('Minutes {name}') + dd").inner_text()
        assert float(shown.replace(",", "")) == pytest.approx(minutes[window], abs=1e-9), window
    assert page.locator("dt:text-is('Next poll') + dd").inner_text().startswith(("in 59 min (", "in 60 min ("))
    assert " s ago (" in page.locator("dt:text-is('Usage as of') + dd").inner_text()
    # The bars of the days add up to the minutes of the month. On the second day there is no bar before the first usage of
    # this day, because the only bucket of the month may hold both days.
    today, month = (total("metastudio_window_start_timestamp_seconds", window) for window in ("today", "this_month"))
    has_one_bucket = today - month == 24 * 3600 and minutes["today"] == 0
    bars = page.locator("rect.day title").all_text_contents()
    shown = sum(float(bar.split(": ")[1].replace(",", "")) for bar in bars)
    assert shown == pytest.approx(0 if has_one_bucket else minutes["this_month"], abs=1e-6)
    for link, word in [("Metrics", "metastudio_up"), ("Documentation", "Usage minutes of"), ("Ready?", "Ready.")]:
        page.get_by_role("link", name=link).click()
        assert word in page.locator("body").inner_text()
        page.go_back()


def test_many_projects_are_paged_and_searched_without_scripts(serve, simulator, visit):
    projects = [{"name": f"studio-{n:03}", "labels": {"team": f"team-{n % 7}"}} for n in range(150)]
    page = visit(serve(simulator, projects), java_script_enabled=False)
    assert page.locator("tbody tr").count() == 100 and page.locator("article").count() == 0
    page.get_by_role("link", name="2", exact=True).click()
    assert page.locator("tbody th a").first.inner_text() == "studio-100"
    page.get_by_role("link", name="studio-100").click()
    assert page.locator("article h2").all_inner_texts() == ["studio-100"]
    page.go_back()
    page.get_by_role("link", name="← Previous").click()
    page.get_by_role("link", name="Cards").click()
    page.wait_for_load_state()
    assert page.locator("article").count() == 50
    page.get_by_role("link", name="3", exact=True).click()
    assert page.locator("article h2").first.inner_text() == "studio-100"
    page.get_by_role("searchbox").fill("team-3 studio-01")
    page.get_by_role("button").click()
    assert page.locator("article h2").all_inner_texts() == ["studio-010", "studio-017"]
    assert page.get_by_role("searchbox").input_value() == "team-3 studio-01"
    page.locator("summary").first.click()
    assert page.locator("table").first.is_visible()


def test_two_thousand_projects_are_paged_and_searched(serve, simulator, visit):
    page = visit(serve(simulator, [{"name": f"p{n:04}"} for n in range(2000)], windows=["today"]))
    assert page.locator("nav .chip").all_inner_texts()[0] == "all 2000"
    assert page.get_by_role("region", name="Total").locator("h2").inner_text() == "Total 2,000 projects"
    page.get_by_role("link", name="20", exact=True).click()
    assert page.locator("tbody th a").last.inner_text() == "p1999"
    page.get_by_role("searchbox").fill("p1234")
    page.get_by_role("searchbox").press("Enter")
    assert page.locator("article h2").all_inner_texts() == ["p1234"]


def test_hostile_names_and_queries_are_only_text(serve, simulator, visit):
    project = {"name": HOSTILE, "region": "r", "labels": {"team": HOSTILE}}
    address = serve(simulator, [project])
    for path in ["", f"?q={quote(HOSTILE)}", f"?q={HOSTILE}&state={HOSTILE}&page={HOSTILE}"]:
        page = visit(address + path)
        assert page.locator("script, img").count() == 0 and page.locator("style").count() == 1
        if not path:
            assert page.locator("article h2").inner_text() == HOSTILE
        else:
            assert page.get_by_role("searchbox").input_value() in (HOSTILE, HOSTILE.split("&")[0])


def test_the_content_security_policy_stops_scripts(serve, simulator, browser):
    """If an attacker could insert an element into the page, its script would still not run."""
    context = browser.new_context()
    page = context.new_page()
    blocked = []
    page.on("console", lambda message: blocked.append(message.text))
    page.goto(serve(simulator, [{"name": "a"}]))
    page.evaluate(
        """() => document.body.insertAdjacentHTML("beforeend",
            "<img src=x onerror='window.broken = 1'><style>h1 { display: none }</style><p id=p style='color: red'>")"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.broken") is None and page.locator("h1").is_visible()
    assert any("Content Security Policy" in text or "Content-Security-Policy" in text for text in blocked), blocked
    context.close()


def test_failing_projects_come_first_with_reason_request_id_and_remedy(serve, broken, visit):
    address = serve(broken, [{"name": name} for name in ["studio-prod", "live-commerce", "campaign"]])
    page = visit(address)
    first = page.locator("article").first
    assert first.get_attribute("class") == "card failing" and first.locator("h2").inner_text() == "campaign"
    text = first.locator(".notice").inner_text()
    assert "Permission is missing" in text and "(forbidden)" in text and "HTTP 403" in text
    assert "request id" in text and "grant it the access policy" in text
    page.get_by_role("link", name="failing 1").click()
    assert page.locator("article").count() == 1
    page.get_by_role("link", name="What to do").click()
    assert page.locator("h1").inner_text() == "MetaStudioPollRefused"
    chinese = visit(address, locale="zh-CN")
    assert "缺少权限" in chinese.locator(".notice").inner_text()
    assert chinese.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_axe_finds_no_accessibility_problem(serve, broken, visit, scheme, language):
    """Axe-core checks contrast, names of controls and structure."""
    budgets = [{"window": window, "minutes": n} for window, n in [("30d", 1), ("today", 1000000)]]
    projects = [{"name": "studio-prod", "budgets": budgets}, {"name": "b"}, {"name": "campaign"}]
    page = visit(serve(broken, projects), color_scheme=scheme, locale=language)
    assert page.locator("article.over-budget .state").first.is_visible() and page.locator("article.failing").count()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(17, 21, 27)") == (scheme == "dark")
    for path in ["", "?view=table", "?q=nothing", "docs/README", "docs/README.zh-CN", "docs/run/kubernetes"]:
        page.goto(page.address + path)
        found = Axe().run(page).response["violations"]
        assert found == [], [(path, violation["id"], violation["nodes"][0]["html"]) for violation in found]


def test_the_page_fits_a_phone(serve, broken, visit):
    projects = [{"name": "a" * 120}, {"name": "b", "labels": {"team": "c" * 100}}, {"name": "campaign"}]
    page = visit(serve(broken, projects), viewport={"width": 360, "height": 740})
    assert fits(page)
    page.locator("summary").first.click()
    assert fits(page)
    for path in ["?view=table", "docs/README", "docs/README.zh-CN", "docs/contract", "docs/run/kubernetes"]:
        page.goto(page.address + path)
        assert fits(page), path


def test_the_page_refreshes_by_itself_without_scripts(serve, simulator, visit):
    """The browser loads the page again after a minute, with its query. The link stops it."""
    page = visit(serve(simulator, [{"name": "studio"}]) + "?state=ok", java_script_enabled=False)
    before = page.locator("header time").inner_text()
    with page.expect_navigation(url=page.address + "?state=ok", timeout=70_000):
        pass
    assert page.locator("header time").inner_text() != before
    page.get_by_role("link", name="Stop").click()
    assert page.get_by_text("Does not refresh by itself").is_visible()
    assert page.url == page.address + "?state=ok&refresh=off"


def test_the_documentation_is_read_without_scripts(serve, simulator, visit):
    page = visit(serve(simulator, [{"name": "studio"}]), java_script_enabled=False, locale="zh-CN")
    page.goto(page.address + "docs")
    assert page.url == page.address + "docs/" and page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_role("link", name="English", exact=True).first.click()
    assert page.url == page.address + "docs/README"
    # The style sheet is allowed by the policy.
    assert page.locator("main").evaluate("element => getComputedStyle(element).maxWidth") != "none"
    page.get_by_role("link", name="With systemd").first.click()
    assert page.url == page.address + "docs/run/systemd"
    page.get_by_role("link", name="Status page", exact=True).click()
    assert page.url == page.address


@pytest.mark.skipif("METASTUDIO_SCREENSHOTS" not in os.environ, reason="METASTUDIO_SCREENSHOTS is not set")
def test_take_the_screenshots_of_the_readme(tmp_path, visit):
    directory = Path(os.environ["METASTUDIO_SCREENSHOTS"])
    directory.mkdir(exist_ok=True)
    with Running(tmp_path, BINARY, "demo", "--all-green", LISTEN) as demo:
        address = demo.find(r"status page +(http://[0-9.:]+)/")
        wait_until_ready(address)
        for name, options in {"en": {}, "zh-CN": {"locale": "zh-CN", "color_scheme": "dark"}}.items():
            page = visit(address + "/", viewport={"width": 960, "height": 700}, **options)
            page.screenshot(path=directory / f"status-page.{name}.png", full_page=True)
