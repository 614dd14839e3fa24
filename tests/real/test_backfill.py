"""After the printed commands, Prometheus and VictoriaMetrics hold every sample of 13 months of 20 projects."""

import json
import re
import shutil
import subprocess
from collections import namedtuple
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
import requests
import yaml
from huaweicloudsdkmetastudio.v1 import ShowUsageDataRequest

import sdk
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, LISTEN, SECRET_KEY, Running, free_port, wait_for
from dashboards import DASHBOARDS
from grafana_queries import ask, fill_in
from monitoring import start_prometheus

RULES = Path("deploy/prometheus/metastudio.rules.yml").absolute()
ZONE = timezone(timedelta(hours=8))
DAY = timedelta(days=1)
# The longest step, so that there are few samples.
STEP = 3 * 3600


def midnight(day):
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def local_day(time):
    return datetime.fromtimestamp(time, ZONE).date()


def months_before(day, months):
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


FIRST = months_before(datetime.now(ZONE).date(), 12)


def days_of_the_cloud(cloud, project_id, first, end):
    """The usage of each day by type: exact minutes, and number."""
    days, client = {}, sdk.client(cloud, project_id)
    while first < end:
        last = min(months_before(first, -1), end)
        times = [midnight(day).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for day in (first, last)]
        request = ShowUsageDataRequest(start_time=times[0], end_time=times[1], limit=1000)
        # The SDK does not know the field number.
        answer = json.loads(client.show_usage_data(request).raw_content, parse_float=Decimal)
        for bucket in answer["time_list"]:
            day = datetime.fromisoformat(bucket["time"].replace("Z", "+00:00")).astimezone(ZONE).date()
            for row in bucket["resources_usage"]:
                key = (row.get("resource_type", ""), row["business_type"])
                minutes, number = days.setdefault(day, {}).get(key, (Decimal(0), 0))
                factor = {"MIN": 1, "HOUR": 60}[row["unit"]]
                days[day][key] = (minutes + row["usage"] * factor, number + row["number"])
        first = last
    return days


def first_days(days):
    """The day on which each type was first seen."""
    types = sorted({key for usage in days.values() for key in usage})
    return {key: min(day for day, usage in days.items() if key in usage) for key in types}


def expected(usage, end):
    """All samples before `end`: by series, then by time in seconds."""
    samples = {}

    def add(times, value, **labels):
        key = frozenset((label, text) for label, text in labels.items() if text)
        samples.setdefault(key, {}).update({time: value for time in times if time < end})

    for name, days in usage.items():
        first_seen = first_days(days)
        sums, day = {}, FIRST
        while midnight(day).timestamp() < end:
            start = int(midnight(day).timestamp())
            if day.day == 1:
                sums = {}
            today, yesterday = days.get(day, {}), days.get(day - DAY, {})
            for key, (minutes, number) in today.items():
                before = sums.get(key, (Decimal(0), 0))
                sums[key] = (before[0] + minutes, before[1] + number)
            for window, of_window, last, times in [
                ("yesterday", yesterday, day - DAY, [*range(start, start + 24 * 3600, STEP), end - 1]),
                ("this_month", sums, day, [start + 24 * 3600 - 1]),
            ]:
                times = [time for time in times if local_day(time) == day]
                seen = [key for key in first_seen if first_seen[key] <= last]
                if last < FIRST or not seen:
                    continue
                total = Decimal(0)
                for resource_type, business_type in seen:
                    minutes, number = of_window.get((resource_type, business_type), (Decimal(0), 0))
                    total += minutes
                    labels = dict(project=name, job="metastudio", instance="backfill", window=window, team='a"b')
                    labels |= dict(resource_type=resource_type, business_type=business_type)
                    add(times, float(minutes), __name__="metastudio_usage_minutes", **labels)
                    add(times, float(number), __name__="metastudio_usage_number", **labels)
                add(times, float(total), __name__=f"project:metastudio_usage_minutes:{window}", project=name)
            day += DAY
    return {key: values for key, values in samples.items() if values}


SELECTORS = ['{instance="backfill"}', '{__name__=~"project:metastudio_usage_minutes:(yesterday|this_month)"}']


def write_config(path, cloud, projects):
    """Writes a configuration for projects, given as settings by name."""
    common = {"endpoint": cloud, "labels": {"team": 'a"b'}}
    projects = [common | {"name": name} | settings for name, settings in projects.items()]
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    text = {"api": {"requests_per_second": 1000}, "credentials": {"main": keys}, "projects": projects}
    path.write_text(json.dumps(text))
    return path


