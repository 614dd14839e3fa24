"""The panels of usage that the overview dashboard and the project dashboard share."""

import layout
import panels
from panels import MINUTES
from promql import name_empty

FORECAST = """
    The forecast is the usage so far, divided by the elapsed part of the window: the usage at the end of the window if
    it continues at the same rate. The elapsed part counts as at least 1/30, a day of a month. Therefore the forecast of
    the first hours is too low, and not absurdly high. For a rolling window or one that has ended, the forecast is the
    usage.
"""
DAYS = """
    Each bar is one day in the exporter's time zone. The browser draws it at the same date, unless its midnight is more
    than 5 hours earlier than the exporter's, or more than 18 hours later. The values are those of the window
    `yesterday`: the last bar is yesterday, and it appears with the first poll after midnight.
"""
WINDOW = "In the window selected above, as of the last poll."
BUDGETS = "Each budget counts its own usage, regardless of the business types selected above."
SHARED_BUDGETS = (
    "For a shared budget, the column Project has the name of the budget. The budget counts the usage of all its projects."
)
# Colours of the used share of a budget.
BUDGET = [(None, "text"), (0, "green"), (0.8, "orange"), (1, "red")]
TYPE_COLUMNS = [("business_type", "Business type", None), ("resource_type", "Resource type", None)]


def totals(selection):
    """The first panels of the first row: sums over all that is selected."""
    today = "Since midnight in the exporter's time zone."
    yesterday = "The previous day in the exporter's time zone."
    month = "Since the first day of the month."
    return [
        panels.stat_panel(1, 4, "Usage, $window", WINDOW, MINUTES, selection.minutes("")),
        panels.stat_panel(2, 4, "Today", today, MINUTES, selection.minutes("", "today")),
        panels.stat_panel(3, 4, "Yesterday", yesterday, MINUTES, selection.minutes("", "yesterday")),
        panels.stat_panel(4, 4, "Month to date", month, MINUTES, selection.minutes("", "this_month")),
        panels.stat_panel(5, 4, "Forecast for the month", FORECAST, MINUTES, selection.forecast("", "this_month")),
    ]


def budgets_table(selection, id, width):
    used, forecast = selection.budget_used(), selection.budget_forecast()
    shared = f"{SHARED_BUDGETS} " if selection.has_shared_budgets else ""
    left = panels.coloured_column(MINUTES, [(None, "red"), (0, "text")]) | {"decimals": 0}
    return panels.table_panel(
        id,
        width,
        9,
        "Budgets",
        f"Every budget, the usage that it counts, what is left, and the forecast of that usage. {BUDGETS} {shared}{FORECAST} "
        "`Used up at` is when the forecast reaches the budget. It is empty if the budget lasts until the window ends, or is "
        "used up already.",
        [
            layout.project_column(),
            ("window", "Window", None),
            *TYPE_COLUMNS,
            ("user_id", "User", None),
            ("Value #A", "Budget", panels.plain_column(MINUTES)),
            ("Value #B", "Used", panels.plain_column(MINUTES, 1)),
            ("Value #C", "Used share", panels.share_column(BUDGET)),
            ("Value #F", "Left", left),
            ("Value #D", "Forecast", panels.plain_column(MINUTES)),
            ("Value #E", "Forecast share", panels.share_column(BUDGET)),
            ("Value #G", "Used up at", panels.plain_column("dateTimeAsIso")),
        ],
        {
            "A": _name_selectors(selection.budget()),
            "B": _name_selectors(used),
            "C": _name_selectors(selection.share_of_budget(used)),
            "D": _name_selectors(forecast),
            "E": _name_selectors(selection.share_of_budget(forecast)),
            "F": _name_selectors(selection.budget_left()),
            "G": _name_selectors(f"1000 * (\n{selection.budget_used_up()}\n)"),
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
    no_resource = f"{WINDOW} Live streams have no resource type: `none`."
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
        f"{WINDOW} The number counts videos produced or live sessions held.",
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
        f"{WINDOW} Usage in units that are not a time, as the API returned it.",
        [
            *columns,
            ("unit", "Unit", None),
            ("Value #A", "Usage", panels.plain_column("short", 1)),
        ],
        {"A": selection.other(labels)},
        unit="short",
        sort="Usage",
    )
