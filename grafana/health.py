"""The dashboard of the exporter's health."""

import layout
import panels
from promql import EACH_STEP, LATEST, TOP, count, top

# The time left until credentials expire, in seconds.
EXPIRY = [(None, "red"), (300, "orange"), (600, "green")]
RESULT = {0: ("failed", "red"), 1: ("ok", "green")}
EXPORTERS = 'job=~"$job", instance=~"$instance"'
PROJECTS = f'{EXPORTERS}, project=~"$project"'


def health():
    return layout.dashboard(
        "metastudio-health",
        "MetaStudio / Exporter health",
        "The polls of every project, the API requests, and the configuration and load of the exporters.",
        _variables(),
        [layout.overview_link(), layout.packages_link(), layout.project_link(layout.DATA)],
        {"Now": _now(), "Polls": _polls(), "API": _api(), "Exporters": _exporters()},
        time="now-6h",
    )


def _variables():
    jobs = "label_values(metastudio_exporter_build_info, job)"
    # From `up`, because Prometheus stores it for an exporter that is down, too.
    instances = 'label_values(up{job=~"$job"}, instance)'
    return [
        layout.datasource_variable(),
        layout.query_variable("job", "Job", "Name of the scrape job in Prometheus", jobs, many=True),
        layout.query_variable("instance", "Exporter", "Address of an exporter", instances, many=True),
        layout.projects_variable(f"{{{EXPORTERS}}}"),
    ]


# Queries.


def _at_exporters(metric):
    """The latest samples of the selected exporters."""
    return f"{metric}{{{EXPORTERS}}}{LATEST.at}"


def _greatest(metric, moment=LATEST):
    """A value for each project: the greatest if several exporters poll it. The greatest time is the latest."""
    return f"max by (project) ({metric}{{{PROJECTS}}}{moment.at})"


def _age(moment=LATEST):
    return f"{moment.time} - {_greatest('metastudio_poll_last_success_timestamp_seconds', moment)}"


def _projects_up(result, moment=LATEST):
    return count(_greatest("metastudio_up", moment), f"== {result}")


def _over_range(metric):
    return f"increase({metric}{{{PROJECTS}}}[$__range])"


def _rate(metric, by, selected=PROJECTS):
    return f"sum by ({by}) (rate({metric}{{{selected}}}[$__rate_interval]))"


def _increase(metric, by, selected=PROJECTS):
    return f"sum by ({by}) (increase({metric}{{{selected}}}[$__rate_interval]))"


def _doubtful_projects():
    return f"sum by (doubt) (max by (project, doubt) (metastudio_poll_doubts{{{PROJECTS}}}))"


def _request_duration(quantile):
    """Reads the classic histogram, or the native histogram if Prometheus has converted it."""
    duration = "metastudio_api_request_duration_seconds"
    classic, native = _rate(f"{duration}_bucket", "le"), _rate(duration, "")
    return f"histogram_quantile({quantile}, {classic})\nor\nhistogram_quantile({quantile}, {native})"


# Rows.


def _now():
    return [*_projects_now(), *_exporters_now()]


def _projects_now():
    failed = f"round(sum({_over_range('metastudio_poll_failures_total')}))"
    requests = f"round(sum({_over_range('metastudio_api_requests_total')}))"
    return [
        panels.problem_count_panel(
            1,
            3,
            "Exporters down",
            "Exporters that Prometheus could not scrape.",
            count(_at_exporters("up"), "== 0"),
        ),
        panels.stat_panel(
            2, 3, "Projects", "Projects that the exporters poll.", "none", f"count({_greatest('metastudio_up')})"
        ),
        panels.problem_count_panel(
            3,
            3,
            "Projects failing",
            "Projects whose last poll failed at every exporter that polls them.",
            _projects_up(0),
        ),
        panels.stat_panel(
            4,
            3,
            "Oldest usage",
            "The longest time since the last successful poll of a project.",
            "s",
            f"max({_age()})",
            steps=panels.AGE,
            empty="never",
        ),
        panels.stat_panel(
            5, 3, "Failed polls", "Number in the time range.", "short", failed, steps=[(None, "green"), (1, "orange")]
        ),
        panels.stat_panel(6, 3, "API requests", "Number in the time range.", "short", requests),
    ]


def _exporters_now():
    return [
        panels.stat_panel(
            7,
            3,
            "Configuration",
            "Result of the last reload at all exporters. If it failed, the previous configuration stays in use.",
            "none",
            f"min({_at_exporters('metastudio_exporter_config_last_reload_successful')})",
            values=RESULT,
            steps=panels.GREEN_FROM_ONE,
        ),
        panels.stat_panel(
            8,
            3,
            "Credentials expire",
            "Time until the first token or temporary key expires. Only those that the exporter renews count: it does "
            "not know when others expire.",
            "s",
            f"min({_at_exporters('metastudio_exporter_credentials_expiry_timestamp_seconds')}) - {LATEST.time}",
            steps=EXPIRY,
            empty="never",
        ),
    ]


