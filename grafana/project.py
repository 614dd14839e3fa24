"""The project dashboard: the usage of one project."""

from grafana_foundation_sdk.models import dashboard as m

import layout
import panels
import usage
from panels import MINUTES
from promql import LATEST, TOP, Selection, name_empty, name_rest, top
from usage import BUDGET, BUDGETS, DAYS, FORECAST, WINDOW


def project():
    selection = Selection('project="$project"')
    return layout.dashboard(
        "metastudio-project",
        "MetaStudio / Project",
        "Usage minutes of one project of Huawei Cloud MetaStudio by day, type and user, with its forecast and budgets.",
        [
            layout.datasource_variable(),
            layout.project_variable(),
            layout.business_type_variable(),
            layout.window_variable(),
        ],
        [layout.overview_link(), layout.packages_link(), layout.health_link()],
        {
            "$project": _now(selection),
            "Over time": _over_time(selection.over_time()),
            "Budgets": [usage.budgets_table(selection, 11, width=24)],
            "Types": usage.types(selection, 31, by_project=False),
            "Users": _users(selection),
        },
        time="now-30d",
    )


def _now(selection):
    return [
        *usage.totals(selection),
        panels.stat_panel(
            6,
            2,
            "Of budget",
            f"The forecast as a share of the budget, for the budget with the largest share. {BUDGETS} {FORECAST}",
            "percentunit",
            f"max(\n{selection.share_of_budget(selection.budget_forecast())}\n)",
            steps=BUDGET,
            empty="none",
        ),
        panels.stat_panel(
            7,
            2,
            "Age of usage",
            "The time since the last successful poll. Usage older than `poll.stale_after` is withdrawn.",
            "s",
            f"{LATEST.time} - max(metastudio_poll_last_success_timestamp_seconds{{{selection.project}}}{LATEST.at})",
            steps=panels.AGE,
            empty="never",
            link=layout.health_data_link(),
        ),
    ]


def _over_time(selection):
    types = name_empty(selection.daily("business_type, resource_type"), "business_type", "none")
    number = name_empty(selection.daily("business_type", "metastudio_usage_number"), "business_type", "none")
    return [
        _month(selection),
        panels.daily_panel(
            22,
            12,
            9,
            "Daily usage by type",
            DAYS,
            MINUTES,
            [panels.query(types, "{{business_type}} {{resource_type}}")],
        ),
        panels.daily_panel(
            23,
            12,
            9,
            "Videos and live sessions a day",
            f"Videos produced and live sessions held. {DAYS}",
            "short",
            [panels.query(number, "{{business_type}}")],
        ),
    ]


def _month(selection):
    whole = 'project="$project", window="this_month", resource_type="", business_type="", user_id=""'
    panel = panels.series_panel(
        21,
        24,
        9,
        "Month to date, forecast and budget",
        f"The budget is that of the whole project. Usage and forecast are those of the business types selected above. "
        f"{FORECAST}",
        MINUTES,
        [
            panels.query(selection.minutes("", "this_month"), "Month to date"),
            panels.query(selection.forecast("", "this_month"), "Forecast", ref="B"),
            panels.query(f"max(metastudio_budget_minutes{{{whole}}})", "Budget", ref="C"),
        ],
    )
    dashed = m.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})
    unfilled = m.DynamicConfigValue("custom.fillOpacity", 0)
    return panel.override_by_name("Forecast", [dashed]).override_by_name(
        "Budget", [panels.fixed_color("red"), unfilled]
    )


def _users(selection):
    return [
        panels.bars_panel(
            41,
            24,
            8,
            "Top users, $window",
            f"The {TOP} users with the most usage, if `user_ids` is configured. With `user_ids: all`, (others) is the usage "
            f"that belongs to none of the sub-users. {WINDOW}",
            MINUTES,
            top(name_rest(selection.minutes("user_id"))),
            "{{user_id}}",
        ),
    ]
