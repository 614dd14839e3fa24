"""Series for the queries of the dashboards: past days, synthetic metrics, and an exporter that polls a faulty cloud."""

import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

import sdk
from conftest import BINARY, ENVIRONMENT, Running, simulated_cloud

SHANGHAI = timezone(timedelta(hours=8))
DAY = 86400

# Budgets of the demo and of the second exporter: (project, window, resource type, business type, user).
BUDGETS = {
    ("campaign", "this_month", "", "", ""): 6000,
    ("campaign", "30d", "", "", ""): 5000,
    ("live-commerce", "this_month", "", "", ""): 30000,
    ("live-commerce", "this_month", "video_time_2d_model", "", ""): 1000,
    ("studio-prod", "this_month", "", "VIDEO_2D", ""): 6000,
    ("studio-prod", "this_month", "", "", ""): 5000,
    ("studio-prod", "this_month", "video_time_2d_model", "VIDEO_2D", ""): 1500,
    # Of the window `contract`: half used, a quarter used, and more than used up.
    ("studio-prod", "contract", "", "", ""): 900,
    ("studio-prod", "contract", "", "VIDEO_2D", ""): 1200,
    ("studio-prod", "contract", "", "LIVE_2D", ""): 100,
    # Without any usage.
    ("studio-prod", "today", "", "PICTURE_2D", ""): 10,
    ("by-user", "this_month", "", "", ""): 4000,
    ("by-user", "this_month", "", "", "user-a"): 300,
    ("by-user", "this_month", "", "VIDEO_2D", "user-b"): 1000,
    # Always among the budgets with the highest forecast: a rolling window has usage in the first hours of a month, too.
    ("live-commerce", "30d", "video_time_2d_model", "", ""): 50,
    ("by-user", "30d", "", "", "user-a"): 300,
}
# Budgets of several projects of the demo and of the second exporter: (name, window, resource type, business type), with
# their minutes. By every forecast, they last until the month ends, even in its first hours.
SHARED_BUDGETS = {
    ("all-studios", "this_month", "", ""): (80000, ["studio-prod", "live-commerce", "campaign"]),
    ("live", "this_month", "", "LIVE_2D"): (900000, ["studio-prod", "live-commerce"]),
    ("standard", "this_month", "video_time_2d_model", ""): (900000, ["studio-prod", "campaign", "by-user"]),
    ("videos", "this_month", "video_time_2d_model", "VIDEO_2D"): (900000, ["studio-prod", "live-commerce", "campaign"]),
}
# Half of this budget is used after a third of its window. All other shared budgets last until their windows end.
SHARED_BUDGETS["contract", "contract", "", ""] = (900, ["studio-prod"])
# A synthetic window of 30 days. Ten of them have passed.
CONTRACT_START = time.time() - 10 * DAY
SELECTORS = "resource_type", "business_type", "user_id"
WINDOWS = ["today", "yesterday", "this_month", "30d"]


def budgets(project):
    """The configuration of a project's budgets."""
    for (name, window, *values), minutes in BUDGETS.items():
        if name == project and window != "contract":
            selectors = {key: value for key, value in zip(SELECTORS, values, strict=True) if value}
            yield {"window": window, "minutes": minutes, **selectors}


def withdrawn():
    """A budget of a project whose usage is withdrawn."""
    yield 'metastudio_budget_minutes{project="nowhere",window="this_month"} 1'


def contract():
    """The window `contract` of a project, with its budgets."""
    selected = 'project="studio-prod",window="contract"'
    yield f"metastudio_window_start_timestamp_seconds{{{selected}}} {CONTRACT_START}"
    yield f"metastudio_window_end_timestamp_seconds{{{selected}}} {CONTRACT_START + 30 * DAY}"
    for business_type, minutes in ("VIDEO_2D", 300), ("LIVE_2D", 150):
        yield f'metastudio_usage_minutes{{{selected},business_type="{business_type}"}} {minutes}'
    for (_, window, _, business_type, _), minutes in BUDGETS.items():
        if window == "contract":
            yield f'metastudio_budget_minutes{{{selected},business_type="{business_type}"}} {minutes}'
    [minutes] = [minutes for (_, window, *_), (minutes, _) in SHARED_BUDGETS.items() if window == "contract"]
    yield f'metastudio_shared_budget_minutes{{{selected},budget="contract"}} {minutes}'


