//! The list `projects`.

use super::*;
use crate::config::{Project, Users, effective};

/// Loads a project with these keys.
async fn of(project: &str) -> (Option<Config>, Vec<String>) {
    let text = minimal().replace("name: a", &format!("name: a, windows: [today, this_month], {project}"));
    load_with(&text, &[]).await
}

#[tokio::test]
async fn a_budget_needs_usage_that_the_project_polls() {
    let (config, problems) = of(
            "user_ids: [u], budgets: [{window: this_month, minutes: 6000}, {window: this_month, minutes: 0.5, business_type: V}, \
             {window: today, minutes: 100, resource_type: r, user_id: u}]",
        )
        .await;
    let budgets = config.unwrap_or_else(|| panic!("{problems:?}")).projects.remove(0).budgets;
    let minutes: Vec<f64> = budgets.iter().map(|budget| budget.minutes).collect();
    assert_eq!(minutes, [6000.0, 0.5, 100.0]);
    for (project, problem) in [
        (
            "budgets: [{window: last_month, minutes: 1}]",
            "[0].window: found \"last_month\"; expected one of the windows",
        ),
        (
            "budgets: [{window: today, minutes: 0}]",
            "[0].minutes: found 0; expected a number from 0.01 to 1000000000000",
        ),
        ("budgets: [{window: today}]", "[0].minutes: is missing"),
        ("budgets: [{window: today, minutes: 1, unit: MIN}]", "[0].unit: there is no such key"),
        (
            "business_types: [LIVE_2D], budgets: [{window: today, minutes: 1, business_type: y}]",
            "[0].business_type: found \"y\"; expected one of the business_types of this project: LIVE_2D",
        ),
        (
            "budgets: [{window: today, minutes: 1, user_id: u}]",
            "[0].user_id: found \"u\"; expected one of the user_ids",
        ),
        (
            "budgets: [{window: today, minutes: 1}, {window: today, minutes: 2}]",
            "[1]: found a mapping of minutes, window; expected only one budget for the same window, types and user",
        ),
    ] {
        let (config, problems) = of(project).await;
        assert!(config.is_none() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].contains(&format!("projects[0] (a).budgets{problem}")), "{problems:?}");
    }
}

#[tokio::test]
async fn users_are_listed_or_all() {
    let (config, problems) = of("user_ids: all, budgets: [{window: today, minutes: 1, user_id: any}]").await;
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    let project = &config.projects[0];
    assert_eq!(project.user_ids, Users::All(config.collectors.sub_users.clone()));
    assert_eq!((project.user_ids.listed(), project.user_ids.queries(), project.queries()), (&[][..], 102, 204));
    assert!(effective::to_yaml(&config).contains("\n    user_ids: all\n"), "{}", effective::to_yaml(&config));
    // Two windows with 102 queries each, every 5 minutes, and a list of sub-users every half hour.
    assert_eq!(project.requests_a_day().round(), 2.0 * 102.0 * 288.0 + 48.0);
    let counted = "this counts as many users as collectors.sub_users.series allows";
    let text = minimal().replace("name: a", "name: a, user_ids: all");
    let (_, problems) = load_with(&text, &[]).await;
    assert!(problems.len() == 1 && problems[0].contains(counted), "{problems:?}");
    for (series, queries, lists) in [(0, 1, 0), (1, 3, 48), (20, 22, 48)] {
        // The setting has an effect although the collector does not run.
        let (config, problems) =
            load_with(&format!("{text}collectors: {{sub_users: {{series: {series}}}}}"), &[]).await;
        assert!(problems.is_empty(), "{problems:?}");
        let project = &config.unwrap().projects[0];
        assert_eq!(project.requests_a_day().round(), f64::from(3 * queries * 288 + lists), "{series}");
    }
    let (config, problems) = of("user_ids: [all]").await;
    assert_eq!(config.unwrap().projects[0].user_ids, Users::Listed(vec!["all".to_owned()]));
    assert!(problems[0].contains("in a list this is the id of one user"), "{problems:?}");
    for (project, problem) in [
        ("user_ids: ALL", "user_ids: found \"ALL\"; expected all or a list of ids of sub-users"),
        ("user_ids: {}", "user_ids: found an empty mapping; expected all or a list of ids of sub-users"),
        ("user_ids: ['']", "user_ids[0]: found \"\"; expected a text that is not empty"),
    ] {
        let (config, problems) = of(project).await;
        assert!(config.is_none() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].ends_with(problem), "{problems:?}");
    }
    let defaults = format!("defaults: {{user_ids: all}}\n{}", minimal());
    assert!(load_with(&defaults, &[]).await.0.unwrap().projects[0].user_ids.all().is_some());
}

