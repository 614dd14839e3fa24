//! Aliases, merge keys, lines, and short texts that expand to many values.

use super::*;

#[tokio::test]
async fn merge_keys_and_keys_with_x_share_values() {
    let text = format!(
        "
x-studio: &studio
  region: cn-north-4
  credentials: main
  labels: {{team: a}}
x-windows: &windows [today, 7d]
x-more: &more {{windows: *windows, credentials: nobody}}
credentials: {{main: {{token: t}}, other: {{token: t}}}}
projects:
  - {{name: a, <<: *studio, project_id: {ID}}}
  - <<: [*studio, *more]
    name: b
    project_id: {}
    labels: {{team: b}}
    credentials: other
",
        ID.replace('0', "1")
    );
    let (config, problems) = load_with(&text, &[]).await;
    let projects = config.unwrap_or_else(|| panic!("{problems:?}")).projects;
    let seen: Vec<_> = projects
        .iter()
        .map(|project| (project.credentials.as_str(), project.labels["team"].as_str(), project.windows.len()))
        .collect();
    assert_eq!(seen, [("main", "a", 3), ("other", "b", 2)]);
    assert_eq!(problems, [""; 0]);
}

#[tokio::test]
async fn a_problem_has_the_line_of_its_value() {
    let text = format!(
        "credentials:
  main: {{token: t}}
projects:
  - name: team-1
    region: cn-north-4
    project_id: {ID}
  - name: team-2
    regoin: cn-north-4
    region: cn-north-4
    project_id: {ID}
    budgets:
      - window: today
        minutes: 100
      - window: today
        minutes: many
"
    );
    let loaded = load_text(text, Path::new("etc/config.yaml"), &environment(&[])).await;
    let problems: Vec<String> = loaded.problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        problems,
        [
            "etc/config.yaml:8: projects[1] (team-2).regoin: there is no such key; did you mean region?",
            "etc/config.yaml:15: projects[1] (team-2).budgets[1].minutes: found \"many\"; expected a number from 0.01 \
             to 1000000000000",
        ]
    );
}

#[tokio::test]
async fn too_many_copies_and_too_deep_nesting_are_refused() {
    let mut bomb = "x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..12 {
        let copies = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("x-{level}: &a{level} [{copies}]\n");
    }
    // Each list has thirty more levels than the one before.
    let chain = |lists: usize| -> String {
        let level = |n: usize| format!("x-{}: &a{} {}*a{n}{}\n", n + 1, n + 1, "[".repeat(30), "]".repeat(30));
        "x-0: &a0 [1]\n".to_owned() + &(0..lists).map(level).collect::<String>()
    };
    let merges = "x-0: &a0 {a: 1, b: 2}\n".to_owned()
        + &(1..30).map(|level| format!("x-{level}: &a{level} {{a: *a{0}, b: *a{0}}}\n", level - 1)).collect::<String>();
    for (text, problem) in [
        (bomb, "aliases copy more than 1000000 values; write fewer of them"),
        (merges, "aliases copy more than 1000000 values; write fewer of them"),
        ("[".repeat(100_000), "is not YAML: recursion limit exceeded"),
        ("a: ".to_owned() + &"{b: ".repeat(100), "lists and mappings are nested more than 64 deep"),
        ("- ".repeat(100_000), "lists and mappings are nested more than 64 deep"),
        (chain(40), "lists and mappings are nested more than 64 deep"),
    ] {
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_none());
        assert_eq!(problems, [problem]);
    }
}