def young_month():
    """A project that has used one minute in the first minute of its month."""
    start = time.time() - 60
    yield 'metastudio_usage_minutes{project="young",window="this_month",resource_type="",business_type="VIDEO_2D"} 1'
    yield f'metastudio_window_start_timestamp_seconds{{project="young",window="this_month"}} {start}'
    yield f'metastudio_window_end_timestamp_seconds{{project="young",window="this_month"}} {start + 30 * DAY}'


def idle():
    """A project without usage in a new month."""
    yield 'metastudio_usage_minutes{project="idle",window="this_month",resource_type="",business_type="VIDEO_2D"} 0'


def other_units():
    """Usage in another unit. It has a resource type, unlike such usage of the simulated cloud."""
    types = 'resource_type="channel",business_type="CHAT_2D",unit="CHANNEL"'
    yield f'metastudio_usage_other{{project="studio-prod",window="this_month",{types}}} 2.5'


def growing_package():
    """A package whose used minutes grow by one each second."""
    kind = 'resource_type="video",business_type="VIDEO_2D",charging_mode="ONE_TIME",resource_source="PURCHASED"'
    labels = f'project="studio-prod",collector="packages",package="growing",{kind}'
    used = time.time() - CONTRACT_START
    for amount, minutes in ("bought", 10_000_000), ("used", used), ("left", 10_000_000 - used):
        yield f"metastudio_package_{amount}_minutes{{{labels}}} {minutes}"


def many():
    """A hundred projects, each with one minute more than the one before."""
    start = time.time() - 10 * DAY
    for index in range(100):
        project = f'project="many-{index:02}"'
        yield f"metastudio_project_info{{{project}}} 1"
        for window in "today", "yesterday", "this_month":
            types = 'resource_type="video_time_2d_model",business_type="VIDEO_2D"'
            yield f'metastudio_usage_minutes{{{project},window="{window}",{types}}} {100_000 + index}'
            yield f'metastudio_window_start_timestamp_seconds{{{project},window="{window}"}} {start}'
            yield f'metastudio_window_end_timestamp_seconds{{{project},window="{window}"}} {start + 30 * DAY}'
        yield f'metastudio_budget_minutes{{{project},window="this_month"}} 150000'


def native_histogram():
    """The durations of requests as a native histogram: each second one request, which takes between 0.5 and 1 s."""
    count = varint(int(time.time()))

    def number(field, encoded):
        return varint(field << 3) + encoded

    def text(field, content):
        return varint(field << 3 | 2) + varint(len(content)) + content

    label = text(1, text(1, b"project") + text(2, b"native"))
    # The sum, one bucket with the index 0, and its delta. The encoding of a signed number doubles it.
    buckets = varint(2 << 3 | 1) + struct.pack("<d", 0.75 * time.time()) + text(12, number(2, varint(1)))
    histogram = text(7, number(1, count) + buckets + text(13, varint(2 * int(time.time()))))
    family = text(1, b"metastudio_api_request_duration_seconds") + number(3, varint(4)) + text(4, label + histogram)
    return varint(len(family)) + family


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


