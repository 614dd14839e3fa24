"""The panels of usage that the overview dashboard and the project dashboard share."""

import layout
import panels
from panels import MINUTES
from promql import name_empty

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
# Colours of the used share of a budget.
BUDGET = [(None, "green"), (0.8, "orange"), (1, "red")]
TYPE_COLUMNS = [("business_type", "Business type", None), ("resource_type", "Resource type", None)]


def totals(selection):
    """The first panels of the first row: sums over all that is selected."""
    today = "Since midnight in the exporter's time zone."
    yesterday = "The day before, in the exporter's time zone."
    month = "Since the first of the month."
    return [
        panels.stat_panel(1, 4, "Usage, $window", WINDOW, MINUTES, selection.minutes("")),
        panels.stat_panel(2, 4, "Today", today, MINUTES, selection.minutes("", "today")),
        panels.stat_panel(3, 4, "Yesterday", yesterday, MINUTES, selection.minutes("", "yesterday")),
        panels.stat_panel(4, 4, "Month to date", month, MINUTES, selection.minutes("", "this_month")),
        panels.stat_panel(5, 4, "Forecast of the month", FORECAST, MINUTES, selection.forecast("", "this_month")),
    ]


def budgets_table(selection, id, width):
    used, forecast = selection.budget_used(), selection.budget_forecast()
    return panels.table_panel(
        id,
        width,
        9,
        "Budgets",
        f"Every budget, with what has been used of it and what it will come to. {BUDGETS} {FORECAST}",
        [
            layout.project_column(),
            ("window", "Window", None),
            *TYPE_COLUMNS,
            ("user_id", "User", None),
            ("Value #A", "Budget", panels.plain_column(MINUTES)),
            ("Value #B", "Used", panels.plain_column(MINUTES, 1)),
            ("Value #C", "Used share", panels.share_column(BUDGET)),
            ("Value #D", "Forecast", panels.plain_column(MINUTES)),
            ("Value #E", "Forecast share", panels.share_column(BUDGET)),
        ],
        {
            "A": _name_selectors(selection.budget()),
            "B": _name_selectors(used),
            "C": _name_selectors(selection.share_of_budget(used)),
            "D": _name_selectors(forecast),
            "E": _name_selectors(selection.share_of_budget(forecast)),
        },
        sort="Forecast share",
    )


def _name_selectors(budgets):
    """Grafana joins the rows of the queries by their labels, and needs a value for each label."""
    for selector in "business_type", "resource_type", "user_id":
        budgets = name_empty(budgets, selector, "all")
    return budgets


def types(selection, first_id, *, by_project):
    """The panels of business types and resource types, with ids from `first_id` on."""
    labels = "project, resource_type, business_type" if by_project else "resource_type, business_type"
    columns = [layout.project_column(), *TYPE_COLUMNS] if by_project else TYPE_COLUMNS
    no_resource = f"{WINDOW} Live streams have no resource type: none."
    return [
        _type_share(selection, first_id, "Share by business type, $window", WINDOW, "business_type"),
        _type_share(selection, first_id + 1, "Share by resource type, $window", no_resource, "resource_type"),
        _types_table(selection, first_id + 2, labels, columns),
        _other_units_table(selection, first_id + 3, labels, columns),
    ]


def _type_share(selection, id, title, description, label):
    minutes = name_empty(selection.minutes(label), label, "none")
    return panels.share_panel(id, 12, 8, title, description, MINUTES, minutes, f"{{{{{label}}}}}")


def _types_table(selection, id, labels, columns):
    return panels.table_panel(
        id,
        14,
        9,
        "Usage by type, $window",
        f"{WINDOW} The number is of videos produced or live sessions held.",
        [
            *columns,
            ("Value #A", "Usage", panels.BAR_COLUMN),
            ("Value #B", "Number", panels.plain_column("short")),
        ],
        {"A": selection.minutes(labels), "B": selection.number(labels)},
        sort="Usage",
    )


def _other_units_table(selection, id, labels, columns):
    return panels.table_panel(
        id,
        10,
        9,
        "Usage in other units, $window",
        f"{WINDOW} What the API gave in a unit that is not a time. Empty if there is none.",
        [
            *columns,
            ("unit", "Unit", None),
            ("Value #A", "Usage", panels.plain_column("short", 1)),
        ],
        {"A": selection.other(labels)},
        unit="short",
        sort="Usage",
    )
