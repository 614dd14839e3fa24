"""The layout that the dashboards share: rows of panels, variables, and links between the dashboards."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.models import dashboard as m

import panels

# The schema of Grafana 10.4, the oldest supported version. Later versions migrate it.
SCHEMA = 39
# Variables that a link passes on. Of these, the health dashboard has only the data source.
DATA = "${datasource:queryparam}"
SELECTED = f"{DATA}&${{window:queryparam}}&${{business_type:queryparam}}"


def dashboard(uid, title, description, variables, links, rows, time):
    """A dashboard. `rows` are lists of panels by the title of the row."""
    built = Dashboard(title).uid(uid).description(description).tags(["metastudio"])
    built.editable().refresh("1m").time(time, "now").timezone("browser").tooltip(m.DashboardCursorSync.CROSSHAIR)
    built.variables([*variables, latest_variable()]).links(links).annotations([])
    for number, (row, content) in enumerate(rows.items()):
        # Ids of rows start at 900, so that they differ from the ids of panels.
        built.with_row(Row(row).id(900 + number))
        for panel in content:
            built.with_panel(panel)
    model = built.build()
    model.schema_version = SCHEMA
    for variable in model.templating.list_val:
        # The SDK sets these, but only variables of intervals have them.
        variable.auto = variable.auto_min = variable.auto_count = None
        # A link must not hold the time of the latest scrape.
        variable.skip_url_sync = variable.name == "latest"
    return model


# Variables.


def datasource_variable():
    variable = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return variable.description("The Prometheus that scrapes the exporter")


def latest_variable():
    """The time at which panels without a time axis show the metrics: the end of the time range, but not in the future.

    Grafana runs instant queries at the end of the range. For "Today" this is midnight, for which there are no samples
    yet. PromQL cannot tell the present time, but the latest scrape of any target is close to it. The first part of the
    query finds this scrape if targets are scraped at the end of the range. Otherwise the second part searches the range
    in steps of the lookback of Prometheus. Without `up`, the third part gives the end of the range. The result is a
    scalar, which Grafana shows without labels.
    """
    scraped = "max(timestamp(up))"
    query = f"query_result(scalar({scraped} or max_over_time({scraped}[$__range:5m]) or vector(time())))"
    description = "The end of the time range, or the latest scrape if the end is in the future"
    return query_variable("latest", "Latest scrape", description, query).hide(m.VariableHide.HIDE_VARIABLE)


def query_variable(name, label, description, query, *, many=False, all_value=None, current=None):
    """A variable with the values that a query finds; `all_value` is the regular expression of "All"."""
    built = (
        builders.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(panels.DATASOURCE)
        .query(query)
        .refresh(m.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(m.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(many)
        .include_all(many)
    )
    if many:
        built.current(m.VariableOption(selected=True, text=["All"], value=["$__all"]))
    if all_value:
        built.all_value(all_value)
    if current:
        built.current(m.VariableOption(selected=True, text=current, value=current))
    return built


def projects_variable(selector=""):
    """Any number of projects, of the exporters that a label selector selects."""
    query = f"label_values(metastudio_project_info{selector}, project)"
    description = "Projects in the configuration of the exporter"
    return query_variable("project", "Project", description, query, many=True, all_value=".*")


def project_variable():
    query = "label_values(metastudio_project_info, project)"
    return query_variable("project", "Project", "A project in the configuration of the exporter", query)


def business_type_variable():
    query = 'label_values({__name__=~"metastudio_usage_.+", project=~"$project"}, business_type)'
    return query_variable(
        "business_type", "Business type", "Business types of the usage", query, many=True, all_value=".*"
    )


def window_variable():
    query = 'label_values(metastudio_window_start_timestamp_seconds{project=~"$project"}, window)'
    description = "Windows overlap: select one, never add them up"
    return query_variable("window", "Window", description, query, current="this_month")


# Links.


def overview_link():
    return _dashboard_link("Overview", "metastudio-overview").include_vars(True)


def health_link():
    return _dashboard_link("Exporter health", "metastudio-health").include_vars(True)


def packages_link():
    return _dashboard_link("Packages", "metastudio-packages").include_vars(True)


def project_link(variables):
    """Without the variable `project`: it may hold several projects, and the project dashboard shows one."""
    return _dashboard_link("Project", f"metastudio-project?{variables}")


def _dashboard_link(title, page):
    link = DashboardLink(title).type(m.DashboardLinkType.LINK).url(f"/d/{page}").icon("dashboard")
    return link.tooltip("With the same time range").keep_time(True)


def health_data_link():
    return _data_link("Exporter health", f"metastudio-health?{DATA}&${{project:queryparam}}")


def project_data_link(name, variables=SELECTED):
    """A link to the dashboard of the project that a label or a column names."""
    project = f"${{{name}}}"
    return _data_link(f"Open {project}", f"metastudio-project?var-project={project}&{variables}")


def _data_link(title, page):
    return DashboardLink(title).type(m.DashboardLinkType.LINK).url(f"/d/{page}&${{__url_time_range}}")


def packages_data_link(name):
    """A link to the packages of the project that a label names."""
    return _data_link(f"Packages of ${{{name}}}", f"metastudio-packages?var-project=${{{name}}}&{DATA}")


def project_column(variables=SELECTED):
    """The column of a table with the name of each project, which links to its dashboard."""
    return ("project", "Project", panels.linked_column(project_data_link("__data.fields.Project", variables)))
