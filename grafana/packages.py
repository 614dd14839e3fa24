"""The dashboard of packages: what was bought, what is left, when it ends, and who and what uses it now."""

import layout
import panels
from panels import MINUTES
from promql import LATEST, TOP, bottom, name_empty, top, without_prefix

# A package belongs to a project or to an account. The labels of the other kind of owner are empty.
LABELS = [
    "project",
    "account",
    "resource_type",
    "business_type",
    "sub_resource_type",
    "charging_mode",
    "resource_source",
    "product_id",
    "region",
]
KIND = ", ".join(LABELS)
OWNER = "{{project}}{{account}} {{business_type}}{{product_id}}"
PACKAGE = f"{KIND}, package"
BY_COLLECTOR = "project, account, collector"
# Colours of the rest of a package, as a share of what was bought.
LEFT = [(None, "text"), (0, "red"), (0.1, "orange"), (0.2, "green")]
# Colours of the used share of a quota.
USED = [(None, "text"), (0, "green"), (0.8, "orange"), (1, "red")]
# Colours of the time that is left, in seconds.
TIME_LEFT = [(None, "text"), (0, "red"), (7 * 86400, "orange"), (30 * 86400, "green")]
FROZEN = {0: ("no", "text"), 1: ("yes", "red")}
COLLECTED = "As of the last run of the collector, by default within the last hour."
TYPES = [
    ("account", "Account", None),
    ("business_type", "Business type", None),
    ("resource_type", "Resource type", None),
    ("sub_resource_type", "Part", None),
    ("charging_mode", "Charging", None),
    ("resource_source", "Source", None),
    ("product_id", "Product", None),
    ("region", "Region", None),
]


def packages():
    return layout.dashboard(
        "metastudio-packages",
        "MetaStudio / Packages",
        "Packages of Huawei Cloud MetaStudio: how much is left, and when they end. Quotas of sub-users, live sessions and videos, and their comparison with the usage.",
        [layout.datasource_variable(), layout.projects_variable()],
        [layout.overview_link(), layout.health_link(), layout.project_link(layout.DATA)],
        {
            "Now": _now(),
            "Packages": _packages(),
            "Sub-users": _sub_users(),
            "Live sessions and videos": _sessions(),
            "Reconciliation": _reconciliation(),
        },
        time="now-30d",
    )


def _named(packages):
    """Grafana joins the rows of the queries by their labels, and needs a value for each label."""
    for label in LABELS:
        packages = name_empty(packages, label, "none")
    return packages


def _selected(metric, by=PACKAGE, extra="", moment=LATEST.at):
    """A metric of the selected projects. `max` counts a series once when two exporters run the collector."""
    return f'max by ({by}) ({metric}{{project=~"$project"{extra}}}{moment})'


def _amount(metric, by, moment=LATEST.at):
    """An amount of each kind, package or user, in minutes, or else in its own unit."""
    in_minutes, other = (_selected(name, by, moment=moment) for name in (f"{metric}_minutes", metric))
    return f"(\n  {in_minutes}\n  or {other}\n)"


def _kinds(metric, moment=LATEST.at):
    return _amount(metric, f"{KIND}, unit", moment)


def _each(metric):
    return _amount(metric, f"{PACKAGE}, unit")


def _share_left():
    return f"{_kinds('metastudio_packages_left')}\n/ ({_kinds('metastudio_packages_bought')} > 0)"


def _expiry():
    return _selected("metastudio_package_expiry_timestamp_seconds")


def _run_out():
    """When each package is used up at the pace of the last 7 days, in seconds. Packages that refill are left out."""
    used = f"delta(metastudio_package_used_minutes{{project=~\"$project\", resettable=\"\"}}[7d]{LATEST.at}) > 0"
    left = f"{_selected('metastudio_package_left_minutes')} > 0"
    return f"{LATEST.time} + 7 * 86400 * (\n  ({left})\n  / (max by ({PACKAGE}) ({used}))\n)"


