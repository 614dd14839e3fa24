//! The contract report of `check --online --contract`.

use std::{collections::BTreeSet, fs};

use chrono::{DateTime, TimeDelta, Utc};
use metastudio_exporter::simulator::{
    Options,
    history::{self, SimulatedProject, USERS},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    billing,
    support::{Cloud, Ended, FAST, run},
};

const MAX_REQUESTS: usize = 40;

/// Two requests for each list, and one for each filter.
const MAX_LIST_REQUESTS: usize = 10;

/// Runs the contract report. Returns its output, and the text and the JSON of its file if the file was written.
async fn report(config: &str) -> (Ended, Option<(String, Value)>) {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("report.json");
    let ended = run(config, &["check", "--online", "--contract", "--output", output.to_str().unwrap()]).await;
    let left = fs::read_dir(&directory).unwrap().count();
    let written = fs::read_to_string(&output).ok();
    assert_eq!(left, usize::from(written.is_some()), "no partial file is left");
    (ended, written.map(|text| (text.clone(), serde_json::from_str(&text).unwrap())))
}

fn requests_of(cloud: &Cloud, project: &SimulatedProject) -> usize {
    cloud.simulator.seen().iter().filter(|seen| seen.recipient == project.id).count()
}

/// The age of the newest usage of a project, as a report rounds it.
fn newest(project: &SimulatedProject, now: DateTime<Utc>) -> Value {
    let has_usage = |hours: &i64| {
        let start = now - TimeDelta::hours(*hours);
        project.usage.iter().any(|pattern| history::events(&project.id, pattern, start, now).next().is_some())
    };
    let hours = [1, 3, 6, 12, 24, 72].into_iter().find(has_usage);
    hours.map_or(json!({"over_hours": 72}), |hours| json!({"within_hours": hours}))
}

/// The findings about the simulated cloud, without the age of the newest usage.
fn expected(project: &SimulatedProject, service: &str) -> Value {
    let counts_rows = service == "counted=rows";
    let unit = if counts_rows { "rows" } else { "buckets" };
    let has_one_row_per_bucket = project.usage.len() == 1;
    let counted = match has_one_row_per_bucket {
        true => json!({"unknown": "one_row_per_bucket"}),
        false => json!({"known": unit}),
    };
    let user_id =
        if project.name == "studio-prod" { json!({"known": "filters"}) } else { json!({"unknown": "no_user_ids"}) };
    json!({
        "bucket_width": {"known": "day"},
        "bucket_zone": {"known": "+08:00"},
        "time_format": {"known": "utc"},
        "order": {"known": "oldest_first"},
        "limit_counts": counted,
        "limit_cap": {"known": {"at_least": if counts_rows && !has_one_row_per_bucket { 500 } else { 200 }}},
        "offset_counts": counted,
        "offset_start": {"known": "zero"},
        "count_counts": counted,
        "past_end": {"known": "empty_list"},
        "range_end": {"known": "exclusive"},
        "future_end": {"known": "accepted"},
        "longest_range": {"known": {"accepted_days": 366, "refused_days": null}},
        "reach": {"known": {"usage_days": 1096, "accepted_days": 1096, "refused_days": null}},
        "last_change": {"unknown": "no_days"},
        "halves": {"known": "equal"},
        "unit": {"known": "filters"},
        "number": {"known": "every_row"},
        "user_id": user_id,
    })
}

/// The findings about the packages and sub-users of each project.
fn expected_of_lists() -> Value {
    json!({
        "packages_count": {"known": "entries"},
        "packages_limit": {"known": {"at_least": 5}},
        "packages_offset": {"known": "zero"},
        "packages_ended": {"known": "not_seen"},
        "packages_used_up": {"known": "seen"},
        "packages_overrun": {"known": "seen"},
        "packages_endless": {"known": "seen"},
        "packages_of_60_minutes": {"known": "packages"},
        "users_count": {"known": "entries"},
        "users_limit": {"unknown": "too_few_entries"},
        "users_offset": {"known": "zero"},
        "users_usage": {"known": "every_row"},
    })
}

