"""Prometheus and VictoriaMetrics hold 13 months after the printed commands: every sample is compared."""

import json
import shutil
import subprocess
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
import requests
from huaweicloudsdkmetastudio.v1 import ShowUsageDataRequest

import sdk
from conftest import ACCESS_KEY, BINARY, ENVIRONMENT, SECRET_KEY, Running, free_port, wait_for
from monitoring import start_prometheus

NAMES = ["studio-prod", "campaign"]
ZONE = timezone(timedelta(hours=8))
DAY = timedelta(days=1)


def midnight(day):
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def months_before(day, months):
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


FIRST = months_before(datetime.now(ZONE).date(), 12)


def days_of_the_cloud(cloud, name, first, end):
    """The usage of each day by type: exact minutes, and number."""
    days = {}
    while first < end:
        last = min(months_before(first, -1), end)
        times = [midnight(day).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for day in (first, last)]
        request = ShowUsageDataRequest(start_time=times[0], end_time=times[1], limit=1000)
        # The SDK does not know the field number.
        answer = json.loads(sdk.client(cloud, name).show_usage_data(request).raw_content, parse_float=Decimal)
        for bucket in answer["time_list"]:
            day = datetime.fromisoformat(bucket["time"].replace("Z", "+00:00")).astimezone(ZONE).date()
            for row in bucket["resources_usage"]:
                key = (row.get("resource_type", ""), row["business_type"])
                minutes, number = days.setdefault(day, {}).get(key, (Decimal(0), 0))
                factor = {"MIN": 1, "HOUR": 60}[row["unit"]]
                days[day][key] = (minutes + row["usage"] * factor, number + row["number"])
        first = last
    return days


def expected(cloud, end):
    """All samples before `end`: by series, then by time in seconds."""
    samples = {}

    def add(times, value, **labels):
        key = frozenset((label, text) for label, text in labels.items() if text)
        samples.setdefault(key, {}).update({time: value for time in times if time < end})

    for name in NAMES:
        days = days_of_the_cloud(cloud, name, FIRST, datetime.fromtimestamp(end, ZONE).date())
        types = sorted({key for usage in days.values() for key in usage})
        first_seen = {key: min(day for day, usage in days.items() if key in usage) for key in types}
        sums, day = {}, FIRST
        while midnight(day).timestamp() < end:
            start = int(midnight(day).timestamp())
            if day.day == 1:
                sums = {}
            today, yesterday = days.get(day, {}), days.get(day - DAY, {})
            for key, (minutes, number) in today.items():
                before = sums.get(key, (Decimal(0), 0))
                sums[key] = (before[0] + minutes, before[1] + number)
            for window, usage, last, times in [
                ("yesterday", yesterday, day - DAY, [start + hour * 3600 for hour in range(24)]),
                ("this_month", sums, day, [start + 24 * 3600 - 1]),
            ]:
                seen = [key for key in types if first_seen[key] <= last]
                if last < FIRST or not seen:
                    continue
                total = Decimal(0)
                for resource_type, business_type in seen:
                    minutes, number = usage.get((resource_type, business_type), (Decimal(0), 0))
                    total += minutes
                    labels = dict(project=name, job="metastudio", instance="backfill", window=window)
                    labels |= dict(resource_type=resource_type, business_type=business_type)
                    add(times, float(minutes), __name__="metastudio_usage_minutes", **labels)
                    add(times, float(number), __name__="metastudio_usage_number", **labels)
                add(times, float(total), __name__=f"project:metastudio_usage_minutes:{window}", project=name)
            day += DAY
    return {key: values for key, values in samples.items() if values}


SELECTORS = ['{instance="backfill"}', '{__name__=~"project:metastudio_usage_minutes:(yesterday|this_month)"}']


def config(simulator, directory):
    projects = [
        dict(name=name, endpoint=simulator, project_id=sdk.PROJECTS[name], labels={"team": "a\"b"}) for name in NAMES
    ]
    text = {
        "api": {"requests_per_second": 1000},
        "credentials": {"main": {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}},
        "projects": projects,
    }
    path = directory / "config.yaml"
    path.write_text(json.dumps(text))
    return path