def backfill(config, first, output, *flags):
    command = [BINARY, "backfill", f"--config.file={config}", f"--from={first:%Y-%m}", f"--output={output}"]
    command += [f"--step={STEP}s", *flags]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def commands(output):
    """The commands that are printed: the flag of Prometheus, and the script that makes the blocks."""
    return [re.sub(r"^     ", "", block, flags=re.M) for block in re.findall(r"(?:^     .*\n)+", output, re.M)]


def make_blocks(script):
    """Runs the printed script. Returns the sum of the column NUM SAMPLES."""
    ended = subprocess.run(["sh", "-e", "-c", script], env=ENVIRONMENT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()]
    return sum(int(row[4]) for row in rows if re.fullmatch(r"[0-9A-Z]{26}", row[0]))


History = namedtuple("History", "directory cloud ids usage output samples end")


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """The directory of the files, the cloud with its projects and their usage, the output, and all expected samples."""
    directory = tmp_path_factory.mktemp("history")
    with Running(directory, BINARY, "simulate", LISTEN, "--projects=20") as running:
        cloud = running.find(r"is at (http://[0-9.:]+)")
        projects = yaml.safe_load(running.text().split("A configuration for it:\n")[1])["projects"]
        ids = {project["name"]: project["project_id"] for project in projects}
        assert len(set(ids.values())) == 20
        config = write_config(directory / "config.yaml", cloud, {name: {"project_id": ids[name]} for name in ids})
        ended = backfill(config, FIRST, directory / "out")
        assert ended.returncode == 0, ended.stderr
        manifest = json.loads((directory / "out/manifest.json").read_text())
        end = int(datetime.fromisoformat(manifest["range"][1].replace("Z", "+00:00")).timestamp())
        usage = {name: days_of_the_cloud(cloud, ids[name], FIRST, local_day(end) + DAY) for name in ids}
        samples = expected(usage, end)
        count = sum(len(values) for values in samples.values())
        assert manifest["samples"] == count > 300_000
        assert f"NUM SAMPLES must add up to {count}." in ended.stdout
        yield History(directory, cloud, ids, usage, ended.stdout, samples, end)


def assert_same(found, samples):
    assert found.keys() == samples.keys()
    for series, values in samples.items():
        assert found[series] == values, series


def write_prometheus(path, *exporters):
    """Writes a configuration with the rules as they are shipped."""
    scrapes = [{"job_name": "metastudio", "static_configs": [{"targets": [*exporters]}]}] if exporters else []
    every = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    path.write_text(yaml.safe_dump({"global": every, "rule_files": [str(RULES)], "scrape_configs": scrapes}))
    return path


def is_unusual(of_days, day):
    """The condition of MetaStudioUnusualDay, on the day after `day`."""
    return of_days[day] > 60 + of_days[day - 7 * DAY] + of_days[day - 14 * DAY]


def has_stopped(of_days, day):
    """The condition of MetaStudioNoUsage."""
    return of_days[day] == 0 and of_days[day - 7 * DAY] > 0 and of_days[day - 14 * DAY] > 0


CONDITIONS = {"MetaStudioUnusualDay": is_unusual, "MetaStudioNoUsage": has_stopped}


def minutes_of_days(days, first, end):
    """The minutes of each day, of all types."""
    minutes, day = {}, first
    while day < end:
        minutes[day] = sum((minutes for minutes, _ in days.get(day, {}).values()), Decimal(0))
        day += DAY
    return minutes