def _polls():
    duration = "metastudio_poll_last_duration_seconds"
    failures = _increase("metastudio_poll_failures_total", "reason")
    return [
        _projects_table(),
        _bars_of_polls(
            12,
            12,
            8,
            "Failed polls by reason",
            "The exporter's log says what each reason means and what to do.",
            "short",
            [panels.query(failures, "{{reason}}")],
            legend="right",
            calcs=["sum"],
        ),
        _results_over_time(),
        _slowest(
            14,
            "Age of usage",
            f"The {TOP} projects whose usage is the oldest now. The age rises until a poll succeeds.",
            _age(EACH_STEP),
            _age(),
        ),
        _slowest(
            15,
            "Duration of polls",
            f"The {TOP} projects whose last poll took the longest.",
            _greatest(duration, EACH_STEP),
            _greatest(duration),
        ),
    ]


def _projects_table():
    return panels.table_panel(
        11,
        24,
        10,
        "Projects",
        "The last poll of every project, and its polls and failures in the time range.",
        [
            layout.project_column(layout.DATA),
            ("Value #A", "Last poll", panels.coloured_column("none", panels.GREEN_FROM_ONE, RESULT)),
            ("Value #B", "Age of usage", panels.coloured_column("s", panels.AGE)),
            ("Value #C", "Duration", panels.plain_column("s", 2)),
            ("Value #D", "Polls", panels.plain_column("short")),
            ("Value #E", "Failed", panels.coloured_column("short", [(None, "text"), (1, "orange")]) | {"decimals": 0}),
            ("region", "Region", None),
            ("api_endpoint", "Endpoint", None),
            ("Value #F", "Exporters", panels.plain_column("none")),
        ],
        {
            "A": _greatest("metastudio_up"),
            "B": _age(),
            "C": _greatest("metastudio_poll_last_duration_seconds"),
            "D": f"sum by (project) ({_over_range('metastudio_polls_total')})",
            "E": f"sum by (project) ({_over_range('metastudio_poll_failures_total')})",
            "F": f"count by (project, region, api_endpoint) (metastudio_project_info{{{PROJECTS}}}{LATEST.at})",
        },
        unit="none",
        sort="Age of usage",
    )


def _results_over_time():
    panel = panels.series_panel(
        13,
        12,
        8,
        "Projects by result of their last poll",
        "Number of projects whose last poll succeeded, and of those whose last poll failed.",
        "short",
        [
            panels.query(_projects_up(1, EACH_STEP), "ok"),
            panels.query(_projects_up(0, EACH_STEP), "failed", ref="B"),
        ],
    )
    panel.override_by_name("ok", [panels.fixed_color("green")])
    panel.override_by_name("failed", [panels.fixed_color("red")])
    return panels.stacked(panel)


def _slowest(id, title, description, seconds, ranking):
    """A line for each of the projects with the greatest ranking."""
    query = panels.query(f"{seconds}\nand on (project)\n{top(ranking)}", "{{project}}")
    return panels.series_panel(id, 12, 8, title, description, "s", [query], legend="right")


def _poll_series(*arguments, **options):
    """Polls are minutes apart: shorter intervals would show gaps between them."""
    return panels.series_panel(*arguments, **options).interval("10m")


def _bars_of_polls(*arguments, **options):
    return panels.stacked_bars(_poll_series(*arguments, **options))


def _api():
    return [*_requests(), *_rows_left_out()]


def _requests():
    return [
        _poll_series(
            21,
            12,
            8,
            "Requests by status",
            "HTTP requests to all APIs by status code; `none` if there was no response.",
            "reqps",
            [panels.query(_rate("metastudio_api_requests_total", "code"), "{{code}}")],
        ),
        _poll_series(
            22,
            12,
            8,
            "Duration of requests",
            "Duration of HTTP requests to all APIs, including the response body.",
            "s",
            [
                panels.query(_request_duration(0.5), "median"),
                panels.query(_request_duration(0.9), "90 %", ref="B"),
                panels.query(_request_duration(0.99), "99 %", ref="C"),
            ],
        ).span_nulls(True),
        _poll_series(
            23,
            8,
            8,
            "Retries",
            f"Retried HTTP requests of the {TOP} projects with the most retries.",
            "reqps",
            [panels.query(top(_rate("metastudio_api_retries_total", "project")), "{{project}}")],
        ),
    ]


