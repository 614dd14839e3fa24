"""The dashboards of usage: of all projects, and of one."""

from grafana_foundation_sdk.models import dashboard as m

import frame
import panels
from panels import BAR, MINUTES
from promql import TOP, Selection, named, top, top_and_others, top_of_range

BUDGET = [(None, "green"), (0.8, "orange"), (1, "red")]

FORECAST = """
    Usage so far, divided by the part of the window that is over: what it will come to if it goes on as it has. At least
    a thirtieth of the window counts as over, a day of a month, so that the forecast of the first hours is too low
    rather than absurd. A window that has ended, or that ends now, is its own forecast.
"""
DAYS = """
    Each bar is one day of the exporter's time zone, drawn at that day in the browser's, also if the browser's midnight
    is up to five hours earlier than the exporter's, or 18 later. It is what `yesterday` said on the day after: the last
    bar is yesterday's, and it appears after midnight with the first poll.
"""
WINDOW = "In the window chosen above, as of the last poll."
BUDGETS = "Each budget counts the usage it is for, whatever business type is chosen above."
AGE = [(None, "green"), (1800, "orange"), (7200, "red")]


def totals(usage):
    """The numbers at the top, for any selection of projects."""
    return [
        panels.stat_panel(1, 4, "Usage, $window", WINDOW, MINUTES, usage.minutes("")),
        panels.stat_panel(
            2, 4, "Today", "Since midnight in the exporter's time zone.", MINUTES, usage.minutes("", "today")
        ),
        panels.stat_panel(
            3, 4, "Yesterday", "The day before, in the exporter's time zone.", MINUTES, usage.minutes("", "yesterday")
        ),
        panels.stat_panel(
            4, 4, "Month to date", "Since the first of the month.", MINUTES, usage.minutes("", "this_month")
        ),
        panels.stat_panel(5, 4, "Forecast of the month", FORECAST, MINUTES, usage.forecast("", "this_month")),
    ]


def budgets(usage, id, width):
    def of_all(budgets):
        """Rows are the same by their labels, of which each needs a value."""
        for selector in "business_type", "resource_type", "user_id":
            budgets = named(budgets, selector, "all")
        return budgets

    link = frame.project_link("__data.fields.Project")
    return panels.table_panel(
        id,
        width,
        9,
        "Budgets",
        f"Every budget, with what has been used of it and what it will come to. {BUDGETS} {FORECAST}",
        [
            ("project", "Project", panels.linked_column(link)),
            ("window", "Window", None),
            ("business_type", "Business type", None),
            ("resource_type", "Resource type", None),
            ("user_id", "User", None),
            ("Value #A", "Budget", panels.plain_column(MINUTES)),
            ("Value #B", "Used", panels.plain_column(MINUTES, 1)),
            ("Value #C", "Used share", panels.share_column(BUDGET)),
            ("Value #D", "Forecast", panels.plain_column(MINUTES)),
            ("Value #E", "Forecast share", panels.share_column(BUDGET)),
        ],
        {
            "A": of_all(usage.budget()),
            "B": of_all(usage.budget_used()),
            "C": of_all(usage.share_of_budget(usage.budget_used())),
            "D": of_all(usage.budget_forecast()),
            "E": of_all(usage.share_of_budget(usage.budget_forecast())),
        },
        sort="Forecast share",
    )


def types(usage, first, project_column):
    """What it was used for."""
    business = named(usage.minutes("business_type"), "business_type", "none")
    resource = named(usage.minutes("resource_type"), "resource_type", "none")
    by = "project, resource_type, business_type" if project_column else "resource_type, business_type"
    columns = (
        [("project", "Project", panels.linked_column(frame.project_link("__data.fields.Project")))]
        if project_column
        else []
    )
    return [
        panels.share_panel(
            first, 12, 8, "Share by business type, $window", WINDOW, MINUTES, business, "{{business_type}}"
        ),
        panels.share_panel(
            first + 1,
            12,
            8,
            "Share by resource type, $window",
            f"{WINDOW} Live streams have no resource type: none.",
            MINUTES,
            resource,
            "{{resource_type}}",
        ),
        panels.table_panel(
            first + 2,
            14,
            9,
            "Usage by type, $window",
            f"{WINDOW} The number is of videos produced or live sessions held.",
            columns
            + [
                ("business_type", "Business type", None),
                ("resource_type", "Resource type", None),
                ("Value #A", "Usage", BAR),
                ("Value #B", "Number", panels.plain_column("short")),
            ],
            {"A": usage.minutes(by), "B": usage.number(by)},
            sort="Usage",
        ),
        panels.table_panel(
            first + 3,
            10,
            9,
            "Usage in other units, $window",
            f"{WINDOW} What the API gave in a unit that is not a time. Empty if there is none.",
            columns
            + [
                ("business_type", "Business type", None),
                ("resource_type", "Resource type", None),
                ("unit", "Unit", None),
                ("Value #A", "Usage", panels.plain_column("short", 1)),
            ],
            {"A": usage.other(by)},
            unit="short",
            sort="Usage",
        ),
    ]


