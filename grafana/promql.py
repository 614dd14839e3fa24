"""The PromQL of the dashboards. It reads raw metrics, so that imported dashboards need no recording rules."""

from itertools import combinations
from textwrap import indent
from typing import NamedTuple

# The labels that divide the usage of a project in a window. They are the selectors of a budget, too.
PARTS = ["resource_type", "business_type", "user_id"]
# The labels of a budget of one project.
OWN = ", ".join(["project", "window", *PARTS])
# The labels of a budget of several projects, which has no user.
SHARED = "window, resource_type, business_type"
TOP = 10


class Moment(NamedTuple):
    """The time at which a query reads its metrics: as a modifier of selectors, and in seconds."""

    at: str
    time: str


# The end of the time range, or the latest scrape if the end is in the future: the variable of `layout.latest_variable`.
LATEST = Moment(" @ $latest", "$latest")
# Each step of a range query.
EACH_STEP = Moment("", "time()")


class Selection:
    """The projects and business types that the variables of a dashboard select, at a moment."""

    def __init__(self, project, moment=LATEST, has_shared_budgets=False):
        """`has_shared_budgets` adds shared budgets, whose label `project` is their name and "(shared)"."""
        self.project = project
        self.types = f'{project}, business_type=~"$business_type"'
        self.moment = moment
        self.has_shared_budgets = has_shared_budgets

    def over_time(self):
        """The same selection for range queries."""
        return Selection(self.project, EACH_STEP, self.has_shared_budgets)

    def minutes(self, by, window="$window"):
        """The minutes in a window, summed by these labels."""
        return self._usage(by, "metastudio_usage_minutes", window)

    def share(self, by, window="$window"):
        """The share of all minutes in a window. Before the first usage of a window, it is 0 and not NaN."""
        total = f"clamp_min(\n{_in(self.minutes('', window))},\n  1e-9\n)"
        return f"{self.minutes(by, window)}\n/ on () group_left ()\n{total}"

    def number(self, by, window="$window"):
        """Videos produced and live sessions held."""
        return self._usage(by, "metastudio_usage_number", window)

    def other(self, by, window="$window"):
        """Usage in units that are not a time, summed by these labels and by unit."""
        return self._usage(f"{by}, unit", "metastudio_usage_other", window)

    def daily(self, by, metric="metastudio_usage_minutes"):
        """The usage of the day that contains each step of a range query, in the exporter's time zone.

        24 hours after a step, the window `yesterday` holds the day of the step. The query takes the last sum between 24
        and 30 hours after the step. The six hours leave time for the first poll after midnight, and for a browser whose
        midnight is earlier than the exporter's.

        The sums are made first, every five minutes, and the last one is taken then. The other order would count a user
        whose series has ended twice: the usage without a user already has the minutes of this user.
        """
        selected = f'{metric}{{{self.types}, window="yesterday"}}'
        return _sum_projects(by, _of_projects(by, selected, "last_over_time(\n{}[6h:5m] offset -30h\n)"))

    def forecast(self, by="project", window="$window"):
        """The expected usage at the end of a window, if usage continues at the same rate."""
        so_far = _of_projects(by, self._selected("metastudio_usage_minutes", window))
        return _sum_projects(by, f"{so_far}\n/ on (project) group_left ()\n{self.elapsed(window)}")

    def elapsed(self, window=None, selected=None):
        """The elapsed part of each window, from 1/30 to 1.

        1/30 is the first day of a month. Without this minimum, the first video of a month would make a forecast of
        thousands of minutes.
        """
        selected = self.project if selected is None else selected
        selected += f', window="{window}"' if window else ""
        start, end = self._window("start", selected), self._window("end", selected)
        return f"clamp(\n  ({self.moment.time} - {start})\n    / ({end} - {start}),\n  1 / 30, 1\n)"

    def budget(self):
        """Every budget of the projects, with its own selectors as labels."""
        return self._or_shared(self._own_budget(), f"max by (budget, {SHARED}) (\n{_in(self._shared_budget())}\n)")

    def budget_used(self):
        """The usage that each budget counts, with the labels of the budget."""
        return self._or_shared(self._own_budget_used(), self._shared_budget_used())

    def budget_forecast(self):
        """The expected usage of each budget at the end of its window."""
        return self._or_shared(self._own_budget_forecast(), self._shared_budget_forecast())

    def _own_budget_forecast(self):
        return f"(\n{_in(self._own_budget_used())}\n)\n/ on (project, window) group_left ()\n{_in(self.elapsed())}"

    def _shared_budget_forecast(self):
        used = f"(\n{_in(self._shared_budget_used())}\n)"
        return f"{used}\n/ on (window) group_left ()\n{_in(self._elapsed_of_all())}"

    def _elapsed_of_all(self):
        """The elapsed part of each window: the minimum, because some projects have the old window after midnight."""
        return f"min by (window) (\n{_in(self.elapsed(selected=''))}\n)"

    def _or_shared(self, own, shared):
        if not self.has_shared_budgets:
            return own
        named = f'label_replace(\n{_in(shared)},\n  "project", "$1 (shared)", "budget", "(.+)"\n)'
        return f"{own}\nor\nmax by (project, {SHARED}) (\n{_in(named)}\n)"

    def _shared_budget(self):
        """Every shared budget that covers a selected project, with a series for each project that it covers."""
        budget = f"metastudio_shared_budget_minutes{self.moment.at}"
        selected = f"metastudio_shared_budget_minutes{{{self.project}}}{self.moment.at}"
        return f"max by (budget, project, {SHARED}) ({budget}) and on (budget) {selected}"

    def _shared_budget_used(self):
        """The usage of all projects of each shared budget. It counts 0 for a project that has no usage yet."""
        known = f"metastudio_window_start_timestamp_seconds{self.moment.at}"
        budget = self._shared_budget()
        usage = f"(\n{_in(self._by_selectors(PARTS[:2]))}\n)"
        used = f"0 * ({budget}) + on (project, {SHARED}) group_left () {usage}"
        zero = f"0 * ({budget}) and on (project, window) {known}"
        parts = f"(\n{_in(used)}\n)\nor\n(\n{_in(zero)}\n)"
        return f"sum by (budget, {SHARED}) (\n{_in(parts)}\n)"

    def _own_budget(self):
        selected = f"metastudio_budget_minutes{{{self.project}}}{self.moment.at}"
        return f"max by ({OWN}) ({selected})"

    def _own_budget_used(self):
        """The usage that each budget counts, with the labels of the budget.

        The result is 0 where there was no usage yet. There is no result while the usage of a project is not exported.
        """
        known = f"metastudio_window_start_timestamp_seconds{{{self.project}}}{self.moment.at}"
        zero = f"0 * {self._own_budget()} and on (project, window) {known}"
        return f"(\n{_in(self._by_selectors(PARTS, self.project))}\n)\nand {self._own_budget()}\nor {zero}"

    def _by_selectors(self, selectors, project=""):
        """The usage of each project and window, summed by every combination of these selectors of budgets.

        A selector that a budget lacks is an empty label, and so is a label that a sum leaves out. So the sum by some
        selectors has the same labels as the budgets with these selectors.

        The query leaves out empty types and users, because a budget has no empty selectors. Otherwise, sums by different
        selectors could have the same labels.
        """
        sums = []
        for number in range(len(selectors) + 1):
            for some in combinations(selectors, number):
                matchers = ", ".join(filter(None, [project, *(f'{label}!=""' for label in some)]))
                minutes = f"metastudio_usage_minutes{{{matchers}}}{self.moment.at}"
                sums.append(_of_projects(", ".join(["window", *some]), minutes))
        return "\nor\n".join(sums)

    def share_of_budget(self, usage):
        return f"(\n{_in(usage)}\n)\n/ (\n{_in(self.budget())}\n)"

    def budget_left(self):
        """The minutes that are left of each budget, negative if more than the budget was used."""
        return f"(\n{_in(self.budget())}\n)\n- (\n{_in(self.budget_used())}\n)"

    def budget_used_up(self):
        """When each budget will be used up, in seconds, if usage continues at the same rate.

        There is no result for a budget that is used up already, nor for one that lasts until its window ends.
        """
        bounds = [self._window(bound, self.project) for bound in ("start", "end")]
        share = f"(\n{_in(self._own_budget_forecast())}\n)\n/ {self._own_budget()}"
        own = self._used_up(share, "project, window", bounds, self.elapsed())
        bounds = [f"max by (window) ({self._window(bound, '')})" for bound in ("start", "end")]
        budget = f"max by (budget, {SHARED}) (\n{_in(self._shared_budget())}\n)"
        share = f"(\n{_in(self._shared_budget_forecast())}\n)\n/ (\n{_in(budget)}\n)"
        return self._or_shared(own, self._used_up(share, "window", bounds, self._elapsed_of_all()))

    @staticmethod
    def _used_up(share, labels, bounds, elapsed):
        """The time at which a forecast share of budgets becomes 1, for windows that these labels tell apart."""
        start, end = bounds
        ahead = f"(\n{_in(share)}\n) >= 1\n< on ({labels}) group_left () (\n{_in(f'1 / {elapsed}')}\n)"
        length = f"({end} - {start})\n/ on ({labels}) group_right () (\n{_in(ahead)}\n)"
        return f"(\n{_in(length)}\n)\n+ on ({labels}) group_left () {start}"

    def _usage(self, by, metric, window):
        return _sum_projects(by, _of_projects(by, self._selected(metric, window)))

    def _selected(self, metric, window):
        return f'{metric}{{{self.types}, window="{window}"}}{self.moment.at}'

    def _window(self, bound, selected):
        metric = f"metastudio_window_{bound}_timestamp_seconds{{{selected}}}"
        return f"max by (project, window) ({metric}{self.moment.at})"