#[tokio::test]
async fn a_type_that_is_not_documented_is_a_warning() {
    for (project, warning) in [
        ("business_types: [VIDEO_2D, LIVE_2D]", None),
        ("resource_types: [video_time_2d_model, hws.resource.type.metastudio.other]", None),
        (
            "business_types: [VIDEO_2D, video_2d]",
            Some(("business_types[1]: found \"video_2d\"", "did you mean VIDEO_2D?")),
        ),
        ("business_types: [live]", Some(("business_types[0]: found \"live\"", "did you mean LIVE_2D?"))),
        (
            "resource_types: [minutes]",
            Some(("resource_types[0]: found \"minutes\"", "documented are video_time_2d_model,")),
        ),
        (
            "budgets: [{window: today, minutes: 1, resource_type: video_time_2d}]",
            Some(("budgets[0].resource_type: found \"video_time_2d\"", "did you mean video_time_2d_model?")),
        ),
        // The filter has the warning. The budget need not repeat it.
        (
            "business_types: [x], budgets: [{window: today, minutes: 1, business_type: x}]",
            Some(("business_types[0]: found \"x\"", "documented are LIVE_2D, VIDEO_2D,")),
        ),
    ] {
        let (config, problems) = of(project).await;
        assert!(config.is_some() && problems.len() == usize::from(warning.is_some()), "{problems:?}");
        let Some((found, advice)) = warning else { continue };
        assert!(problems[0].contains(&format!("projects[0] (a).{found}; this is no documented")), "{problems:?}");
        assert!(problems[0].contains(advice), "{problems:?}");
    }
}

#[tokio::test]
async fn a_project_with_a_region_needs_no_id() {
    let without_id = minimal().replace(&format!(", project_id: {ID}"), "");
    let (config, problems) = load_with(&without_id, &[]).await;
    assert_eq!(config.unwrap_or_else(|| panic!("{problems:?}")).projects[0].project_id, None);
    let (config, problems) = load_with(&without_id, &[("HUAWEICLOUD_SDK_PROJECT_ID", ID)]).await;
    assert!(config.is_some() && problems.len() == 1, "{problems:?}");
    assert!(problems[0].contains("HUAWEICLOUD_SDK_PROJECT_ID is not used"), "{problems:?}");
    let text = without_id.replace("region: cn-north-4", "endpoint: 'https://example.com'");
    let (config, problems) = load_with(&text, &[]).await;
    assert!(config.is_none() && problems[0].contains("projects[0] (a).project_id: is missing"), "{problems:?}");
}

#[tokio::test]
async fn a_message_lists_twenty_names_of_credentials() {
    let credentials: Vec<String> = (10..40).map(|number| format!("c{number}: {{token: t}}")).collect();
    let text = minimal().replace("main: {token: t}", &credentials.join(", "));
    for (text, problem) in [
        (text.clone(), "projects[0] (a).credentials: is missing; expected one of c10, c11, "),
        (
            text.replace("name: a", "name: a, credentials: c1"),
            "projects[0] (a).credentials: found \"c1\"; expected the name of one of the credentials: c10, c11, ",
        ),
    ] {
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_none() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].starts_with(problem) && problems[0].ends_with(", c29 and 10 more"), "{problems:?}");
    }
}

#[tokio::test]
async fn values_that_mislead_are_warnings() {
    for (project, warning) in [
        (
            "endpoint: 'https://metastudio.cn-east-3.myhuaweicloud.com'",
            "projects[0] (a).endpoint: found \"https://metastudio.cn-east-3.myhuaweicloud.com\"; this is the endpoint of \
             cn-east-3, but the region is cn-north-4",
        ),
        (
            "labels: {instance: x}",
            "projects[0] (a).labels.instance: found \"x\"; Prometheus sets the label instance itself",
        ),
        ("labels: {job: x}", "projects[0] (a).labels.job: found \"x\"; Prometheus sets the label job itself"),
        (
            "windows: [yesterday], budgets: [{window: yesterday, minutes: 1}]",
            "projects[0] (a).budgets[0].window: found \"yesterday\"; this window has ended",
        ),
        (
            "windows: [last_month], budgets: [{window: last_month, minutes: 1}]",
            "projects[0] (a).budgets[0].window: found \"last_month\"; this window has ended",
        ),
    ] {
        let (config, problems) = load_with(&minimal().replace("name: a", &format!("name: a, {project}")), &[]).await;
        assert!(config.is_some() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].starts_with(warning), "{problems:?}");
    }
    let (config, problems) = load_with(&minimal().replace("name: a", "name: a, labels: {job: 7}"), &[]).await;
    assert!(config.is_none() && problems.len() == 1, "an error is not hidden by a warning: {problems:?}");
    assert!(problems[0].contains("labels.job: found 7; expected a text"), "{problems:?}");
    let endpoint = "endpoint: 'https://metastudio.cn-north-4.myhuaweicloud.com', windows: [1d], budgets: [{window: 1d, minutes: 1}]";
    let (_, problems) = load_with(&minimal().replace("name: a", &format!("name: a, {endpoint}")), &[]).await;
    assert_eq!(problems, [""; 0]);
}