def overview():
    usage = Selection('project=~"$project"')
    forecast_share = usage.share_of_budget(usage.budget_forecast())
    ranking = usage.minutes("project", at=" @ end()")
    link = frame.project_link("__field.labels.project")
    return frame.dashboard(
        "metastudio-overview",
        "MetaStudio / Overview",
        "Usage minutes of Huawei Cloud MetaStudio in all projects, and what they will come to, against the budgets.",
        [frame.datasource_variable(), frame.many_projects(), frame.business_type(), frame.window()],
        [frame.to_health(), frame.to_project(frame.SELECTED)],
        {
            "Now": totals(usage)
            + [
                panels.stat_panel(
                    6,
                    2,
                    "Over budget",
                    f"Budgets whose forecast exceeds them. {BUDGETS}",
                    "none",
                    f"count(\n{forecast_share}\n> 1\n) or vector(0)",
                    steps=[(None, "green"), (1, "red")],
                ),
                panels.stat_panel(
                    7,
                    2,
                    "Failing",
                    "Projects whose last poll failed: their numbers are old, and withdrawn when they are too old.",
                    "none",
                    'count(max by (project) (metastudio_up{project=~"$project"}) == 0) or vector(0)',
                    steps=[(None, "green"), (1, "red")],
                    link=frame.health_link(),
                ),
            ],
            "Budgets": [
                panels.bars_panel(
                    11,
                    8,
                    9,
                    "Forecast against budget",
                    f"The forecast of each budget's window as a share of the budget, the {TOP} greatest. {BUDGETS}",
                    "percentunit",
                    top(forecast_share),
                    "{{project}} {{window}} {{business_type}} {{resource_type}} {{user_id}}",
                    steps=BUDGET,
                    link=link,
                ),
                budgets(usage, 12, width=16),
            ],
            "Projects": [
                panels.bars_panel(
                    21,
                    8,
                    10,
                    "Top projects, $window",
                    f"The {TOP} projects with the most usage. {WINDOW}",
                    MINUTES,
                    top(usage.minutes("project")),
                    "{{project}}",
                    link=link,
                ),
                panels.table_panel(
                    22,
                    16,
                    10,
                    "Projects",
                    f"All projects that are chosen above. {FORECAST}",
                    [
                        ("project", "Project", panels.linked_column(frame.project_link("__data.fields.Project"))),
                        ("Value #A", "$window", BAR),
                        ("Value #B", "Share", panels.share_column([(None, "blue")])),
                        ("Value #C", "Today", panels.plain_column(MINUTES, 1)),
                        ("Value #D", "Yesterday", panels.plain_column(MINUTES, 1)),
                        ("Value #E", "Month to date", panels.plain_column(MINUTES)),
                        ("Value #F", "Forecast", panels.plain_column(MINUTES)),
                    ],
                    {
                        "A": usage.minutes("project"),
                        "B": f"{usage.minutes('project')}\n/ on () group_left ()\n{usage.minutes('')}",
                        "C": usage.minutes("project", "today"),
                        "D": usage.minutes("project", "yesterday"),
                        "E": usage.minutes("project", "this_month"),
                        "F": usage.forecast("project", "this_month"),
                    },
                    sort="$window",
                ),
                panels.daily(
                    panels.series_panel(
                        23,
                        24,
                        9,
                        "Daily usage by project",
                        f"The {TOP} projects with the most usage in $window, and all others together. {DAYS}",
                        MINUTES,
                        [panels.query(top_of_range(usage.daily("project"), ranking), "{{project}}")],
                        legend="right",
                        calcs=["lastNotNull", "sum"],
                    )
                ),
                panels.series_panel(
                    24,
                    12,
                    9,
                    "Usage over time by project, $window",
                    f"What the window held at each time: it falls where a new window begins. The {TOP} projects with "
                    "the most usage now, and all others together.",
                    MINUTES,
                    [panels.query(top_of_range(usage.minutes("project"), ranking), "{{project}}")],
                    legend="right",
                ),
                panels.share_panel(
                    25,
                    12,
                    9,
                    "Share by project, $window",
                    f"The {TOP} projects with the most usage, and all others together. {WINDOW}",
                    MINUTES,
                    top_and_others(usage.minutes("project")),
                    "{{project}}",
                ),
            ],
            "Types": types(usage, 31, project_column=True)
            + [
                panels.daily(
                    panels.series_panel(
                        35,
                        24,
                        8,
                        "Daily usage by business type",
                        DAYS,
                        MINUTES,
                        [
                            panels.query(
                                named(usage.daily("business_type"), "business_type", "none"), "{{business_type}}"
                            )
                        ],
                        legend="right",
                        calcs=["lastNotNull", "sum"],
                    )
                )
            ],
        },
        time="now-30d",
    )


