//! Commands, flags and exit codes.

use std::{path::Path, process::Command};

use crate::support::{Cloud, Daemon, FAST, exporter, run};

fn binary(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = exporter().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn version_and_help() {
    let (code, stdout, _) = binary(&["--version"]);
    assert_eq!(code, Some(0));
    for part in ["metastudio-exporter ", "revision: ", "built: ", "rustc: "] {
        assert!(stdout.contains(part), "{stdout}");
    }
    let (code, stdout, _) = binary(&["--help"]);
    assert_eq!(code, Some(0));
    for part in ["serve", "check", "once", "simulate", "demo", "--config.file", "--web.listen-address", "--log.level"] {
        assert!(stdout.contains(part), "{stdout}");
    }
}

#[test]
fn the_help_of_simulate_lists_the_settings_of_a_service() {
    let (code, stdout, _) = binary(&["simulate", "--help"]);
    assert_eq!(code, Some(0));
    for part in ["--service <SETTINGS>", "counted=  What limit and offset count", "cap=NUMBER"] {
        assert!(stdout.contains(part), "{stdout}");
    }
    let (code, _, stderr) = binary(&["simulate", "--service=cap=10,count=rows", "--service=counted=days"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("possible values: buckets, rows"), "{stderr}");
}

/// The completions that bash offers for the last word, with the file of completions in a directory.
fn completed(directory: &Path, words: &[&str]) -> Vec<String> {
    let script = r#"
        source "$1/metastudio-exporter.bash" && shift
        [[ $(complete -p metastudio-exporter) =~ -F\ ([^ ]+) ]]
        COMP_WORDS=(metastudio-exporter "$@") COMP_CWORD=$#
        "${BASH_REMATCH[1]}" metastudio-exporter "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = Command::new("bash").args(["-c", script, "bash"]).arg(directory).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn manual_writes_man_pages_and_completions() {
    let directory = tempfile::tempdir().unwrap();
    let manual = directory.path().join("new/manual");
    let (code, _, stderr) = binary(&["manual", manual.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let read = |name: &str| std::fs::read_to_string(manual.join(name)).unwrap();
    let page = read("metastudio-exporter.1");
    for part in ["\\-\\-config.file", ".SH COMMANDS", "metastudio\\-exporter\\-demo(1)", ".SH SIGNALS"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for command in ["serve", "check", "once", "simulate", "demo"] {
        assert!(read(&format!("metastudio-exporter-{command}.1")).contains("\\-\\-log.level"), "{command}");
    }
    assert!(read("metastudio-exporter-simulate.1").contains(".SH SETTINGS\n.nf\nSettings of \\-\\-service"));
    assert!(read("_metastudio-exporter").starts_with("#compdef metastudio-exporter\n"));
    assert!(read("metastudio-exporter.fish").contains("-l web.listen-address"));

    assert_eq!(completed(&manual, &["che"]), ["check"]);
    assert_eq!(completed(&manual, &["--web.t"]), ["--web.telemetry-path"]);
    assert_eq!(completed(&manual, &["demo", "--all"]), ["--all-green"]);
    assert_eq!(completed(&manual, &["check", "--log.format", ""]), ["logfmt", "json"]);
    // Hidden commands are not offered.
    assert_eq!(completed(&manual, &["man"]), [""]);
    let (code, _, stderr) = binary(&["manual", "/dev/null/manual"]);
    assert!(code == Some(1) && stderr.contains("cannot write to /dev/null/manual: "), "{stderr}");
}

#[test]
fn a_command_line_that_does_not_parse_exits_with_2() {
    for arguments in [
        &["--nonsense"][..],
        &["explode"],
        &["once", "--format=xml"],
        &["--log.format=xml"],
        &["--log.format=xml", "check"],
        &["--web.listen-address=:1", "check"],
        &["check", "--contract"],
        &["check", "--online", "--output=report.json"],
    ] {
        assert_eq!(binary(arguments).0, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_bad_configuration_exits_with_1_and_lists_every_problem() {
    let config = "poll: {interval: 1s}\nprojects: [{name: a}]\nzzz: 1";
    for arguments in [&["check"][..], &["--config.check"]] {
        let ended = run(config, arguments).await;
        assert_eq!(ended.code, Some(1));
        for path in ["poll.interval: found \"1s\"", "projects[0] (a).project_id: is missing"] {
            assert!(ended.stdout.contains(path), "{}", ended.stdout);
        }
        assert!(ended.stdout.contains("config.yaml:3: zzz: there is no such key"), "{}", ended.stdout);
    }
    for arguments in [&["serve"][..], &[], &["once"]] {
        let ended = run(config, arguments).await;
        assert_eq!(ended.code, Some(1));
        assert!(
            ended.stderr.contains("zzz: there is no such key") && ended.stderr.contains("level=ERROR"),
            "{}",
            ended.stderr
        );
    }
    let (code, stdout, _) = binary(&["check", "--config.file=/nowhere.yaml"]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("/nowhere.yaml: there is no such file"), "{stdout}");
}

#[test]
fn check_prints_an_example_and_a_schema_without_a_configuration() {
    let (code, example, _) = binary(&["check", "--example"]);
    assert_eq!((code, example.as_str()), (Some(0), include_str!("../../config.example.yaml")));
    let (code, schema, _) = binary(&["check", "--schema"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["defaults"]["properties"]["region"]["type"], serde_json::json!(["string", "null"]));
    assert_eq!(binary(&["check", "--schema", "--online"]).0, Some(2));
}

#[test]
fn a_fault_of_a_project_that_does_not_exist_is_an_error() {
    let (code, _, stderr) = binary(&["simulate", "--fault=forbidden:project=nobody"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("there is no project nobody; expected one of studio-prod, "), "{stderr}");
}

#[tokio::test]
async fn a_taken_port_exits_with_1() {
    let cloud = Cloud::new(&[]).await;
    let taken = format!("--web.listen-address={}", cloud.address);
    let ended = run(&cloud.config(FAST), &["serve", &taken]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&format!("cannot listen on {}", cloud.address)), "{}", ended.stderr);
    assert!(cloud.simulator.seen().is_empty(), "nothing starts before the port is bound");
}

#[tokio::test]
async fn check_prints_the_number_of_requests_a_day() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config("poll: {interval: 10m}").replace("name: campaign,", "name: campaign, user_ids: [a, b],");
    let ended = run(&config, &["check"]).await;
    assert_eq!(ended.code, Some(0));
    let words: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let of = |name: &str| {
        words.iter().find(|words| words.first() == Some(&name)).map(|words| words[1].trim_end_matches(':'))
    };
    assert_eq!(of("studio-prod"), Some("432"), "{}", ended.stdout);
    assert_eq!((of("campaign"), of("total")), (Some("864"), Some("1728")));
    assert!(cloud.simulator.seen().is_empty());
}

#[tokio::test]
async fn check_prints_the_effective_configuration_without_secrets() {
    let cloud = Cloud::new(&[]).await;
    let ended = run(&cloud.config(FAST), &["check", "--print"]).await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("secret_key: \"<secret>\"") && ended.stdout.contains("page_size: 1000"));
    assert!(!ended.stdout.contains(&cloud.simulator.options().secret_key));
}

#[tokio::test]
async fn once_prints_both_formats_without_process_metrics() {
    let cloud = Cloud::new(&[]).await;
    let text = run(&cloud.config(FAST), &["once"]).await;
    assert!(text.stdout.contains("# TYPE metastudio_polls_total counter\n"));
    assert!(!text.stdout.contains("# EOF") && !text.stdout.contains("process_"), "the node exporter exports them");
    assert!(text.stderr.is_empty(), "logs nothing without problems: {}", text.stderr);
    let openmetrics = run(&cloud.config(FAST), &["once", "--format=openmetrics"]).await;
    assert!(openmetrics.stdout.contains("# TYPE metastudio_polls counter\n"));
    assert!(openmetrics.stdout.ends_with("# EOF\n"));
}

#[tokio::test]
async fn logs_are_logfmt_or_json() {
    let cloud = Cloud::new(&["forbidden"]).await;
    let config = cloud.config_of(&["campaign"], "token: t", FAST);
    let logfmt = run(&config, &["once"]).await;
    assert!(logfmt.stderr.contains(" level=WARN msg=\"poll failed\" project=campaign reason=forbidden "));
    for arguments in [["once", "--log.format=json"], ["--log.format=json", "once"]] {
        let json = run(&config, &arguments).await;
        let line: serde_json::Value = serde_json::from_str(json.stderr.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&line["project"], &line["reason"], &line["level"], &line["msg"]),
            (&"campaign".into(), &"forbidden".into(), &"WARN".into(), &"poll failed".into())
        );
    }
    for arguments in [["once", "--log.level=error"], ["--log.level=error", "once"]] {
        assert_eq!(run(&config, &arguments).await.stderr, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn log_flags_before_the_command_apply_to_the_daemon() {
    let cloud = Cloud::new(&[]).await;
    for arguments in [&["--log.level=debug"][..], &["--log.level=debug", "serve"], &["serve", "--log.level=debug"]] {
        Daemon::start(&cloud.config(FAST), arguments).wait_for_log("level=DEBUG");
    }
}