#[tokio::test]
async fn the_same_usage_under_two_names_is_a_warning() {
    let lists = "business_types: [VIDEO_2D, LIVE_2D], user_ids: [u, v]";
    for (first, second, is_same) in [
        ("", format!("project_id: {ID}"), true),
        ("", format!("project_id: {ID}, windows: [1h]"), true),
        ("", format!("project_id: {ID}, user_ids: [u]"), false),
        ("", format!("project_id: {ID}, user_ids: all"), true),
        ("", format!("project_id: {ID}, app_user_id: u"), false),
        ("", format!("project_id: {ID}, business_types: [VIDEO_2D]"), false),
        ("", format!("project_id: {}", ID.replace('0', "1")), false),
        (lists, format!("project_id: {ID}, business_types: [LIVE_2D, VIDEO_2D], user_ids: [v, u]"), true),
        (lists, format!("project_id: {ID}, business_types: [LIVE_2D, VIDEO_2D], user_ids: [v]"), false),
    ] {
        let first = if first.is_empty() { String::new() } else { format!(", {first}") };
        let more = format!("  - {{name: b, region: cn-north-4, {second}}}\n");
        let text = minimal().replace("projects: [", "projects:\n  - ").replace("}]", &format!("{first}}}"))
            + &more
            + "poll: {timeout: 4m}\n";
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_some(), "{problems:?}");
        let expected = "projects[1] (b): asks for the same usage as a, so sums over projects count it twice";
        assert_eq!(problems, if is_same { vec![expected] } else { vec![] }, "{first}, {second}");
    }
}

#[tokio::test]
async fn projects_share_defaults() {
    let text = format!(
        "
defaults: {{region: cn-east-3, interval: 10m, labels: {{team: a}}, budgets: [{{window: today, minutes: 5}}]}}
credentials: {{main: {{token: t}}}}
projects:
  - {{name: a, project_id: {ID}}}
  - {{name: b, project_id: '1', region: cn-north-4, interval: 5m, labels: {{}}, budgets: []}}
"
    );
    let (config, problems) = load_with(&text, &[]).await;
    let projects = config.unwrap_or_else(|| panic!("{problems:?}")).projects;
    let seen: Vec<_> = projects
        .iter()
        .map(|project| {
            let labels = project.labels.values().filter(|value| !value.is_empty()).count();
            (project.region.as_str(), project.interval.as_secs(), labels, project.budgets.len())
        })
        .collect();
    assert_eq!(seen, [("cn-east-3", 600, 1, 1), ("cn-north-4", 300, 0, 0)]);

    for (defaults, problem) in [
        ("name: x", "defaults.name: there is no such key; expected one of region, endpoint"),
        ("intervall: 5m", "defaults.intervall: there is no such key; did you mean interval?"),
        ("stale_after: 1s", "defaults.stale_after: found \"1s\"; expected a duration"),
        ("project_id: x", "defaults.project_id: every project has its own, so this one has no effect"),
    ] {
        let (_, problems) = load_with(&text.replace("defaults: {", &format!("defaults: {{{defaults}, ")), &[]).await;
        let found: Vec<_> = problems.iter().filter(|problem| problem.starts_with("defaults")).collect();
        assert!(found.len() == 1 && found[0].starts_with(problem), "{problems:?}");
    }
}

#[tokio::test]
async fn all_projects_have_the_same_labels() {
    let project = |name: &str, labels: &str| {
        format!("  - {{name: {name}, region: cn-north-4, app_user_id: {name}, labels: {{{labels}}}}}\n")
    };
    let with = |projects: &str| format!("credentials: {{main: {{token: t}}}}\nprojects:\n{projects}");
    let two = project("a", "team: x") + &project("b", "site: y");
    let (config, problems) = load_with(&with(&two), &[]).await;
    let config = config.unwrap();
    assert_eq!(problems, [] as [&str; 0]);
    let labels = |project: &Project| project.labels.clone().into_iter().map(|(name, value)| name + "=" + &value);
    assert_eq!(labels(&config.projects[0]).collect::<Vec<_>>(), ["site=", "team=x"]);
    assert_eq!(labels(&config.projects[1]).collect::<Vec<_>>(), ["site=y", "team="]);
    let effective = effective::to_yaml(&config);
    assert!(effective.contains("team: x") && !effective.contains("team: \"\""), "{effective}");

    let many: String = (0..=30).map(|number| project(&format!("p{number}"), &format!("l{number}: x"))).collect();
    let (config, problems) = load_with(&with(&many), &[]).await;
    assert!(config.is_none() && problems.len() == 1, "{problems:?}");
    assert_eq!(
        problems[0],
        "projects: found a list of 31; expected at most 30 names of labels in all projects together"
    );
}
