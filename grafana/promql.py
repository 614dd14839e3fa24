"""The PromQL of the dashboards: raw metrics, so that they work as imported, without recording rules."""

from itertools import combinations
from textwrap import indent

# What tells the series of a project apart. Its own labels are the same on all of them. Taking the greatest of what is
# left makes replicas of an exporter, and the two addresses of one that has moved, count once.
ROW = "project, window, resource_type, business_type, user_id"
TOP = 10


class Selection:
    """The projects and types that a dashboard's variables select."""

    def __init__(self, project):
        self.project = project
        self.types = f'{project}, business_type=~"$business_type"'

    def minutes(self, by, window="$window", at=""):
        """Usage of a window by some labels."""
        return _sum(by, self._rows("metastudio_usage_minutes", window, at))

    def number(self, by, window="$window"):
        """Videos produced and live sessions held."""
        return _sum(by, self._rows("metastudio_usage_number", window))

    def other(self, by, window="$window"):
        """Usage in units that are not a time; the unit tells its series apart, too."""
        selected = f'metastudio_usage_other{{{self.types}, window="{window}"}}'
        return _sum(f"{by}, unit", f"max by ({ROW}, unit) ({selected})")

    def daily(self, by, metric="metastudio_usage_minutes"):
        """Usage of the day of the exporter's time zone that an instant lies in.

        `yesterday` is that day from one day after the instant on; the six hours more let the poll after midnight come
        first, and are what the browser's midnight may lie before the exporter's.
        """
        selected = f'{metric}{{{self.types}, window="yesterday"}}'
        return _sum(by, f"max by ({ROW}) (last_over_time({selected}[6h] offset -30h))")

    def forecast(self, by="project", window="$window"):
        """What a window will have come to when it closes, if usage goes on as it has."""
        labels = ["project", "window"] + [label for label in by.split(", ") if label not in ("", "project")]
        so_far = _sum(", ".join(labels), self._rows("metastudio_usage_minutes", window))
        return _sum(by, f"{so_far}\n/ on (project, window) group_left ()\n{self.elapsed(window)}")

    def elapsed(self, window=None):
        """How much of each window is over, from 0 to 1.

        No less than a thirtieth, the first day of a month, so that the first video of the month does not become a
        forecast of thousands; and no more than all of it.
        """
        selected = self.project + (f', window="{window}"' if window else "")
        start = f"max by (project, window) (metastudio_window_start_timestamp_seconds{{{selected}}})"
        end = f"max by (project, window) (metastudio_window_end_timestamp_seconds{{{selected}}})"
        return f"clamp(\n  (time() - {start})\n    / ({end} - {start}),\n  1 / 30, 1\n)"

    def budget(self):
        """Every budget of the projects, with its own selectors as labels."""
        selected = f"metastudio_budget_minutes{{{self.project}}}"
        return f"max by ({ROW}) ({selected})"

    def budget_used(self):
        """The usage that each budget is for, with the labels of the budget; 0 where there was none yet.

        A missing selector of a budget is an empty label, as is what a sum leaves out: the sums over everything, by each
        type, by user, and by each two or all of them bear exactly the labels of the budgets that are for them. Where
        two of them bear the same labels, because a row has an empty type itself, the wider one comes first. While usage
        is withdrawn, there is none, rather than 0.
        """
        known = f"metastudio_window_start_timestamp_seconds{{{self.project}}}"
        rows = f"max by ({ROW}) (metastudio_usage_minutes{{{self.project}}})"
        selectors = ROW.split(", ")[2:]
        kept = [few for number in range(len(selectors) + 1) for few in combinations(selectors, number)]
        sums = "\n  or ".join(f"sum by ({', '.join(['project', 'window', *labels])}) ({rows})" for labels in kept)
        none = f"0 * {self.budget()} and on (project, window) {known}"
        return f"(\n  {sums}\n)\nand {self.budget()}\nor {none}"

    def budget_forecast(self):
        """What each budget's usage will have come to when its window closes."""
        return f"(\n{_in(self.budget_used())}\n)\n/ on (project, window) group_left ()\n{_in(self.elapsed())}"

    def share_of_budget(self, usage):
        return f"(\n{_in(usage)}\n)\n/ {self.budget()}"

    def _rows(self, metric, window, at=""):
        return f'max by ({ROW}) ({metric}{{{self.types}, window="{window}"}}{at})'


def _sum(by, rows):
    return f"sum by ({by}) (\n{_in(rows)}\n)" if by else f"sum(\n{_in(rows)}\n)"


def _in(text):
    return indent(text, "  ")


def top(expression, number=TOP):
    return f"topk({number},\n{_in(expression)}\n)"


def top_and_others(expression, label="project"):
    """The greatest now, and the rest in one."""
    rest = f"sum(\n{_in(expression)}\n  unless\n{_in(top(expression))}\n)"
    return f'{top(expression)}\nor label_replace(\n{_in(rest)},\n  "{label}", "others", "", ""\n)'


def top_of_range(expression, ranking, label="project"):
    """Of a range the series that a ranking finds the greatest: the same ones all the way; and the rest in one."""
    ranked = f"on ({label})\n{_in(top(ranking))}"
    rest = f"sum(\n{_in(expression)}\n  unless {ranked}\n)"
    return f'{expression}\nand {ranked}\nor label_replace(\n{_in(rest)},\n  "{label}", "others", "", ""\n)'


def named(expression, label, name):
    """Gives a name to what an empty label stands for."""
    return f'label_replace(\n{_in(expression)},\n  "{label}", "{name}", "{label}", ""\n)'
