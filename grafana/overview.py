"""The overview dashboard: the usage of all projects."""

import layout
import packages
import panels
import usage
from panels import MINUTES
from promql import LATEST, TOP, Selection, count, name_empty, separate, top, top_and_others, top_of_range
from usage import BUDGET, BUDGETS, DAYS, FORECAST, WINDOW

# Columns share the width of their table. At Grafana's own minimum of 150 pixels, half of them would be out of sight.
COLUMN = 80


def overview():
    selection = Selection('project=~"$project"', has_shared_budgets=True)
    return layout.dashboard(
        "metastudio-overview",
        "MetaStudio / Overview",
        "Usage minutes of Huawei Cloud MetaStudio in all projects, with forecasts and budgets.",
        [
            layout.datasource_variable(),
            layout.projects_variable(),
            layout.business_type_variable(),
            layout.window_variable(),
        ],
        [layout.packages_link(), layout.health_link(), layout.project_link(layout.SELECTED)],
        {
            "Now": _now(selection),
            "Budgets": _budgets(selection),
            "Packages": [packages.left_by_kind(41, 12, 9), packages.time_left(42, 12, 9)],
            "Projects": _projects(selection),
            "Types": _types(selection),
        },
        time="now-30d",
    )


def _now(selection):
    return [
        *usage.totals(selection),
        panels.problem_count_panel(
            6,
            2,
            "Over budget",
            f"Budgets that the forecast exceeds. {BUDGETS}",
            count(f"\n{_forecast_share(selection)}\n", "> 1"),
        ),
        panels.problem_count_panel(
            7,
            2,
            "Failing",
            "Projects whose last poll failed. Their usage is withdrawn once it is older than `poll.stale_after`.",
            count(f"max by (project) (metastudio_up{{{selection.project}}}{LATEST.at})", "== 0"),
            link=layout.health_data_link(),
        ),
    ]


def _forecast_share(selection):
    return selection.share_of_budget(selection.budget_forecast())


def _budgets(selection):
    return [
        panels.bars_panel(
            11,
            6,
            9,
            "Forecast against budget",
            f"The forecast as a share of the budget, for the {TOP} budgets with the largest share. {BUDGETS}",
            "percentunit",
            separate(top(_forecast_share(selection)), "business_type", "resource_type", "user_id"),
            "{{project}} {{window}}{{business_type}}{{resource_type}}{{user_id}}",
            steps=BUDGET,
            link=layout.project_data_link("__field.labels.project"),
        ),
        usage.budgets_table(selection, 12, width=18).min_width(COLUMN),
    ]


def _projects(selection):
    return [
        panels.bars_panel(
            21,
            8,
            10,
            "Top projects, $window",
            f"The {TOP} projects with the most usage. {WINDOW}",
            MINUTES,
            top(selection.minutes("project")),
            "{{project}}",
            link=layout.project_data_link("__field.labels.project"),
        ),
        _projects_table(selection).min_width(COLUMN),
        *_projects_over_time(selection),
        panels.share_panel(
            25,
            12,
            9,
            "Share by project, $window",
            f"The {TOP} projects with the most usage, and the sum of all others. {WINDOW}",
            MINUTES,
            top_and_others(selection.minutes("project")),
            "{{project}}",
        ),
    ]


def _projects_table(selection):
    return panels.table_panel(
        22,
        16,
        10,
        "Projects",
        f"All projects selected above. {FORECAST}",
        [
            layout.project_column(),
            ("Value #A", "$window", panels.BAR_COLUMN),
            ("Value #B", "Share", panels.share_column([(None, "blue")])),
            ("Value #C", "Today", panels.plain_column(MINUTES, 1)),
            ("Value #D", "Yesterday", panels.plain_column(MINUTES, 1)),
            ("Value #E", "Month to date", panels.plain_column(MINUTES)),
            ("Value #F", "Forecast", panels.plain_column(MINUTES)),
        ],
        {
            "A": selection.minutes("project"),
            "B": selection.share("project"),
            "C": selection.minutes("project", "today"),
            "D": selection.minutes("project", "yesterday"),
            "E": selection.minutes("project", "this_month"),
            "F": selection.forecast("project", "this_month"),
        },
        sort="$window",
    )


def _projects_over_time(selection):
    ranking, over_time = selection.minutes("project"), selection.over_time()
    return [
        panels.daily_panel(
            23,
            24,
            9,
            "Daily usage by project",
            f"The {TOP} projects with the most usage in $window, and the sum of all others. {DAYS}",
            MINUTES,
            [panels.query(top_of_range(over_time.daily("project"), ranking), "{{project}}")],
            legend="right",
            calcs=["lastNotNull", "sum"],
        ),
        panels.series_panel(
            24,
            12,
            9,
            "Usage over time by project, $window",
            f"The usage in the window at each time. It drops when a new window begins. The {TOP} projects with the "
            "most usage now, and the sum of all others.",
            MINUTES,
            [panels.query(top_of_range(over_time.minutes("project"), ranking), "{{project}}")],
            legend="right",
        ),
    ]


def _types(selection):
    daily = name_empty(selection.over_time().daily("business_type"), "business_type", "none")
    return [
        *usage.types(selection, 31, by_project=True),
        panels.daily_panel(
            35,
            24,
            8,
            "Daily usage by business type",
            DAYS,
            MINUTES,
            [panels.query(daily, "{{business_type}}")],
            legend="right",
            calcs=["lastNotNull", "sum"],
        ),
    ]