def _rows_left_out():
    return [
        _bars_of_polls(
            24,
            8,
            8,
            "Rows ignored by reason",
            "`outside`: of a bucket that begins outside of the window; `filtered`: excluded by the configuration; "
            "`sub_resource`: part of a bundle.",
            "short",
            [panels.query(_increase("metastudio_rows_ignored_total", "reason"), "{{reason}}")],
        ),
        _bars_of_polls(
            25,
            8,
            8,
            "Projects with doubtful usage",
            "Projects whose published usage may be wrong, by doubt. The runbook of MetaStudioUsageDoubtful explains each.",
            "short",
            [panels.query(_doubtful_projects(), "{{doubt}}")],
        ),
    ]


def _exporters():
    return [_exporters_table(), _credentials_table(), *_load()]


def _exporters_table():
    started, build_info = _at_exporters("process_start_time_seconds"), _at_exporters("metastudio_exporter_build_info")
    succeeded = _at_exporters("metastudio_exporter_config_last_reload_successful")
    loaded = _at_exporters("metastudio_exporter_config_last_reload_success_timestamp_seconds")
    return panels.table_panel(
        31,
        14,
        8,
        "Exporters",
        "Version and configuration of each exporter. The same hash means the same configuration.",
        [
            ("job", "Job", None),
            ("instance", "Exporter", None),
            ("version", "Version", None),
            ("revision", "Revision", None),
            ("rustc", "Compiler", None),
            ("Value #A", "Up for", panels.plain_column("s")),
            ("Value #B", "Configuration", panels.coloured_column("none", panels.GREEN_FROM_ONE, RESULT)),
            ("Value #C", "Loaded", panels.plain_column("dateTimeAsIso")),
            ("Value #D", "Hash", panels.plain_column("none")),
        ],
        {
            "A": f"{LATEST.time} - sum by (job, instance) ({started})\n"
            "+ on (job, instance) group_right ()\n"
            f"0 * sum by (job, instance, version, revision, rustc) ({build_info})",
            "B": f"max by (job, instance) ({succeeded})",
            "C": f"1000 * max by (job, instance) ({loaded})",
            "D": f"max by (job, instance) ({_at_exporters('metastudio_exporter_config_hash')})",
        },
        unit="none",
    )


def _credentials_table():
    expiry = _at_exporters("metastudio_exporter_credentials_expiry_timestamp_seconds")
    return panels.table_panel(
        32,
        10,
        8,
        "Credentials",
        "Time until tokens and temporary keys expire. Only those that the exporter renews are listed: it does not "
        "know when others expire.",
        [
            ("instance", "Exporter", None),
            ("credentials", "Credentials", None),
            ("Value #A", "Expire in", panels.coloured_column("s", EXPIRY)),
        ],
        {"A": f"min by (instance, credentials) ({expiry}) - {LATEST.time}"},
        unit="s",
    )


def _load():
    served = _rate("metastudio_exporter_http_requests_total", "handler, code", EXPORTERS)
    cpu = _rate("process_cpu_seconds_total", "instance", EXPORTERS)
    memory = f"sum by (instance) (process_resident_memory_bytes{{{EXPORTERS}}})"
    files = f"max by (instance) (process_open_fds{{{EXPORTERS}}} / process_max_fds{{{EXPORTERS}}})"
    connections = f"sum by (instance) (metastudio_exporter_connections{{{EXPORTERS}}})"
    maximum = f"sum by (instance) (metastudio_exporter_max_connections{{{EXPORTERS}}})"
    dropped = _increase("metastudio_exporter_log_lines_dropped_total", "instance", EXPORTERS)
    return [
        _exporter_series(
            33,
            "HTTP requests served",
            "By path and status code. A scrape never causes an API request.",
            "reqps",
            served,
            "{{handler}} {{code}}",
        ),
        _exporter_series(34, "CPU", "Share of one CPU core.", "percentunit", cpu),
        _exporter_series(35, "Memory", "Resident memory.", "bytes", memory),
        _exporter_series(36, "Open files", "Open file descriptors as a share of the limit.", "percentunit", files),
        _exporter_series(
            37,
            "Connections",
            "Open connections as a share of the maximum. Above it, idle connections are closed for new ones.",
            "percentunit",
            f"{connections}\n/ {maximum}",
        ),
        _exporter_series(
            38,
            "Log lines dropped",
            "Lines that were not written, because standard error was not read or failed.",
            "short",
            dropped,
        ),
    ]


def _exporter_series(id, title, description, unit, expression, legend="{{instance}}"):
    return panels.series_panel(id, 12, 7, title, description, unit, [panels.query(expression, legend)], legend="right")
