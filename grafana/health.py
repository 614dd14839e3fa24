"""The dashboard of the exporter itself."""

from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as m

import frame
import panels
from promql import TOP, top

AGE = [(None, "green"), (1800, "orange"), (7200, "red")]
EXPIRY = [(None, "red"), (300, "orange"), (600, "green")]
GOOD = {0: ("failed", "red"), 1: ("ok", "green")}
HEALTH = 'job=~"$job", instance=~"$instance"'
POLLS = f'{HEALTH}, project=~"$project"'
# Of several exporters, the value of the project as the best informed one sees it.
BEST = "max by (project)"


def health():
    age = f"time() - {BEST} (metastudio_poll_last_success_timestamp_seconds{{{POLLS}}})"
    age_at_end = f"-{BEST} (metastudio_poll_last_success_timestamp_seconds{{{POLLS}}} @ end())"
    duration = f"{BEST} (metastudio_poll_last_duration_seconds{{{POLLS}}})"
    duration_at_end = f"{BEST} (metastudio_poll_last_duration_seconds{{{POLLS}}} @ end())"

    def quantile(share):
        buckets = f"sum by (le) (rate(metastudio_api_request_duration_seconds_bucket{{{POLLS}}}[$__rate_interval]))"
        return f"histogram_quantile({share}, {buckets})"

    def rate(metric, by, selected=POLLS, function="rate"):
        return f"sum by ({by}) ({function}({metric}{{{selected}}}[$__rate_interval]))"

    def polls(panel):
        """Polls are minutes apart: shorter intervals would show gaps between them."""
        return panel.interval("10m")

    def bars(panel):
        return panels.stacked(panel.draw_style(c.GraphDrawStyle.BARS).fill_opacity(80).line_width(0))

    def exporters(*arguments, **options):
        return panels.series_panel(*arguments, **options, legend="right")

    return frame.dashboard(
        "metastudio-health",
        "MetaStudio / Exporter health",
        "Whether metastudio-exporter polls every project, and what it needs for it.",
        [
            frame.datasource_variable(),
            frame.variable(
                "job", "Job", "Job of Prometheus", "label_values(metastudio_exporter_build_info, job)", many=True
            ),
            frame.variable(
                "instance",
                "Exporter",
                "Address of an exporter",
                'label_values(metastudio_exporter_build_info{job=~"$job"}, instance)',
                many=True,
            ),
            frame.variable(
                "project",
                "Project",
                "Projects as the exporter names them",
                f"label_values(metastudio_project_info{{{HEALTH}}}, project)",
                many=True,
                everything=".*",
            ),
        ],
        [frame.to_overview(), frame.to_project(frame.DATA)],
        {
            "Now": [
                panels.stat_panel(
                    1,
                    3,
                    "Exporters down",
                    "Exporters that Prometheus could not scrape.",
                    "none",
                    f"count(up{{{HEALTH}}} == 0) or vector(0)",
                    steps=[(None, "green"), (1, "red")],
                ),
                panels.stat_panel(
                    2,
                    3,
                    "Projects",
                    "Projects that are polled.",
                    "none",
                    f"count({BEST} (metastudio_up{{{POLLS}}}))",
                ),
                panels.stat_panel(
                    3,
                    3,
                    "Projects failing",
                    "Projects whose last poll failed, at every exporter that polls them.",
                    "none",
                    f"count({BEST} (metastudio_up{{{POLLS}}}) == 0) or vector(0)",
                    steps=[(None, "green"), (1, "red")],
                ),
                panels.stat_panel(
                    4,
                    3,
                    "Oldest usage",
                    "The age of the usage of the project that has waited longest for a poll to succeed.",
                    "s",
                    f"max({age})",
                    steps=AGE,
                    empty="never",
                ),
                panels.stat_panel(
                    5,
                    3,
                    "Failed polls",
                    "In the time range.",
                    "short",
                    f"round(sum(increase(metastudio_poll_failures_total{{{POLLS}}}[$__range])))",
                    steps=[(None, "green"), (1, "orange")],
                ),
                panels.stat_panel(
                    6,
                    3,
                    "API requests",
                    "In the time range.",
                    "short",
                    f"round(sum(increase(metastudio_api_requests_total{{{POLLS}}}[$__range])))",
                ),
                panels.stat_panel(
                    7,
                    3,
                    "Configuration",
                    "Whether the last attempt to load it succeeded everywhere. If not, the one before is in force.",
                    "none",
                    f"min(metastudio_exporter_config_last_reload_successful{{{HEALTH}}})",
                    values=GOOD,
                    steps=[(None, "red"), (1, "green")],
                ),
                panels.stat_panel(
                    8,
                    3,
                    "Credentials expire",
                    "When the first token or temporary key expires. The exporter renews them before, but for a token "
                    "that it was given.",
                    "s",
                    f"min(metastudio_exporter_credentials_expiry_timestamp_seconds{{{HEALTH}}}) - time()",
                    steps=EXPIRY,
                    empty="never",
                ),
            ],
            "Polls": [
                panels.table_panel(
                    11,
                    24,
                    10,
                    "Projects",
                    "The last poll of every project, and how many failed in the time range.",
                    [
                        (
                            "project",
                            "Project",
                            panels.linked_column(frame.project_link("__data.fields.Project", frame.DATA)),
                        ),
                        ("Value #A", "Last poll", panels.coloured_column("none", [(None, "red"), (1, "green")], GOOD)),
                        ("Value #B", "Age of usage", panels.coloured_column("s", AGE)),
                        ("Value #C", "Duration", panels.plain_column("s", 2)),
                        ("Value #D", "Polls", panels.plain_column("short")),
                        (
                            "Value #E",
                            "Failed",
                            panels.coloured_column("short", [(None, "text"), (1, "orange")]) | {"decimals": 0},
                        ),
                        ("region", "Region", None),
                        ("endpoint", "Endpoint", None),
                        ("Value #F", "Exporters", panels.plain_column("none")),
                    ],
                    {
                        "A": f"{BEST} (metastudio_up{{{POLLS}}})",
                        "B": age,
                        "C": duration,
                        "D": f"sum by (project) (increase(metastudio_polls_total{{{POLLS}}}[$__range]))",
                        "E": f"sum by (project) (increase(metastudio_poll_failures_total{{{POLLS}}}[$__range]))",
                        "F": f"count by (project, region, endpoint) (metastudio_project_info{{{POLLS}}})",
                    },
                    unit="none",
                    sort="Age of usage",
                ),
                bars(
                    polls(
                        panels.series_panel(
                            12,
                            12,
                            8,
                            "Failed polls by reason",
                            "What each reason means, and what to do, is in the exporter's log.",
                            "short",
                            [
                                panels.query(
                                    rate("metastudio_poll_failures_total", "reason", function="increase"), "{{reason}}"
                                )
                            ],
                            legend="right",
                            calcs=["sum"],
                        )
                    )
                ),
                panels.stacked(
                    panels.series_panel(
                        13,
                        12,
                        8,
                        "Projects by result of their last poll",
                        "Projects that an exporter polls and whose last poll succeeded or failed.",
                        "short",
                        [
                            panels.query(f"count({BEST} (metastudio_up{{{POLLS}}}) == 1) or vector(0)", "ok"),
                            panels.query(
                                f"count({BEST} (metastudio_up{{{POLLS}}}) == 0) or vector(0)", "failed", ref="B"
                            ),
                        ],
                    )
                    .override_by_name("ok", [m.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "green"})])
                    .override_by_name("failed", [m.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"})])
                ),
                panels.series_panel(
                    14,
                    12,
                    8,
                    "Age of usage",
                    f"Of the {TOP} projects whose usage is the oldest now. Between polls it rises, with each one that "
                    "succeeds it falls.",
                    "s",
                    [panels.query(f"{age}\nand on (project)\n{top(age_at_end)}", "{{project}}")],
                    legend="right",
                ),
                panels.series_panel(
                    15,
                    12,
                    8,
                    "Duration of polls",
                    f"Of the {TOP} projects whose last poll took the longest.",
                    "s",
                    [panels.query(f"{duration}\nand on (project)\n{top(duration_at_end)}", "{{project}}")],
                    legend="right",
                ),
            ],
            "API": [
                polls(
                    panels.series_panel(
                        21,
                        12,
                        8,
                        "Requests by status",
                        "HTTP requests to the API; `none` where no answer came.",
                        "reqps",
                        [panels.query(rate("metastudio_api_requests_total", "code"), "{{code}}")],
                    )
                ),
                polls(
                    panels.series_panel(
                        22,
                        12,
                        8,
                        "Duration of requests",
                        "Of HTTP requests to the API, body included.",
                        "s",
                        [
                            panels.query(quantile(0.5), "median"),
                            panels.query(quantile(0.9), "90 %", ref="B"),
                            panels.query(quantile(0.99), "99 %", ref="C"),
                        ],
                    ).span_nulls(True)
                ),
                polls(
                    panels.series_panel(
                        23,
                        8,
                        8,
                        "Retries",
                        f"Attempts of a request after its first, of the {TOP} projects with the most.",
                        "reqps",
                        [panels.query(top(rate("metastudio_api_retries_total", "project")), "{{project}}")],
                    )
                ),
                bars(
                    polls(
                        panels.series_panel(
                            24,
                            8,
                            8,
                            "Rows ignored by reason",
                            "`sub_resource`: part of a bundle; `duplicate`: already on an earlier page; `filtered`: by "
                            "the configuration.",
                            "short",
                            [
                                panels.query(
                                    rate("metastudio_rows_ignored_total", "reason", function="increase"), "{{reason}}"
                                )
                            ],
                        )
                    )
                ),
                bars(
                    polls(
                        panels.series_panel(
                            25,
                            8,
                            8,
                            "Values dropped",
                            f"Single values that could not be read, of the {TOP} projects with the most.",
                            "short",
                            [
                                panels.query(
                                    top(rate("metastudio_values_dropped_total", "project", function="increase")),
                                    "{{project}}",
                                )
                            ],
                        )
                    )
                ),
            ],
            "Exporters": [
                panels.table_panel(
                    31,
                    14,
                    8,
                    "Exporters",
                    "What runs, and since when with which configuration: of the same hash, it is the same.",
                    [
                        ("job", "Job", None),
                        ("instance", "Exporter", None),
                        ("version", "Version", None),
                        ("revision", "Revision", None),
                        ("rustc", "Compiler", None),
                        ("Value #A", "Up for", panels.plain_column("s")),
                        (
                            "Value #B",
                            "Configuration",
                            panels.coloured_column("none", [(None, "red"), (1, "green")], GOOD),
                        ),
                        ("Value #C", "Loaded", panels.plain_column("dateTimeAsIso")),
                        ("Value #D", "Hash", panels.plain_column("none")),
                    ],
                    {
                        "A": f"time() - sum by (job, instance) (process_start_time_seconds{{{HEALTH}}})\n"
                        "+ on (job, instance) group_right ()\n"
                        "0 * sum by (job, instance, version, revision, rustc) "
                        f"(metastudio_exporter_build_info{{{HEALTH}}})",
                        "B": f"max by (job, instance) (metastudio_exporter_config_last_reload_successful{{{HEALTH}}})",
                        "C": "1000 * max by (job, instance) "
                        f"(metastudio_exporter_config_last_reload_success_timestamp_seconds{{{HEALTH}}})",
                        "D": f"max by (job, instance) (metastudio_exporter_config_hash{{{HEALTH}}})",
                    },
                    unit="none",
                ),
                panels.table_panel(
                    32,
                    10,
                    8,
                    "Credentials",
                    "When tokens and temporary keys expire. Long-lived keys do not, and are not listed.",
                    [
                        ("instance", "Exporter", None),
                        ("credentials", "Credentials", None),
                        ("Value #A", "Expire in", panels.coloured_column("s", EXPIRY)),
                    ],
                    {
                        "A": "min by (instance, credentials) "
                        f"(metastudio_exporter_credentials_expiry_timestamp_seconds{{{HEALTH}}}) - time()"
                    },
                    unit="s",
                ),
                exporters(
                    33,
                    12,
                    7,
                    "HTTP requests served",
                    "By path and status. A scrape never causes a request to the API.",
                    "reqps",
                    [
                        panels.query(
                            rate("metastudio_exporter_http_requests_total", "handler, code", HEALTH),
                            "{{handler}} {{code}}",
                        )
                    ],
                ),
                exporters(
                    34,
                    12,
                    7,
                    "CPU",
                    "Time of a processor core.",
                    "percentunit",
                    [panels.query(rate("process_cpu_seconds_total", "instance", HEALTH), "{{instance}}")],
                ),
                exporters(
                    35,
                    12,
                    7,
                    "Memory",
                    "Resident.",
                    "bytes",
                    [panels.query(f"sum by (instance) (process_resident_memory_bytes{{{HEALTH}}})", "{{instance}}")],
                ),
                exporters(
                    36,
                    12,
                    7,
                    "Open files",
                    "As a share of the limit.",
                    "percentunit",
                    [
                        panels.query(
                            f"max by (instance) (process_open_fds{{{HEALTH}}} / process_max_fds{{{HEALTH}}})",
                            "{{instance}}",
                        )
                    ],
                ),
            ],
        },
        time="now-6h",
    )