def _now():
    frozen, up = _selected("metastudio_package_frozen"), _selected("metastudio_collector_up", BY_COLLECTOR)
    unavailable = _selected("metastudio_collector_unavailable", BY_COLLECTOR)
    left = f"{_selected('metastudio_package_left_minutes')} > 0"
    ending = f"({_expiry()} - {LATEST.time} < bool 30 * 86400) * ({_expiry()} > bool {LATEST.time})"
    return [
        panels.stat_panel(
            1,
            5,
            "Packages",
            f"Packages of the selected projects, without parts of bundles. {COLLECTED}",
            "none",
            f"sum({_selected('metastudio_packages', f'{KIND}, unit')})",
        ),
        panels.stat_panel(
            2,
            5,
            "Minutes left",
            f"Minutes that are left in all packages that are not frozen. {COLLECTED}",
            MINUTES,
            f"sum({_selected('metastudio_packages_left_minutes', KIND)})",
        ),
        panels.problem_count_panel(
            3,
            4,
            "Spent",
            f"Kinds of packages that have nothing left. {COLLECTED}",
            f"sum({_kinds('metastudio_packages_left')} <= bool 0)",
        ),
        panels.stat_panel(
            4,
            4,
            "End within 30 days",
            f"Packages of minutes that end within 30 days and are not used up. {COLLECTED}",
            "none",
            f"sum(\n  {ending}\n  and on ({PACKAGE}) {left}\n)",
            steps=[(None, "text"), (0, "green"), (1, "orange")],
        ),
        panels.problem_count_panel(5, 3, "Frozen", "Packages that cannot be used.", f"sum({frozen})"),
        panels.problem_count_panel(
            6,
            3,
            "Collectors failing",
            "Collectors whose last run failed. A collector of `collect: all` that the service refuses does not count.",
            f"sum(({up} == bool 0) * on ({BY_COLLECTOR}) ({unavailable} == bool 0))",
            link=layout.health_data_link(),
        ),
    ]


def left_by_kind(id, width, height):
    return panels.bars_panel(
        id,
        width,
        height,
        "Left of packages, by kind",
        f"The {TOP} kinds of packages that have the least left, as a share of the bought amount. Frozen packages do not "
        f"count. {COLLECTED}",
        "percentunit",
        without_prefix(bottom(_share_left()), "resource_type", "hws[.]resource[.]type[.]metastudio[.]"),
        f"{OWNER} {{{{resource_type}}}}",
        order="sort",
        steps=LEFT,
        link=layout.packages_data_link("__field.labels.project"),
    )


def time_left(id, width, height):
    return panels.bars_panel(
        id,
        width,
        height,
        "Packages that end next",
        f"The {TOP} packages that end first, with the time until they end. Used-up packages do not count. {COLLECTED}",
        "s",
        bottom(f"{_expiry()} - {LATEST.time} > 0\nand on ({PACKAGE}) {_each('metastudio_package_left')} > 0"),
        "{{project}}{{account}} {{package}}",
        order="sort",
        steps=TIME_LEFT,
        link=layout.packages_data_link("__field.labels.project"),
    )


def _packages():
    left, bought = _each("metastudio_package_left"), _each("metastudio_package_bought")
    least = f"on ({KIND}, unit)\n{bottom(_share_left())}"
    over_time = f"{_kinds('metastudio_packages_left', moment='')}\nand {least}"
    return [
        left_by_kind(11, 8, 10),
        panels.series_panel(
            12,
            16,
            10,
            "Left, over time",
            f"The amount that is left of the {TOP} kinds of packages with the least left, in minutes or in another unit. It "
            "rises when a package is bought.",
            "short",
            [panels.query(over_time, f"{OWNER} {{{{resource_type}}}} {{{{unit}}}}")],
            legend="right",
        ),
        panels.table_panel(
            13,
            24,
            12,
            "Packages",
            f"Each package. Amounts without a unit are minutes. `Used up at` is the time at which nothing will be left, at the "
            f"pace of the last 7 days. Packages of accounts are shown if all projects are selected. {COLLECTED}",
            [
                layout.project_column(layout.DATA),
                ("package", "Package", None),
                *TYPES,
                ("unit", "Unit", None),
                ("Value #A", "Bought", panels.plain_column("short", 1)),
                ("Value #B", "Used", panels.plain_column("short", 1)),
                ("Value #C", "Left", panels.plain_column("short", 1)),
                ("Value #D", "Left share", panels.share_column(LEFT)),
                ("Value #E", "Used up at", panels.plain_column("dateTimeAsIso")),
                ("Value #F", "Ends at", panels.plain_column("dateTimeAsIso")),
                ("Value #G", "Ends in", panels.coloured_column("s", TIME_LEFT)),
                ("Value #H", "Frozen", panels.coloured_column("none", [(None, "text"), (1, "red")], FROZEN)),
            ],
            {
                "A": _named(bought),
                "B": _named(_each("metastudio_package_used")),
                "C": _named(left),
                "D": _named(f"{left}\n/ ({bought} > 0)"),
                "E": _named(f"1000 * (\n{_run_out()}\n)"),
                "F": _named(f"1000 * {_expiry()}"),
                "G": _named(f"{_expiry()} - {LATEST.time}"),
                "H": _named(_selected("metastudio_package_frozen")),
            },
            unit="short",
            sort="Left share",
        ),
    ]