def project():
    usage = Selection('project="$project"')
    whole = 'project="$project", window="this_month", resource_type="", business_type="", user_id=""'
    month = panels.series_panel(
        21,
        24,
        9,
        "Month to date, forecast and budget",
        f"The budget is that of the whole project, and the other two are of the chosen business types. {FORECAST}",
        MINUTES,
        [
            panels.query(usage.minutes("", "this_month"), "Month to date"),
            panels.query(usage.forecast("", "this_month"), "Forecast", ref="B"),
            panels.query(f"max(metastudio_budget_minutes{{{whole}}})", "Budget", ref="C"),
        ],
    )
    month.override_by_name("Forecast", [m.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})])
    month.override_by_name(
        "Budget",
        [
            m.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
            m.DynamicConfigValue("custom.fillOpacity", 0),
        ],
    )
    return frame.dashboard(
        "metastudio-project",
        "MetaStudio / Project",
        "Usage minutes of one project of Huawei Cloud MetaStudio: what for, by whom, how fast, against its budgets.",
        [frame.datasource_variable(), frame.one_project(), frame.business_type(), frame.window()],
        [frame.to_overview(), frame.to_health()],
        {
            "$project": totals(usage)
            + [
                panels.stat_panel(
                    6,
                    2,
                    "Of budget",
                    f"The forecast of the budget that is closest to its end, as a share of it. {BUDGETS} {FORECAST}",
                    "percentunit",
                    f"max(\n{usage.share_of_budget(usage.budget_forecast())}\n)",
                    steps=BUDGET,
                    empty="none",
                ),
                panels.stat_panel(
                    7,
                    2,
                    "As of",
                    "How old the usage is. It is withdrawn when it is too old.",
                    "s",
                    'time() - max(metastudio_poll_last_success_timestamp_seconds{project="$project"})',
                    steps=AGE,
                    empty="never",
                    link=frame.health_link(),
                ),
            ],
            "Over time": [
                month,
                panels.daily(
                    panels.series_panel(
                        22,
                        12,
                        9,
                        "Daily usage by type",
                        DAYS,
                        MINUTES,
                        [
                            panels.query(
                                named(usage.daily("business_type, resource_type"), "business_type", "none"),
                                "{{business_type}} {{resource_type}}",
                            )
                        ],
                    )
                ),
                panels.daily(
                    panels.series_panel(
                        23,
                        12,
                        9,
                        "Videos and live sessions a day",
                        f"Videos produced and live sessions held. {DAYS}",
                        "short",
                        [
                            panels.query(
                                named(usage.daily("business_type", "metastudio_usage_number"), "business_type", "none"),
                                "{{business_type}}",
                            )
                        ],
                    )
                ),
            ],
            "Budgets": [budgets(usage, 11, width=24)],
            "Types": types(usage, 31, project_column=False),
            "Users": [
                panels.bars_panel(
                    41,
                    24,
                    8,
                    "Top users, $window",
                    f"The {TOP} users with the most usage, if the exporter asks for users (`user_ids`). {WINDOW}",
                    MINUTES,
                    top(named(usage.minutes("user_id"), "user_id", "all users")),
                    "{{user_id}}",
                ),
            ],
        },
        time="now-30d",
    )