def test_prometheus_holds_every_sample_and_alerts_work_at_once(history, tmp_path):
    """A running Prometheus scrapes the exporter and evaluates the rules, and the blocks are moved into its directory.

    The exporter polls other projects under the same names, so that usage is unusual on the day of the import.
    """
    names = [*history.ids]
    polled = {name: {"project_id": history.ids[other]} for name, other in zip(names, names[1:] + names[:1])}
    polled[names[-1]]["user_ids"] = ["nobody"]
    config = write_config(tmp_path / "config.yaml", history.cloud, polled)
    [retention, script] = commands(history.output)
    (tmp_path / "exporter").mkdir()
    with Running(tmp_path / "exporter", BINARY, "serve", f"--config.file={config}", LISTEN) as exporter:
        address = exporter.find(r"listening address=(127\.0\.0\.1:\d+)")
        prometheus = write_prometheus(tmp_path / "prometheus.yml", address)
        with start_prometheus(tmp_path, prometheus, retention.strip()) as server:
            server.wait_to_find("count(project:metastudio_usage_minutes:yesterday) > 0")
            count = sum(len(values) for values in history.samples.values())
            assert make_blocks(script) == count
            for block in (history.directory / "out/blocks").iterdir():
                shutil.move(block, tmp_path / "data")

            # Prometheus looks for new blocks each minute.
            metric = "metastudio_usage_number"
            count = sum(len(values) for key, values in history.samples.items() if ("__name__", metric) in key)
            server.wait_to_find(f'sum(count_over_time({metric}{{instance="backfill"}}[500d])) == {count}', timeout=120)
            found = {}
            for selector in SELECTORS:
                for one in server.get_json("/api/v1/query", query=f"{selector}[500d]")["data"]["result"]:
                    values = {int(float(time)): float(value) for time, value in one["values"]}
                    values = {time: value for time, value in values.items() if time < history.end}
                    found[frozenset(one["metric"].items())] = values
            assert_same({series: values for series, values in found.items() if values}, history.samples)

            def alerts():
                """The alerts that look back, with their projects. They are pending for hours before they fire."""
                found = [alert["labels"] for alert in server.get_json("/api/v1/alerts")["data"]["alerts"]]
                found = [labels for labels in found if labels["alertname"] in CONDITIONS]
                return {(labels["alertname"], labels["project"], labels["team"]) for labels in found}

            def right():
                """The expected alerts: since yesterday, each name has the usage of another project."""
                today = datetime.now(ZONE).date()
                right = set()
                for name, other in zip(names, names[1:] + names[:1]):
                    of_days = minutes_of_days(history.usage[name], FIRST, today)
                    yesterday = minutes_of_days(history.usage[other], today - DAY, today)[today - DAY]
                    of_days[today - DAY] = Decimal(0) if name == names[-1] else yesterday
                    fire = [alert for alert, fires in CONDITIONS.items() if fires(of_days, today - DAY)]
                    right |= {(alert, name, 'a"b') for alert in fire}
                return right

            wait_for(lambda: alerts() == right(), "the alerts that look back")
            assert {alert for alert, _, _ in right()} == {*CONDITIONS}


# Seconds between two samples of the exporter.
SCRAPE = 300
# The names of the default projects.
DEFAULT = ["studio-prod", "live-commerce", "campaign"]


def scraped(usage, first_seen, start, end):
    """The samples that Prometheus scrapes from an exporter in this time, as OpenMetrics."""
    families = {}

    def add(name, time, value, **labels):
        labels |= dict(job="metastudio", instance="exporter-1:9877", team='a\\"b')
        series = ",".join(f'{label}="{text}"' for label, text in labels.items())
        families.setdefault(f"{name}{{{series}}}", []).append(f"{value} {time}")

    for name, days in usage.items():
        for time in range(start, end, SCRAPE):
            yesterday = days.get(local_day(time) - DAY, {})
            add("metastudio_up", time, 1, project=name)
            add("metastudio_poll_interval_seconds", time, SCRAPE, project=name)
            for key in first_seen[name]:
                minutes, number = yesterday.get(key, (Decimal(0), 0))
                labels = dict(project=name, window="yesterday", resource_type=key[0], business_type=key[1])
                add("metastudio_usage_minutes", time, minutes, **labels)
                add("metastudio_usage_number", time, number, **labels)
    return "".join(f"{series} {sample}\n" for series, samples in families.items() for sample in samples) + "# EOF\n"


def import_text(text, path, data):
    path.write_text(text)
    make_blocks(f"promtool tsdb create-blocks-from --max-block-duration=744h openmetrics '{path}' '{data}'")


# The recording rules of usage. Each group of rules needs the groups before it.
RECORDED = [
    ["project_window:metastudio_usage_minutes:sum", "project:metastudio_project:labels"],
    ["project:metastudio_usage_minutes:yesterday"],
]


