"""Queries of the dashboards, asked as Grafana asks them."""

import math
import re

import requests

from grafana_series import DAY


def ask(url, path, **parameters):
    answer = requests.get(f"{url}/api/v1/{path}", params=parameters).json()
    assert answer["status"] == "success", (answer, parameters)
    return answer["data"]


def instant(url, query, at=None):
    samples = ask(url, "query", query=query, **({"time": at} if at else {}))["result"]
    return [(sample["metric"], float(sample["value"][1])) for sample in samples]


def seconds(duration):
    number, unit = re.fullmatch(r"(?:now-)?(\d+)([smhd])", duration).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": DAY}[unit]


def fill_in(text, values, built_in=()):
    """Replaces variables as Grafana does. It leaves `$1` to PromQL."""
    for name, value in [*values.items(), *built_in]:
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _, value=value: value, text)
    assert not re.search(r"\$[^1]", text), text
    return text


def regex(values):
    escaped = [re.sub(r"[\\^$.*+?()\[\]{}|]", r"\\\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def options(url, variable, values):
    """The values that the query of a variable finds, with the variables before it filled in."""
    selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
    found = ask(url, f"label/{label}/values", **{"match[]": fill_in(selector, values)})
    return [value for value in found if not value.startswith("many-")]


def selections(url, dashboard):
    """A selection of all values; and, for each variable, a selection of each value with all values of the others."""
    chosen, each = {}, {}
    for variable in dashboard["templating"]["list"][1:-1]:
        name = variable["name"]
        found = options(url, variable, chosen)
        assert found, variable
        if variable["multi"]:
            assert variable["includeAll"]
            chosen[name] = variable.get("allValue") or regex(found)
        else:
            preferred = variable.get("current", {}).get("value", "studio-prod")
            assert preferred in found
            chosen[name] = preferred
        each[name] = [regex([value]) if variable["multi"] else value for value in found]
    return chosen, {name: [chosen | {name: value} for value in values] for name, values in each.items()}


def latest(url, dashboard, span, end):
    """The value of the variable `latest`: the text of a scalar."""
    variable = dashboard["templating"]["list"][-1]
    assert (variable["name"], variable["hide"], variable["skipUrlSync"], variable["refresh"]) == ("latest", 2, True, 2)
    [query] = re.fullmatch(r"query_result\((.+)\)", variable["query"]).groups()
    answer = ask(url, "query", query=fill_in(query, {}, [("__range", f"{span}s")]), time=math.ceil(end))
    assert answer["resultType"] == "scalar"
    return answer["result"][1]


def find_series(url, dashboard, panel, target, values, span, end):
    """The series that a query finds in a time range of this many seconds, with their samples."""
    minimum = panel.get("interval")
    step = max(seconds(minimum) if minimum else 1, span // 1000)
    built_in = [("__rate_interval", f"{step + 1}s"), ("__range", f"{span}s")]
    query = fill_in(target["expr"], values, [*built_in, ("latest", latest(url, dashboard, span, end))])
    if target.get("instant"):
        found = ask(url, "query", query=query, time=end)["result"]
        return [{"metric": series["metric"], "samples": [series["value"]]} for series in found]
    # Grafana aligns a range to multiples of its step. This function does so only for days: with other steps, an aligned
    # range could end before the demo started.
    end = end // DAY * DAY if minimum == "1d" else end
    found = ask(url, "query_range", query=query, start=end - span // step * step, end=end, step=step)["result"]
    return [{"metric": series["metric"], "samples": series["values"]} for series in found]
