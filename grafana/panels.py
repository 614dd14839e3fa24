"""The panels of the dashboards.

Every panel takes its id, width (of 24 columns), height, title, description and unit. Ids are arguments, so that a new
panel does not change the ids of others, which links and bookmarks contain.
"""

import re

from grafana_foundation_sdk.builders import bargauge, common, dashboard, piechart, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as m
from grafana_foundation_sdk.models import piechart as p
from grafana_foundation_sdk.models import prometheus as pm

DATASOURCE = m.DataSourceRef(type_val="prometheus", uid="${datasource}")
# A suffix, because Grafana shows large values of its unit "m" in days. Invoices and packages are in minutes.
MINUTES = "suffix:min"

# Thresholds: (from, colour). The first threshold starts at None, and also colours the text of a panel without data.
RED_FROM_ONE = [(None, "text"), (0, "green"), (1, "red")]
GREEN_FROM_ONE = [(None, "red"), (1, "green")]
# The age of usage, in seconds.
AGE = [(None, "text"), (0, "green"), (1800, "orange"), (7200, "red")]


def query(expression, legend, ref="A", instant=False, rows=False):
    target = (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .editor_mode(pm.QueryEditorMode.CODE)
        .expr(expression)
        .ref_id(ref)
        .legend_format(legend)
    )
    if rows:
        return target.instant().format(pm.PromQueryFormat.TABLE)
    return target.instant() if instant else target.range()


def stat_panel(id, width, title, description, unit, expression, *, steps=None, values=None, link=None, empty=None):
    panel = _panel(stat.Panel(), id, width, 4, title, description, unit)
    panel.with_target(query(expression, title, instant=True)).reduce_options(_last())
    panel.graph_mode(c.BigValueGraphMode.NONE).color_mode(c.BigValueColorMode.VALUE)
    if steps:
        panel.thresholds(_thresholds(steps))
    else:
        panel.color_scheme(_color(m.FieldColorModeId.FIXED, "text"))
    if values:
        panel.mappings([_values(values)])
    if empty:
        panel.no_value(empty)
    if link:
        panel.data_links([link])
    return panel


def problem_count_panel(id, width, title, description, expression, *, link=None):
    """A number that is green at 0, otherwise red."""
    return stat_panel(id, width, title, description, "none", expression, steps=RED_FROM_ONE, link=link)


def bars_panel(
    id, width, height, title, description, unit, expression, legend, *, order="sort_desc", steps=None, link=None
):
    """Values as horizontal bars, by default the greatest first."""
    panel = _panel(bargauge.Panel(), id, width, height, title, description, unit).min(0)
    panel.with_target(query(f"{order}(\n{expression}\n)", legend, instant=True)).reduce_options(_last())
    panel.orientation(c.VizOrientation.HORIZONTAL).display_mode(c.BarGaugeDisplayMode.GRADIENT)
    panel.value_mode(c.BarGaugeValueMode.TEXT).show_unfilled(True).sizing(c.BarGaugeSizing.AUTO)
    if steps:
        panel.thresholds(_thresholds(steps))
    else:
        panel.color_scheme(_color(m.FieldColorModeId.CONTINUOUS_BL_PU))
    if link:
        panel.data_links([link])
    return panel.no_value("none")


def share_panel(id, width, height, title, description, unit, expression, legend):
    panel = _panel(piechart.Panel(), id, width, height, title, description, unit)
    panel.with_target(query(expression, legend, instant=True)).reduce_options(_last())
    panel.pie_type(p.PieChartType.DONUT)
    return panel.legend(
        piechart.PieChartLegendOptions()
        .show_legend(True)
        .display_mode(c.LegendDisplayMode.TABLE)
        .placement(c.LegendPlacement.RIGHT)
        .values([p.PieChartLegendValues.VALUE, p.PieChartLegendValues.PERCENT])
    )