#[tokio::test]
async fn the_findings_about_the_simulated_cloud_are_exact() {
    for (service, users) in [("counted=buckets", "[user-a, user-b]"), ("counted=rows", "all")] {
        let cloud = Cloud::of(service).await;
        let config = cloud.config(FAST).replace("studio-prod,", &format!("studio-prod, user_ids: {users},"));
        let before = Utc::now();
        let (ended, written) = report(&config).await;
        let after = Utc::now();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        let (_, mut json) = written.unwrap();
        assert_eq!(json["format"], 1);
        assert_eq!(json["exporter"], env!("CARGO_PKG_VERSION"));
        let projects = cloud.simulator.options().projects.clone();
        assert_eq!(json["projects"].as_array().unwrap().len(), projects.len());
        for (index, project) in projects.iter().enumerate() {
            let report = &mut json["projects"][index];
            assert_eq!((&report["project"], &report["stopped"]), (&json!(index + 1), &Value::Null));
            let found = report["findings"].as_object_mut().unwrap().remove("newest").unwrap();
            let possible = [newest(project, before), newest(project, after)];
            assert!(possible.contains(&found["known"]), "{}: {found}, expected {possible:?}", project.name);
            assert_eq!(report["findings"], expected(project, service), "{} {service}", project.name);
            let lists = report["lists"].as_object_mut().unwrap();
            // Live sessions run only at some times, and some projects have few videos, so these findings vary.
            lists.retain(|question, _| question.starts_with("packages") || question.starts_with("users"));
            assert_eq!(report["lists"], expected_of_lists(), "{} {service}", project.name);
            let reported = report["requests"].as_u64().unwrap() as usize;
            let seen = cloud.simulator.seen();
            let of_project = seen.iter().filter(|seen| seen.recipient == project.id).count();
            assert!(reported <= MAX_REQUESTS + MAX_LIST_REQUESTS, "{reported}");
            assert!(reported < of_project, "the online test of the project sends requests, too");
        }
    }
}

#[tokio::test]
async fn without_sub_users_it_is_not_known_what_user_id_does() {
    let cloud = Cloud::new(&["forbidden:project=ListUserQuotas"]).await;
    let config = cloud.config(FAST).replace("studio-prod,", "studio-prod, user_ids: all,");
    let (ended, written) = report(&config).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let (_, json) = written.unwrap();
    assert_eq!(json["projects"][0]["findings"]["user_id"], json!({"unknown": "not_allowed"}));
    assert!(ended.stdout.contains("unknown: HTTP 403"), "{}", ended.stdout);
}

#[tokio::test]
async fn the_file_has_no_names_no_ids_and_no_usage() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST).replace("project_id", "user_ids: [user-a, user-b, user-c], project_id");
    let (ended, written) = report(&config).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let (text, _) = written.unwrap();
    let options = cloud.simulator.options();
    let mut hidden: Vec<String> = USERS.map(str::to_owned).to_vec();
    hidden.extend([options.access_key.clone(), options.secret_key.clone(), cloud.address.to_string()]);
    for project in &options.projects {
        hidden.extend([project.name.clone(), project.id.clone()]);
        hidden.extend(project.usage.iter().map(|pattern| pattern.business_type.to_owned()));
        hidden.extend(project.usage.iter().filter_map(|pattern| Some(pattern.resource_type?.to_owned())));
    }
    for hidden in &hidden {
        assert!(!text.contains(hidden.as_str()), "{hidden} in {text}");
    }
    // Besides the version of the exporter and the number of requests, the file has only these numbers.
    let numbers: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.contains("\"exporter\"") && !line.contains("\"requests\""))
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_digit() || c == '.')))
        .filter(|number| !number.is_empty())
        .collect();
    let known =
        ["1", "2", "3", "5", "6", "10", "12", "20", "24", "50", "60", "72", "00", "08", "100", "200", "366", "1096"];
    assert!(numbers.iter().all(|number| known.contains(number)), "{numbers:?}");
    let year = Utc::now().format("%Y-").to_string();
    assert!(!text.contains(&year), "no times: {text}");
}