def _sub_users():
    by = "project, resource_type, user_id"

    quota, used = (_amount(metric, by) for metric in ("metastudio_user_quota", "metastudio_user_used"))
    share = f"{used}\n/ ({quota} > 0)"
    return [
        panels.bars_panel(
            21,
            8,
            10,
            "Used quota",
            "The sub-users that have used the largest part of a quota. Users without a limit are not shown.",
            "percentunit",
            top(share),
            "{{project}} {{user_id}} {{resource_type}}",
            steps=USED,
        ),
        panels.table_panel(
            22,
            16,
            10,
            "Sub-users",
            f"The quota and the use of each sub-user: minutes, images or voices. {COLLECTED}",
            [
                layout.project_column(layout.DATA),
                ("user_id", "User", None),
                ("resource_type", "Resource type", None),
                ("Value #A", "Quota", panels.plain_column("short", 1)),
                ("Value #B", "Used", panels.plain_column("short", 1)),
                ("Value #C", "Used share", panels.share_column(USED)),
            ],
            {"A": quota, "B": used, "C": share},
            unit="short",
            sort="Used share",
        ),
    ]


def _sessions():
    sessions = _selected("metastudio_live_sessions", "project, charging_mode", moment="")
    videos = _selected("metastudio_videos", "project, state", moment="")
    oldest = _selected("metastudio_live_session_oldest_start_timestamp_seconds", "project")
    longest = _selected("metastudio_live_session_max_duration_seconds", "project")
    on_demand = _selected("metastudio_live_sessions", "project", ', charging_mode="ON_DEMAND"')
    # A session may change its mode, and two exporters do not see this at the same time. So the query adds up the modes
    # of each exporter separately, and then takes the maximum over the exporters.
    running = f'metastudio_live_sessions{{project=~"$project"}}{LATEST.at}'
    return [
        panels.series_panel(
            31,
            12,
            9,
            "Live sessions",
            "Running live sessions, by the way they are charged.",
            "short",
            [panels.query(f"sum by (charging_mode) ({sessions})", "{{charging_mode}}")],
        ),
        panels.series_panel(
            32,
            12,
            9,
            "Videos",
            "Videos that wait or are in production, and those of the last 24 hours that failed.",
            "short",
            [panels.query(f"sum by (state) ({videos})", "{{state}}")],
        ),
        panels.table_panel(
            33,
            24,
            8,
            "Live sessions that run",
            "Each project with live sessions: how many are billed on demand, and how long the oldest one has been running.",
            [
                layout.project_column(layout.DATA),
                ("Value #A", "Sessions", panels.plain_column("short")),
                ("Value #B", "On demand", panels.coloured_column("short", [(None, "text"), (1, "orange")])),
                ("Value #C", "Oldest", panels.plain_column("s")),
                ("Value #D", "Of its limit", panels.share_column(USED)),
            ],
            {
                "A": f"max by (project) (sum without (charging_mode) ({running})) > 0",
                "B": on_demand,
                "C": f"{LATEST.time} - {oldest}",
                "D": f"({LATEST.time} - {oldest})\n/ {longest}",
            },
            unit="short",
            sort="Oldest",
        ),
    ]


def _reconciliation():
    by = "project, against, business_type"
    difference, usage = (
        _selected(f"metastudio_reconciliation_{name}_minutes", by) for name in ("difference", "usage")
    )
    doubts = _selected("metastudio_collector_doubts", f"{BY_COLLECTOR}, doubt", moment="")
    return [
        panels.table_panel(
            41,
            14,
            9,
            "Usage beside live sessions, videos and packages",
            "Minutes by ShowUsageData, and their difference to the minutes by another operation for the same time: a day that "
            "ended at least two days ago, or the time between two readings of packages.",
            [
                layout.project_column(layout.DATA),
                ("against", "Compared with", None),
                ("business_type", "Business type", None),
                ("Value #A", "Usage", None),
                ("Value #B", "Difference", None),
            ],
            {"A": usage, "B": difference},
            sort="Difference",
        ),
        panels.series_panel(
            42,
            10,
            9,
            "Collectors with doubtful values",
            "Collectors whose values may be wrong, by doubt. The runbook of MetaStudioCollectorDoubtful explains each.",
            "short",
            [panels.query(f"sum by (doubt) ({doubts})", "{{doubt}}")],
        ),
    ]