def _of_projects(by, selected, sampled="{}"):
    """The selected usage of each project, summed by these labels and by the project.

    The query adds up the series of each exporter separately, and then takes the maximum over the exporters. So usage
    counts once if two exporters poll the project, or if an exporter has moved to another address. The other order would
    count minutes twice: with `user_ids: all`, the minutes of a new sub-user move from the series without a user to a
    series of this user, and two exporters do not see this at the same time.

    `sampled` is a template. Its `{}` becomes the sums of the exporters.
    """
    labels = _labels(by)
    kept = ", ".join(["project", *(label for label in labels if label != "project")])
    added = ", ".join(label for label in PARTS if label not in labels)
    of_exporters = f"sum without ({added}) ({selected})" if added else selected
    return f"max by ({kept}) (\n{_in(sampled.format(of_exporters))}\n)"


def _sum_projects(by, of_projects):
    """Sums the usage of projects by these labels."""
    if "project" in _labels(by):
        return of_projects
    return f"sum by ({by}) (\n{_in(of_projects)}\n)" if by else f"sum(\n{_in(of_projects)}\n)"


def _labels(by):
    return by.split(", ") if by else []


def _in(text):
    return indent(text, "  ")


def count(series, condition):
    """The number of series that meet a condition. Without series there is no result, because a 0 would look healthy."""
    operator, value = condition.split()
    return f"sum({series} {operator} bool {value})"