#[tokio::test]
async fn the_lines_for_people_are_aligned() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), FAST);
    let ended = run(&config, &["check", "--online", "--contract"]).await;
    assert_eq!(ended.code, Some(0));
    let (_, text) = ended.stdout.split_once("\ncontract report of project 1, campaign\n").unwrap();
    for line in [
        "  distance between buckets          one day",
        "  buckets begin at                  midnight in UTC+08:00",
        "  limit counts                      unknown: every bucket has one row",
        "  largest limit                     at least 200",
        "  past the end comes                an empty list",
        "  oldest answers                    usage of 1096 days ago",
        "  parameter user_id                 unknown: user_ids is not configured",
        "  packages: field count counts      all entries",
        "  packages: first entry has offset  0",
        "  unit of a package of 60 minutes   packages",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} in {text}");
    }
    assert_eq!(text.lines().count(), 41, "{text}");
}

/// Each case has a service or a fault, a question about lists, and the answer that the report must have.
#[tokio::test]
async fn the_findings_about_lists_are_those_of_the_service() {
    for (service, faults, question, answer) in [
        ("cap=3", &[][..], "packages_limit", json!({"known": {"lowered_to": 3}})),
        ("cap=3,count=absent", &[], "packages_limit", json!({"known": {"lowered_to": 3}})),
        ("packages=100", &[], "packages_limit", json!({"known": {"at_least": 100}})),
        ("offset=from-one", &[], "packages_offset", json!({"known": "one"})),
        ("offset=pages", &[], "users_offset", json!({"known": "pages"})),
        ("offset=ignored", &[], "videos_offset", json!({"known": "ignored"})),
        ("count=absent", &[], "users_count", json!({"known": "absent"})),
        ("videopacket=minutes", &[], "packages_of_60_minutes", json!({"known": "minutes"})),
        ("states=ignored", &[], "videos_state", json!({"known": "nothing"})),
        ("", &[], "videos_state", json!({"known": "filters"})),
        ("sessions=3", &[], "sessions_offset", json!({"known": "zero"})),
        ("sessions=3", &[], "sessions_source", json!({"known": "every_row"})),
        ("numbers=words", &[], "packages_count", json!({"unknown": "unreadable"})),
        ("", &["forbidden:project=ListUserQuotas"], "users_count", json!({"unknown": "not_allowed"})),
        ("", &["not-found:project=ListSmartLiveJobs"], "sessions_state", json!({"unknown": "not_there"})),
    ] {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let options = Options { service: service.parse().unwrap(), faults, ..Options::default() };
        let cloud = Cloud::with(options).await;
        let (ended, written) = report(&cloud.config_of(&["studio-prod"], &cloud.keys(), FAST)).await;
        let report = &written.unwrap_or_else(|| panic!("{}", ended.stdout)).1["projects"][0];
        assert_eq!((&report["lists"][question], &report["stopped"]), (&answer, &Value::Null), "{service} {question}");
    }
}

/// The packages of an account, which the billing service lists.
#[tokio::test]
async fn the_findings_about_an_account_are_those_of_the_service() {
    for (service, question, answer) in [
        ("", "count", json!({"known": "entries"})),
        ("", "limit", json!({"known": {"at_least": 5}})),
        ("", "offset", json!({"known": "zero"})),
        ("", "ended", json!({"known": "seen"})),
        ("", "of_metastudio", json!({"known": "seen"})),
        ("cap=4", "limit", json!({"known": {"lowered_to": 4}})),
        ("account-packages=200", "limit", json!({"known": {"at_least": 200}})),
        ("count=absent", "count", json!({"known": "absent"})),
    ] {
        let cloud = Cloud::of(service).await;
        let (ended, written) = report(&billing::config(&cloud, "", "")).await;
        let report = &written.unwrap_or_else(|| panic!("{}", ended.stdout)).1["accounts"][0];
        assert_eq!((&report["account"], &report["requests"]), (&json!(1), &json!(2)), "{report}");
        assert_eq!((&report["findings"][question], &report["stopped"]), (&answer, &Value::Null), "{service} {report}");
        assert!(ended.stdout.contains("\ncontract report of account 1, main\n"), "{}", ended.stdout);
    }
}