def series_panel(id, width, height, title, description, unit, queries, *, legend="bottom", calcs=("lastNotNull",)):
    """Lines over time. A legend at the right is a table, for many lines."""
    panel = _panel(timeseries.Panel(), id, width, height, title, description, unit).min(0)
    for target in queries:
        panel.with_target(target)
    panel.line_width(1).fill_opacity(10).show_points(c.VisibilityMode.NEVER)
    panel.tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    options = common.VizLegendOptions().show_legend(True).calcs(list(calcs))
    if legend == "right":
        options.display_mode(c.LegendDisplayMode.TABLE).placement(c.LegendPlacement.RIGHT)
        options.sort_by("Last *").sort_desc(True)
    else:
        options.display_mode(c.LegendDisplayMode.LIST).placement(c.LegendPlacement.BOTTOM)
    return panel.legend(options)


def stacked(panel):
    return panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))


def stacked_bars(panel):
    return stacked(panel.draw_style(c.GraphDrawStyle.BARS).fill_opacity(80).line_width(0))


def daily_panel(*arguments, **options):
    """A `series_panel` with one bar a day, drawn from the beginning of the day to its end."""
    panel = stacked_bars(series_panel(*arguments, **options))
    return panel.interval("1d").bar_alignment(c.BarAlignment.AFTER).bar_width_factor(0.9)


def table_panel(id, width, height, title, description, columns, queries, *, unit=MINUTES, sort=None):
    """A row for each set of labels; the queries share the labels. Columns: (label or query, heading, properties)."""
    panel = _panel(table.Panel(), id, width, height, title, description, unit).decimals(1)
    for ref, expression in queries.items():
        panel.with_target(query(expression, ref, ref, rows=True))
    names = {name: heading for name, heading, _ in columns}
    if len(queries) == 1:
        [only] = queries
        names = {("Value" if name == f"Value #{only}" else name): heading for name, heading in names.items()}
    panel.with_transformation(m.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        m.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "includeByName": {},
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": names,
            },
        )
    )
    for _, heading, properties in columns:
        if properties:
            values = [m.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
            panel.override_by_name(heading, values)
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel.footer(
        common.TableFooterOptions().show(False).count_rows(False).reducer(["sum"]).enable_pagination(True)
    )


# Properties of columns, and of series.

BAR_COLUMN = {
    "custom.cellOptions": {"type": "gauge", "mode": "gradient", "valueDisplayMode": "text"},
    "min": 0,
    "color": {"mode": "continuous-BlPu"},
}


def share_column(steps):
    """A share, as a coloured bar whose full length is 100 %."""
    return {
        "unit": "percentunit",
        "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds(steps).build(),
        "min": 0,
        "max": 1,
    }


def plain_column(unit, decimals=0):
    return {"unit": unit, "decimals": decimals}


def coloured_column(unit, steps, values=None):
    """A value whose text has the colour of its threshold."""
    column = {
        "unit": unit,
        "custom.cellOptions": {"type": "color-text"},
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds(steps).build(),
    }
    return column | ({"mappings": [_values(values)]} if values else {})


def linked_column(link):
    return {"links": [link.build()]}


def fixed_color(color):
    return m.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})


# Parts of panels.


def _panel(panel, id, width, height, title, description, unit):
    panel.id(id).span(width).height(height).title(title).datasource(DATASOURCE).unit(unit)
    return panel.description(re.sub(r"\s+", " ", description).strip())


def _last():
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _color(mode, fixed=None):
    color = dashboard.FieldColor().mode(mode)
    return color.fixed_color(fixed) if fixed else color


def _thresholds(steps):
    steps = [m.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(m.ThresholdsMode.ABSOLUTE).steps(steps)


def _values(values):
    """Texts in place of numbers: (text, colour) by number."""
    results = {
        str(number): m.ValueMappingResult(text=text, color=color, index=index)
        for index, (number, (text, color)) in enumerate(values.items())
    }
    return m.ValueMap(options=results)