def recorded(url, names, start, end):
    """The results of these rules at each time, as OpenMetrics. Prometheus evaluates rules only for the present."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    rules = {rule["record"]: rule["expr"] for rule in group["rules"] if "record" in rule}
    text = ""
    for name in names:
        for series in ask(url, "query_range", query=rules[name], start=start, end=end, step=SCRAPE)["result"]:
            labels = ",".join(f"{label}={json.dumps(value)}" for label, value in series["metric"].items())
            text += "".join(f"{name}{{{labels}}} {value} {time}\n" for time, value in series["values"])
    return text + "# EOF\n"


@pytest.mark.parametrize("gap", [0, 3 * 3600], ids=["the first sample", "three hours before"])
def test_alerts_and_daily_panels_work_over_the_seam(gap, history, tmp_path):
    """The exporter has run for two weeks and two days. The backfill ends when this run began, or three hours before.

    Without --to, the backfill ends three hours before.
    """
    today = datetime.now(ZONE).date()
    first_day = today - 16 * DAY
    # Just before a step, so that the previous step is as long ago as possible.
    seam = int(midnight(first_day).timestamp()) + 12 * 3600 - SCRAPE
    end = int(midnight(today).timestamp())
    first = months_before(first_day, 1)
    projects = {name: {"project_id": history.ids[name]} for name in DEFAULT}
    config = write_config(tmp_path / "config.yaml", history.cloud, projects)
    ended = backfill(config, first, tmp_path / "out", f"--to={datetime.fromtimestamp(seam - gap, ZONE).isoformat()}")
    assert ended.returncode == 0, ended.stderr
    [retention, script] = commands(ended.stdout)
    make_blocks(script)
    shutil.move(tmp_path / "out/blocks", tmp_path / "data")

    usage = {name: {day: dict(types) for day, types in history.usage[name].items() if day >= first} for name in DEFAULT}
    first_seen = {name: first_days(days) for name, days in usage.items()}

    def change(name, days, factor):
        """Multiplies the usage of one day, which is this many days after the first day."""
        types = usage[name][first_day + days * DAY]
        types.update({key: (minutes * factor, number * factor) for key, (minutes, number) in types.items()})

    # Both weeks have days with too much usage and days without usage. A week after a day with too much usage, a day
    # with the usual usage must not count as a day without usage.
    change("studio-prod", 3, 20)
    change("studio-prod", 4, 0)
    change("live-commerce", 0, 0)
    change("campaign", 9, 20)
    change("live-commerce", 10, 0)
    import_text(scraped(usage, first_seen, seam, end), tmp_path / "scraped.om", tmp_path / "data")
    prometheus = write_prometheus(tmp_path / "prometheus.yml")

    @contextmanager
    def started():
        with start_prometheus(tmp_path, prometheus, retention.strip()) as server:
            server.wait_to_find("vector(1)")
            yield server.url

    for names in RECORDED:
        with started() as url:
            text = recorded(url, names, seam, end - SCRAPE)
        import_text(text, tmp_path / "recorded.om", tmp_path / "data")
    with started() as url:
        assert_alerts(url, usage, seam, gap, end)
        assert_daily_panels(url, usage, first_seen, first_day - 10 * DAY, today)


def assert_alerts(url, usage, seam, gap, end):
    """Compares the expressions of the alerts with the usage, each half an hour from a week before the seam on."""
    groups = ask(url, "rules")["groups"]
    queries = {rule["name"]: rule["query"] for group in groups for rule in group["rules"]}
    half_hour = 1800
    start = int(midnight(local_day(seam)).timestamp()) - 7 * 24 * 3600
    times = range(start, end, half_hour)

    def fired(query):
        """For each time, the value of each project."""
        fired = {time: {} for time in times}
        for series in ask(url, "query_range", query=query, start=start, end=end - 1, step=half_hour)["result"]:
            for time, value in series["values"]:
                fired[int(time)][series["metric"]["project"]] = float(value)
        return fired

    of_days = {name: minutes_of_days(days, min(days), local_day(end)) for name, days in usage.items()}
    weeks = set()
    for alert, is_right in CONDITIONS.items():
        shown = {"MetaStudioUnusualDay": 0, "MetaStudioNoUsage": 7}[alert] * DAY
        # An alert needs the labels of the project, which only an exporter exports.
        condition, labels = queries[alert].split(" * on (project) group_right () ")
        assert labels == "project:metastudio_project:labels"
        alerts, conditions = fired(queries[alert]), fired(condition)
        for time in times:
            day = local_day(time) - DAY
            right = {name: float(days[day - shown]) for name, days in of_days.items() if is_right(days, day)}
            assert alerts[time] == pytest.approx(right if time >= seam else {}), (alert, time)
            # Before the seam, samples exist only at the steps, and no polls succeed.
            if alert == "MetaStudioUnusualDay" and (time >= seam or time < seam - gap and (time - start) % STEP == 0):
                assert conditions[time] == pytest.approx(right), (alert, time)
            if right:
                weeks.add((alert, (time - seam) // (7 * 24 * 3600)))
    # Each fires in both weeks after the seam.
    assert weeks >= {(alert, week) for alert in CONDITIONS for week in (0, 1)}


def assert_daily_panels(url, usage, first_seen, first, end):
    """Compares each bar of the panels of daily usage with the usage. The last bar is the day before yesterday."""
    panels = [(dashboard, panel) for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]]
    panels = [(dashboard, panel) for dashboard, panel in panels if panel.get("interval") == "1d"]
    assert len(panels) == 4
    days = [first + number * DAY for number in range((end - DAY - first).days)]
    for dashboard, panel in panels:
        of_one = dashboard["uid"] == "metastudio-project"
        values = {"project": "campaign" if of_one else ".+", "business_type": ".+", "window": "yesterday"}
        [target] = panel["targets"]
        query = fill_in(target["expr"], values, [("latest", str(int(midnight(end).timestamp()) - SCRAPE))])
        # Grafana aligns steps of a day to midnights of UTC. Each of them is within the local day of its bar.
        start = int(midnight(days[0]).timestamp()) + 8 * 3600
        bars = dict(query=query, start=start, end=start + (len(days) - 1) * 24 * 3600, step=24 * 3600)
        found = {
            (frozenset(series["metric"].items()), local_day(time)): float(value)
            for series in ask(url, "query_range", **bars)["result"]
            for time, value in series["values"]
        }
        right = {}
        names = re.findall(r"{{(\w+)}}", target["legendFormat"])
        for name in [values["project"]] if of_one else DEFAULT:
            for day in days:
                for (resource_type, business_type), seen in first_seen[name].items():
                    labels = dict(project=name, resource_type=resource_type, business_type=business_type)
                    key = frozenset((label, labels[label]) for label in names if labels[label]), day
                    used = usage[name].get(day, {}).get((resource_type, business_type), (Decimal(0), 0))
                    if seen <= day:
                        right[key] = right.get(key, 0) + float(used["metastudio_usage_number" in query])
        assert found == pytest.approx(right), panel["title"]


def test_verify_makes_blocks_and_does_not_mix_them_with_those_of_an_earlier_run(history, tmp_path):
    projects = {"campaign": {"project_id": history.ids["campaign"]}}
    config = write_config(tmp_path / "config.yaml", history.cloud, projects)
    ended = backfill(config, months_before(FIRST, -11), tmp_path / "out", "--verify")
    assert ended.returncode == 0, ended.stderr
    count = json.loads((tmp_path / "out/manifest.json").read_text())["samples"]
    assert f"promtool stored {count} of {count} samples" in ended.stdout
    again = backfill(config, months_before(FIRST, -11), tmp_path / "out", "--verify")
    assert again.returncode == 1 and "has blocks of an earlier run" in again.stderr, again.stderr


@pytest.fixture
def victoria_metrics(tmp_path):
    """A function that starts VictoriaMetrics with flags. It returns the address."""
    running = []

    def start(*flags):
        port = free_port()
        data = tmp_path / "data"
        address = f"http://127.0.0.1:{port}"
        command = ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={data}", *flags]
        running.append(Running(tmp_path, *command))

        def answers():
            try:
                return requests.get(f"{address}/health").ok
            except requests.ConnectionError:
                return False

        wait_for(answers, "VictoriaMetrics")
        return address

    yield start
    for one in running:
        one.stop()


def test_victoria_metrics_holds_every_sample(history, victoria_metrics):
    url = victoria_metrics("-retentionPeriod=20")
    flags = [f"--to={datetime.fromtimestamp(history.end, ZONE).isoformat()}", f"--push={url}"]
    ended = backfill(history.directory / "config.yaml", FIRST, history.directory / "out", *flags)
    assert ended.returncode == 0, ended.stderr
    found = {}
    for selector in SELECTORS:
        parameters = {"match[]": selector, "start": int(midnight(FIRST).timestamp())}
        for line in requests.get(f"{url}/api/v1/export", params=parameters).text.splitlines():
            one = json.loads(line)
            values = dict(zip([time // 1000 for time in one["timestamps"]], map(float, one["values"]), strict=True))
            found[frozenset(one["metric"].items())] = values
    assert_same(found, history.samples)


def test_samples_that_victoria_metrics_drops_are_an_error(history, tmp_path, victoria_metrics):
    flags = ["--project=campaign", f"--push={victoria_metrics()}"]
    ended = backfill(history.directory / "config.yaml", FIRST, tmp_path / "out", *flags)
    assert ended.returncode == 1 and "-retentionPeriod, one month by default" in ended.stderr, ended.stderr
