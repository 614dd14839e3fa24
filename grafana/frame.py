"""What the dashboards have in common: their variables and the links between them."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.models import dashboard as m

from panels import DATASOURCE

# The first version of Grafana whose panels these are, 10.4; later ones migrate from it.
SCHEMA = 39
# What the pages of usage pass on to that of a project; that of health has but a data source.
DATA = "${datasource:queryparam}"
SELECTED = f"{DATA}&${{window:queryparam}}&${{business_type:queryparam}}"


def dashboard(uid, title, description, variables, links, rows, time):
    built = Dashboard(title).uid(uid).description(description).tags(["metastudio"])
    built.editable().refresh("1m").time(time, "now").timezone("browser").tooltip(m.DashboardCursorSync.CROSSHAIR)
    built.variables(variables).links(links).annotations([])
    for number, (row, content) in enumerate(rows.items()):
        # Panels of a row have ids of their own that begin with other numbers.
        built.with_row(Row(row).id(900 + number))
        for panel in content:
            built.with_panel(panel)
    model = built.build()
    model.schema_version = SCHEMA
    for one in model.templating.list_val:
        # Of intervals only.
        one.auto = one.auto_min = one.auto_count = None
    return model


# Variables.


def datasource_variable():
    variable = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return variable.description("The Prometheus that scrapes the exporter")


def variable(name, label, description, values, *, many=False, everything=None, current=None):
    built = (
        builders.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query(values)
        .refresh(m.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(m.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(many)
        .include_all(many)
    )
    if many:
        built.current(m.VariableOption(selected=True, text=["All"], value=["$__all"]))
    if everything:
        built.all_value(everything)
    if current:
        built.current(m.VariableOption(selected=True, text=current, value=current))
    return built


def many_projects():
    values = "label_values(metastudio_project_info, project)"
    return variable("project", "Project", "Projects as the exporter names them", values, many=True, everything=".*")


def one_project():
    values = "label_values(metastudio_project_info, project)"
    return variable("project", "Project", "A project as the exporter names it", values)


def business_type():
    values = 'label_values({__name__=~"metastudio_usage_.+", project=~"$project"}, business_type)'
    return variable("business_type", "Business type", "What for", values, many=True, everything=".*")


def window():
    values = 'label_values(metastudio_window_start_timestamp_seconds{project=~"$project"}, window)'
    description = "Windows overlap: one is chosen, and they are never added up"
    return variable("window", "Window", description, values, current="this_month")


# Links.


def to_overview():
    return link_to("Overview", "metastudio-overview").include_vars(True)


def to_health():
    return link_to("Exporter health", "metastudio-health").include_vars(True)


def to_project(selected):
    """Not with the projects of a dashboard that shows many: the page of one has room for one."""
    return link_to("Project", f"metastudio-project?{selected}")


def link_to(title, page):
    link = DashboardLink(title).type(m.DashboardLinkType.LINK).url(f"/d/{page}").icon("dashboard")
    return link.tooltip("With the same time range").keep_time(True)


def health_link():
    return data_link("Exporter health", f"metastudio-health?{DATA}&${{project:queryparam}}")


def project_link(name, selected=SELECTED):
    """To the page of a project, whose name a label or a column has."""
    project = f"${{{name}}}"
    return data_link(f"Open {project}", f"metastudio-project?var-project={project}&{selected}")


def data_link(title, page):
    return DashboardLink(title).type(m.DashboardLinkType.LINK).url(f"/d/{page}&${{__url_time_range}}")