def backfill(directory, config, *flags):
    command = [BINARY, "backfill", f"--config.file={config}", f"--from={FIRST:%Y-%m}", f"--output={directory}", *flags]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def history(simulator, tmp_path_factory):
    """The directory with the files and blocks, the output, and all expected samples."""
    directory = tmp_path_factory.mktemp("history")
    ended = backfill(directory / "out", config(simulator, directory), "--verify")
    assert ended.returncode == 0, ended.stderr
    manifest = json.loads((directory / "out/manifest.json").read_text())
    end = int(datetime.fromisoformat(manifest["range"][1].replace("Z", "+00:00")).timestamp())
    samples = {key | {("team", 'a"b')} if ("instance", "backfill") in key else key: values
               for key, values in expected(simulator, end).items()}
    count = sum(len(values) for values in samples.values())
    assert manifest["samples"] == count > 90_000
    assert f"promtool stored {count} of {count} samples" in ended.stdout
    return directory, ended.stdout, samples


def assert_same(found, samples):
    assert found.keys() == samples.keys()
    for series, values in samples.items():
        assert found[series] == values, series


def test_prometheus_holds_every_sample(history, tmp_path):
    directory, output, samples = history
    retention = next(word for word in output.split() if word.startswith("--storage.tsdb.retention.time="))
    (tmp_path / "prometheus.yml").write_text("")
    shutil.copytree(directory / "out/blocks", tmp_path / "data")
    with start_prometheus(tmp_path, tmp_path / "prometheus.yml", retention) as server:
        wait_for(lambda: server.get_json("/api/v1/query", query="vector(1)"), "Prometheus")
        found = {}
        for selector in SELECTORS:
            for one in server.get_json("/api/v1/query", query=f"{selector}[500d]")["data"]["result"]:
                values = {int(float(time)): float(value) for time, value in one["values"]}
                found[frozenset(one["metric"].items())] = values
        assert_same(found, samples)

        # The panels of daily usage: a value for each day from the first one with usage. The first sample of a day is
        # one of the window `yesterday`, a day later.
        day = 24 * 3600
        campaign = {("project", "campaign"), ("window", "yesterday")}
        seen = min(min(values) for key, values in samples.items() if campaign <= key) - day
        first, last = int(midnight(FIRST).timestamp()), int(midnight(datetime.now(ZONE).date()).timestamp())
        daily = 'sum(max by (project, window, resource_type, business_type, user_id) (last_over_time(' \
            'metastudio_usage_minutes{window="yesterday",project="campaign"}[6h] offset -30h)))'
        answer = server.get_json("/api/v1/query_range", query=daily, start=first, end=last - 3 * day, step=day)
        assert first <= seen < first + 7 * day
        [days] = [[time for time, _ in series["values"]] for series in answer["data"]["result"]]
        assert days == list(range(seen, last - 3 * day + 1, day))
        # The alerts on unusual days look one and two weeks back.
        for weeks in (1, 2):
            looked = f"last_over_time(project:metastudio_usage_minutes:yesterday[3h] offset {weeks}w)"
            answer = server.get_json("/api/v1/query", query=looked)
            assert {one["metric"]["project"] for one in answer["data"]["result"]} == set(NAMES)


def test_blocks_of_an_earlier_run_are_not_mixed(history):
    directory, _, _ = history
    again = backfill(directory / "out", directory / "config.yaml", "--verify")
    assert again.returncode == 1 and "has blocks of an earlier run" in again.stderr, again.stderr


@pytest.fixture
def victoria_metrics(tmp_path):
    """Starts VictoriaMetrics with a retention."""
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
    directory, _, samples = history
    url = victoria_metrics("-retentionPeriod=20")
    ended = backfill(directory / "out", directory / "config.yaml", f"--push={url}")
    assert ended.returncode == 0, ended.stderr
    # This run may have begun an hour later than the first one.
    found = {}
    for selector in SELECTORS:
        parameters = {"match[]": selector, "start": int(midnight(FIRST).timestamp())}
        for line in requests.get(f"{url}/api/v1/export", params=parameters).text.splitlines():
            one = json.loads(line)
            values = dict(zip([time // 1000 for time in one["timestamps"]], map(float, one["values"]), strict=True))
            found[frozenset(one["metric"].items())] = values
    last = max(time for values in samples.values() for time in values)
    found = {key: {time: value for time, value in values.items() if time <= last} for key, values in found.items()}
    assert_same(found, samples)


def test_samples_that_victoria_metrics_drops_are_an_error(history, victoria_metrics):
    directory, _, _ = history
    ended = backfill(directory / "out", directory / "config.yaml", f"--push={victoria_metrics()}")
    assert ended.returncode == 1 and "-retentionPeriod, one month by default" in ended.stderr, ended.stderr
