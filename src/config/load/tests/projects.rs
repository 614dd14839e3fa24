//! The list `projects`.

use super::*;

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
        assert!(problems[0].contains(&format!("projects[0].budgets{problem}")), "{problems:?}");
    }
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
        assert!(problems[0].contains(&format!("projects[0].{found}; this is no documented")), "{problems:?}");
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