def top(expression, number=TOP):
    return f"topk({number},\n{_in(expression)}\n)"


def bottom(expression, number=TOP):
    return f"bottomk({number},\n{_in(expression)}\n)"


def top_and_others(expression, label="project"):
    """The greatest series at this instant, and the sum of all others."""
    others = f"sum(\n{_in(expression)}\n  unless\n{_in(top(expression))}\n)"
    return f"{top(expression)}\n{_or_others(others, label)}"


def top_of_range(expression, ranking, label="project"):
    """The series with the greatest values of a ranking, the same ones over a whole range, and the sum of all others."""
    ranked = f"on ({label})\n{_in(top(ranking))}"
    others = f"sum(\n{_in(expression)}\n  unless {ranked}\n)"
    return f"{expression}\nand {ranked}\n{_or_others(others, label)}"


def _or_others(others, label):
    return f'or label_replace(\n{_in(others)},\n  "{label}", "others", "", ""\n)'


def separate(expression, *labels):
    """Puts a space before each label value that is not empty, so that a legend has no spaces for empty values."""
    for label in labels:
        expression = f'label_replace(\n{_in(expression)},\n  "{label}", " $1", "{label}", "(.+)"\n)'
    return expression


def without_prefix(expression, label, prefix):
    """Removes a prefix from the values of a label. The prefix is a regular expression."""
    return f'label_replace(\n{_in(expression)},\n  "{label}", "$1", "{label}", "{prefix}(.+)"\n)'


def name_empty(expression, label, name):
    """Replaces the empty value of a label by a name."""
    return f'label_replace(\n{_in(expression)},\n  "{label}", "{name}", "{label}", ""\n)'


def name_rest(by_user):
    """Names the usage without a user: "(others)" if some users have their own usage, otherwise "all users"."""
    has_users = f"on () count(\n{_in(by_user)}\n) > 1"
    others, everyone = (name_empty(by_user, "user_id", name) for name in ("(others)", "all users"))
    return f"({others} and {has_users})\nor\n({everyone} unless {has_users})"
