//! The list `projects`.

use super::*;

#[tokio::test]
async fn a_budget_needs_usage_that_the_project_polls() {
    let of = async |project: &str| {
        let text = minimal().replace("name: a", &format!("name: a, windows: [today, this_month], {project}"));
        load_with(&text, &[]).await
    };
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
            "business_types: [x], budgets: [{window: today, minutes: 1, business_type: y}]",
            "[0].business_type: found \"y\"; expected one of the business_types of this project: x",
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
        assert!(problems[0].contains(&format!("projects[0].budgets{problem}")), "{problems:?}");
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
    assert!(config.is_none() && problems[0].contains("projects[0].project_id: is missing"), "{problems:?}");
}

#[tokio::test]
async fn a_message_lists_twenty_names_of_credentials() {
    let credentials: Vec<String> = (10..40).map(|number| format!("c{number}: {{token: t}}")).collect();
    let text = minimal().replace("main: {token: t}", &credentials.join(", "));
    for (text, problem) in [
        (text.clone(), "projects[0]: credentials is missing; expected one of c10, c11, "),
        (
            text.replace("name: a", "name: a, credentials: c1"),
            "projects[0].credentials: found \"c1\"; expected the name of one of the credentials: c10, c11, ",
        ),
    ] {
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_none() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].starts_with(problem) && problems[0].ends_with(", c29 and 10 more"), "{problems:?}");
    }
}
