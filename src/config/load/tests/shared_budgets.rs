use super::*;

const PROJECTS: &str = "
credentials: {main: {token: t}}
windows: [today, this_month]
projects:
  - {name: a, region: cn-north-4, project_id: a123456789abcdef0123456789abcdef, labels: {team: marketing}}
  - {name: b, region: cn-north-4, project_id: b123456789abcdef0123456789abcdef, labels: {team: marketing}, windows: [today]}
  - {name: c, region: cn-north-4, project_id: c123456789abcdef0123456789abcdef}
budgets:
";

#[tokio::test]
async fn a_shared_budget_covers_projects_by_their_names_or_by_a_label() {
    let text = format!(
        "{PROJECTS}  - {{name: media, projects: [c, a], window: this_month, minutes: 60}}\n  \
         - {{name: marketing, label: {{team: marketing}}, window: today, minutes: 0.5, business_type: VIDEO_2D}}\n"
    );
    let (config, problems) = load_with(&text, &[]).await;
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    let covered = |config: &Config| -> Vec<_> {
        config
            .budgets
            .iter()
            .map(|covering| {
                let projects: Vec<_> = covering.projects.iter().map(String::as_str).collect();
                (covering.budget.name.clone(), projects.join(" "))
            })
            .collect()
    };
    let of = |name: &str, projects: &str| (name.to_owned(), projects.to_owned());
    assert_eq!(covered(&config), [of("media", "a c"), of("marketing", "a b")]);
    let limit = &config.budgets[1].budget.limit;
    assert_eq!((limit.minutes, limit.business_type.as_deref()), (0.5, Some("VIDEO_2D")));
    let names =
        |project| config.shared_budgets(project).map(|budget| budget.name.as_str()).collect::<Vec<_>>().join(" ");
    assert_eq!(["a", "b", "c"].map(names), ["media marketing", "marketing", "media"]);

    // A shard has the budgets of its projects.
    let mut found = Vec::new();
    for index in 0..3 {
        let mut part = config.clone();
        part.keep(Shard { index, total: 3 });
        for (name, projects) in covered(&part) {
            assert!(!projects.is_empty());
            found.extend(projects.split(' ').map(|project| format!("{name} {project}")));
        }
    }
    found.sort();
    assert_eq!(found, ["marketing a", "marketing b", "media a", "media c"]);
}

#[tokio::test]
async fn a_shared_budget_needs_usage_that_all_its_projects_poll() {
    for (budget, problem) in [
        (
            "{name: x, projects: [a, d], window: today, minutes: 1}",
            ".projects[1]: found \"d\"; expected the name of a project",
        ),
        ("{name: x, projects: [], window: today, minutes: 1}", ".projects: found a list of 0; expected at least one"),
        (
            "{name: x, projects: [a, a], window: today, minutes: 1}",
            ".projects[1]: found \"a\"; expected each value once",
        ),
        (
            "{name: x, label: {team: sales}, window: today, minutes: 1}",
            ".label: found a mapping of team; expected a label",
        ),
        ("{name: x, label: {}, window: today, minutes: 1}", ".label: found an empty mapping; expected a label"),
        ("{name: x, label: {team: marketing}, window: this_month, minutes: 1}", ".window: the project b does not poll"),
        ("{name: x, window: today, minutes: 1}", ".projects: is missing; expected the names of projects"),
        (
            "{name: x, projects: [a], label: {team: marketing}, window: today, minutes: 1}",
            ".label: found a mapping of team; expected either projects or",
        ),
        ("{projects: [a], window: today, minutes: 1}", ".name: is missing"),
        ("{name: x, projects: [a], window: today}", ".minutes: is missing"),
        ("{name: x, projects: [a], window: today, minutes: 1, user_id: u}", ".user_id: there is no such key"),
        (
            "{name: first, projects: [a], window: today, minutes: 1}",
            ".name: found \"first\"; expected a name that no other",
        ),
    ] {
        let first = "  - {name: first, projects: [c], window: today, minutes: 1}";
        let text = format!("{PROJECTS}{first}\n  - {budget}\n");
        let loaded = load_text(text, Path::new("config.yaml"), &environment(&[])).await;
        let errors: Vec<_> = loaded.errors().collect();
        let [found] = errors[..] else { panic!("{budget}: {errors:?}") };
        assert!(loaded.config.is_none() && found.line == Some(10), "{found:?}");
        assert!(found.to_string().starts_with("config.yaml:10: budgets[1]"), "{found}");
        assert!(found.to_string().contains(problem), "{found}");
    }
}