/// If the service refuses a project during the report, the findings so far stay, and the project gets no more requests.
/// The reports of the other projects go on.
#[tokio::test]
async fn a_refusal_stops_the_requests_of_a_project() {
    let cloud = Cloud::new(&[]).await;
    let project = &cloud.simulator.options().projects[2];
    run(&cloud.config(FAST), &["check", "--online"]).await;
    let after = requests_of(&cloud, project) + 3;
    for (fault, status, stop) in [
        ("forbidden", 403, "forbidden"),
        ("throttle", 429, "throttled"),
        ("echo", 401, "auth"),
        ("disconnect", 0, "network"),
    ] {
        let cloud = Cloud::new(&[&format!("{fault}:project=campaign,after={after}")]).await;
        let (ended, written) = report(&cloud.config(FAST)).await;
        let (_, json) = written.unwrap();
        let campaign = &json["projects"][2];
        assert_eq!((ended.code, &campaign["stopped"]), (Some(0), &json!(stop)), "{}", ended.stdout);
        assert!(ended.stdout.contains("  stopped early                     "), "{}", ended.stdout);
        let findings = &campaign["findings"];
        assert_eq!(findings["order"], json!({"known": "oldest_first"}), "{fault}");
        assert_eq!(findings["offset_start"], json!({"known": "zero"}), "{fault}");
        assert_eq!(campaign["lists"]["packages_count"], json!({"unknown": "stopped"}), "{fault}");
        for unknown in ["past_end", "future_end", "reach", "newest", "halves", "unit", "longest_range"] {
            let accepted = json!({"known": {"accepted_days": 31, "refused_days": null}});
            let expected = if unknown == "longest_range" { accepted } else { json!({"unknown": "stopped"}) };
            assert_eq!(findings[unknown], expected, "{fault} {unknown}");
        }
        let seen = cloud.simulator.seen();
        let failed = seen.iter().filter(|seen| seen.recipient == project.id && seen.status.unwrap_or(0) == status);
        assert_eq!(failed.count(), 1, "{fault}");
        assert_eq!(json["projects"][0]["findings"]["halves"], json!({"known": "equal"}), "{fault}");
    }
}

/// The polls of such a service fail, so only the report shows how it behaves.
#[tokio::test]
async fn a_service_that_contradicts_itself_gets_a_report() {
    let cloud = Cloud::of("offset=ignored").await;
    let (ended, written) =
        report(&cloud.config("windows: [last_month]\napi: {requests_per_second: 1000, page_size: 2}")).await;
    assert_eq!(ended.code, Some(1), "its poll fails: {}", ended.stdout);
    let (_, json) = written.unwrap();
    let findings = &json["projects"][1]["findings"];
    for (question, answer) in [
        ("limit_counts", json!({"known": "buckets"})),
        ("offset_start", json!({"known": "ignored"})),
        ("offset_counts", json!({"unknown": "offset_not_understood"})),
        ("past_end", json!({"known": "first_entries"})),
        ("halves", json!({"unknown": "incomplete"})),
        ("bucket_width", json!({"known": "day"})),
    ] {
        assert_eq!(findings[question], answer, "{question}");
    }
    assert_eq!(json["projects"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_refused_key_is_tried_once() {
    let cloud = Cloud::new(&[]).await;
    let all = ["studio-prod", "live-commerce", "campaign"];
    let config = cloud.config_of(&all, "access_key: SIMULATEDACCESSKEY01, secret_key: hunter2", FAST);
    let (ended, written) = report(&config).await;
    assert_eq!((ended.code, written), (Some(1), None));
    assert!(ended.stdout.contains("no contract report, because no project answers"), "{}", ended.stdout);
    let statuses: Vec<_> = cloud.simulator.seen().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == Some(401)).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), FAST);
    let directory = TempDir::new().unwrap();
    let place = directory.path().to_str().unwrap();
    for (path, reason) in
        [(format!("{place}/none/report.json"), "No such file"), (place.to_owned(), "not a regular file")]
    {
        let ended = run(&config, &["check", "--online", "--contract", "--output", &path]).await;
        assert_eq!(ended.code, Some(1));
        let expected = format!("cannot write the contract report to {path}: ");
        assert!(ended.stderr.contains(&expected) && ended.stderr.contains(reason), "{}", ended.stderr);
        assert!(ended.stdout.contains("contract report of project 1"), "it is printed: {}", ended.stdout);
    }
}