class SyntheticMetrics(BaseHTTPRequestHandler):
    def do_GET(self):
        native = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        is_native = self.path == "/native"
        metrics = [withdrawn(), contract(), young_month(), idle(), other_units(), growing_package(), many()]
        text = "".join(f"{line}\n" for lines in metrics for line in lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", native if is_native else "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(native_histogram() if is_native else text)

    def log_message(self, *_):
        pass


def past():
    """The window `yesterday` on nine days, polled five minutes after midnight. Day n of the year has n minutes."""
    midnight = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    # Shortly before and after the poll, then every five hours, so that the import is small.
    times = [timedelta(minutes=minutes) for minutes in (2, 10, 300, 600, 900, 1200)]
    moments = [midnight - timedelta(days=days) + time for days in range(10, 1, -1) for time in times]
    for metric in "metastudio_usage_minutes", "metastudio_usage_number":
        yield f"# TYPE {metric} gauge"
        yield from leaving_user(metric, midnight)
        for project in ["past", *sdk.PROJECTS]:
            for business_type, resource_type in ("VIDEO_2D", "video_time_2d_model"), ("LIVE_2D", ""):
                types = f'resource_type="{resource_type}",business_type="{business_type}"'
                labels = f'project="{project}",window="yesterday",{types}'
                for moment in moments:
                    day = (moment - timedelta(minutes=5)).date() - timedelta(days=1)
                    yield f"{metric}{{{labels}}} {day.timetuple().tm_yday} {int(moment.timestamp())}"
    yield "# EOF\n"


def leaving_user(metric, midnight):
    """The window `yesterday` with a user who leaves the list each morning between three and five o'clock.

    The daily panels read the six hours after midnight. The last sample is at five, so there is none at their end."""
    labels = 'project="leaving",window="yesterday",resource_type="video_time_2d_model",business_type="VIDEO_2D"'
    for user, values in ("", {10: 5, 180: 5, 300: 25}), ("user-a", {10: 20, 180: 20}):
        for days in range(10, 1, -1):
            for minutes, value in values.items():
                moment = midnight - timedelta(days=days) + timedelta(minutes=minutes)
                yield f'{metric}{{{labels},user_id="{user}"}} {value} {int(moment.timestamp())}'


@contextmanager
def synthetic_exporter():
    """The address of a server with the synthetic metrics."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), SyntheticMetrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def import_series(lines, text, data):
    """Imports a text of OpenMetrics into the data of a Prometheus that does not run."""
    data.mkdir(parents=True)
    text.write_text("\n".join(lines))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data]
    subprocess.run(command, check=True, env=ENVIRONMENT)


@contextmanager
def second_exporter(directory, address):
    """Runs the second exporter. Its first polls need a retry, so that Prometheus first scrapes its counters at 0.

    In its cloud, a live session runs at any hour.
    """
    for name in "cloud", "second":
        (directory / name).mkdir()
    faults = ["--fault=throttle:project=campaign,times=1,retry_after=4", "--service=parts=boolean,channels,users=1,sessions=1"]
    with simulated_cloud(directory / "cloud", *faults) as cloud:
        (directory / "config.yaml").write_text(configuration(cloud))
        config = f"--config.file={directory / 'config.yaml'}"
        with Running(directory / "second", BINARY, "serve", config, f"--web.listen-address={address}"):
            yield


def configuration(cloud):
    """The configuration of the second exporter."""
    projects = [
        {"name": name, "endpoint": cloud, "project_id": project_id, "windows": WINDOWS, "budgets": [*budgets(name)]}
        for name, project_id in (sdk.PROJECTS | {"by-user": sdk.PROJECTS["campaign"]}).items()
    ]
    projects[-1]["user_ids"] = ["user-a", "user-b"]
    # The demo has series for each user of live-commerce. This exporter has all usage of it in series without a user.
    shared = [
        {"name": name, "window": window, "minutes": minutes, "projects": covered}
        | {key: value for key, value in zip(SELECTORS, values, strict=False) if value}
        for (name, window, *values), (minutes, covered) in SHARED_BUDGETS.items()
        if window != "contract"
    ]
    credentials = {"vm": {"ecs_agency": {"endpoint": cloud}}}
    return yaml.safe_dump({"collect": "all", "credentials": credentials, "projects": projects, "budgets": shared})
