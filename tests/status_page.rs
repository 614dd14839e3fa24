//! The status page, as a client gets it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Datelike, Days, TimeDelta, Utc};
use http_body_util::BodyExt;
use hyper::Request;
use metastudio_exporter::{
    exposition::Exposition,
    site::Routes,
    snapshot::{self, Failure, Moment, PollOutcome, Reader, Target, WindowUsage, Writer},
    usage::{self, Bounds, Budget, Reason, Row, RowKey, Tally, Unit, Window},
};

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2025-11-16T00:00:00Z").unwrap().to_utc()
}

fn target(name: &str) -> Target {
    Target {
        region: "cn-north-4".into(),
        labels: vec![("team".into(), "Marketing".into())],
        stale_after: Duration::from_secs(900),
        ..Target::new(name)
    }
}

/// A project with these minutes in November and with budgets of 100 minutes. Half of November has passed.
fn month(minutes: &str) -> (Writer, Reader) {
    let budget = |business_type: Option<&str>| Budget {
        window: Window::ThisMonth,
        minutes: 100.0,
        resource_type: None,
        business_type: business_type.map(str::to_owned),
        user_id: None,
    };
    let target = Target { budgets: vec![budget(None), budget(Some("LIVE_2D"))], ..target("studio") };
    let (mut writer, reader) = snapshot::channel(vec![target]);
    let key = RowKey { business_type: "VIDEO_2D".to_owned(), unit: Unit::Minutes, ..RowKey::default() };
    let mut tally = Tally::default();
    tally.add(&Row { key, usage: Some(minutes.parse().unwrap()), number: Some(3) }, None).unwrap();
    let days = usage::Days {
        first: now().date_naive().with_day(1).unwrap(),
        minutes: [0.0, 29.0, 58.0].into_iter().chain([0.0; 12]).collect(),
    };
    let bounds = Bounds { start: now() - Days::new(15), end: now() + Days::new(15) };
    let window =
        WindowUsage { window: Window::ThisMonth, bounds, changes_at: Some(bounds.end), tally, days: Some(days) };
    writer.record(0, attempt(now(), Ok(vec![window])), Some(now() + TimeDelta::seconds(300)));
    (writer, reader)
}

fn attempt(at: DateTime<Utc>, result: Result<Vec<WindowUsage>, Failure>) -> PollOutcome {
    PollOutcome::new(at, Duration::from_millis(250), result)
}

fn forbidden() -> Failure {
    Failure { reason: Reason::Forbidden, message: "HTTP 403 (request id <b>)".into() }
}

/// The page at `clock` in a language.
async fn page(reader: &Reader, query: &str, language: &str, clock: fn() -> Moment) -> String {
    let exposition = Exposition::of_projects(reader.clone(), clock);
    let routes = Routes::new(exposition, reader.clone(), clock);
    let request = Request::get(format!("/?{query}")).header("accept-language", language).body(()).unwrap();
    let response = routes.answer(&request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-language"], language);
    assert_eq!(response.headers()["vary"], "Accept-Encoding, Accept-Language");
    let html = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(html.to_vec()).unwrap()
}

#[tokio::test]
async fn all_values_are_escaped() {
    let hostile = "\"><script>alert('&')</script></style>";
    let target = Target { region: hostile.into(), labels: vec![("l".into(), hostile.into())], ..target(hostile) };
    let (mut writer, reader) = snapshot::channel(vec![target]);
    let failure = Failure { reason: Reason::Server, message: hostile.into() };
    writer.record(0, attempt(now(), Err(failure)), None);
    for query in ["", "q=%22%3E%3Cscript%3E%3C/style%3E", "state=%22%3E%3Cscript%3E&page=%22%3E%3Cscript%3E"] {
        let html = page(&reader, query, "en", || now().into()).await;
        assert_eq!((html.matches("<script").count(), html.matches("</style>").count()), (0, 1), "{html}");
    }
    let html = page(&reader, "q=%22%3E%3Cscript", "en", || now().into()).await;
    assert_eq!(html.matches("&#60;script").count(), 5, "name, region, label, error and search text: {html}");
}

#[tokio::test]
async fn a_budget_is_shown_with_its_level_and_forecast() {
    for (minutes, level) in
        [("29", "fine"), ("50", "fine"), ("50.01", "near"), ("79.9", "near"), ("100", "spent"), ("2000", "spent")]
    {
        let html = page(&month(minutes).1, "", "en", || now().into()).await;
        assert!(html.contains(&format!("class=\"budget {level}\"")), "{minutes}: {html}");
    }
    let html = page(&month("64.5").1, "", "en", || now().into()).await;
    assert!(html.contains("Budget (this month): 64.5 / 100 min (64%), at this pace 129 min"), "{html}");
    assert!(html.contains("width=\"645\"") && html.contains("x=\"499\" width=\"3\""), "{html}");
    assert!(html.contains("Budget (this month, LIVE_2D): 0 / 100 min (0%)<"), "{html}");
    let html = page(&month("29").1, "", "en", || now().into()).await;
    assert!(html.contains("29 / 100 min (29%)"), "{html}");
    let html = page(&month("64.5").1, "", "zh-CN", || now().into()).await;
    assert!(html.contains("预算（本月）：64.5 / 100 分钟（64%），按目前进度预计达到 129 分钟"), "{html}");
    assert!(
        html.contains("2025-11 每日分钟数；最高：2025-11-03，58 分钟") && html.contains(">本月的分钟数<"),
        "{html}"
    );
    assert!(html.contains("预算（本月，LIVE_2D）：0 / 100 分钟（0%）<"), "{html}");
}

#[tokio::test]
async fn minutes_are_shown_to_the_last_digit_and_by_day() {
    let html = page(&month("1234567.125").1, "", "en", || now().into()).await;
    assert!(html.contains("<dt>Minutes this month</dt><dd>1,234,567.125</dd>"), "{html}");
    assert!(html.contains("viewBox=\"0 0 300 60\""), "30 days: {html}");
    assert!(html.contains("x=\"11\" y=\"30.0\" width=\"8\" height=\"29.0\"><title>2025-11-02: 29<"), "{html}");
    assert!(html.contains("Minutes per day, 2025-11; highest: 2025-11-03, 58 min<"), "{html}");
}

#[tokio::test]
async fn every_state_of_a_project_is_shown() {
    let (_writer, reader) = snapshot::channel(vec![target("a")]);
    let html = page(&reader, "", "en", || now().into()).await;
    assert!(html.contains("<article class=\"waiting\">") && html.contains("<dd>not yet</dd>"), "{html}");

    let (mut writer, reader) = month("1");
    let html = page(&reader, "", "en", || (now() + TimeDelta::seconds(119)).into()).await;
    assert!(html.contains("<article class=\"ok\">") && html.contains(">119 s ago<"), "{html}");
    assert!(html.contains("(0.2 s)") && html.contains("<dt>Next poll</dt><dd>in 3 min</dd>"), "{html}");

    writer.record(0, attempt(now() + TimeDelta::seconds(300), Err(forbidden())), None);
    let html = page(&reader, "", "zh-CN", || (now() + TimeDelta::seconds(900)).into()).await;
    assert!(html.contains("<article class=\"failing\">") && html.contains(">10 分钟前<"), "{html}");
    assert!(html.contains("缺少权限</strong>") && html.contains("(request id &#60;b&#62;)"), "{html}");
    assert!(html.contains("<dd>1</dd>"), "the usage is still exported: {html}");

    let html = page(&reader, "", "en", || (now() + TimeDelta::seconds(901)).into()).await;
    assert!(html.contains("<article class=\"stale\">") && html.contains("no longer exported"), "{html}");
    assert!(!html.contains("<dd>1</dd>") && !html.contains("class=\"budget"), "{html}");
}

#[tokio::test]
async fn the_worst_state_comes_first_and_projects_can_be_searched() {
    let names: Vec<String> = (0..120).map(|n| format!("p{n:03}")).collect();
    let (mut writer, reader) = snapshot::channel(names.iter().map(|name| target(name)).collect());
    for n in 0..120 {
        let result = if n == 119 { Err(forbidden()) } else { Ok(vec![]) };
        writer.record(n, attempt(now(), result), None);
    }
    let shown = async |query: &str| {
        let html = page(&reader, query, "en", || now().into()).await;
        let names: Vec<String> =
            html.split("<h2>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
        (names, html)
    };
    let (first, html) = shown("").await;
    assert_eq!((first.len(), &*first[0], &*first[1], &*first[49]), (50, "p119", "p000", "p048"));
    assert!(html.contains("failing 1</a>") && html.contains("ok 119</a>") && html.contains("href=\"./?page=3\""));
    assert_eq!(shown("page=3").await.0, names[99..119]);
    assert_eq!(shown("page=99").await.0, names[99..119], "the last page");
    assert_eq!(shown("state=failing").await.0, ["p119"]);
    assert_eq!(
        shown("q=P11+marketing").await.0,
        ["p119", "p110", "p111", "p112", "p113", "p114", "p115", "p116", "p117", "p118"]
    );
    let (none, html) = shown("q=P11+sales&state=ok").await;
    assert!(none.is_empty() && html.contains("No project matches"), "{html}");
    assert!(html.contains("href=\"./?q=P11+sales\"") && html.contains("name=\"state\" value=\"ok\""), "{html}");
}

#[tokio::test]
async fn clients_share_a_page_for_one_second() {
    static MILLISECONDS: AtomicI64 = AtomicI64::new(0);
    let clock = || (now() + TimeDelta::milliseconds(MILLISECONDS.load(Ordering::Relaxed))).into();
    let (mut writer, reader) = month("1");
    let routes = Routes::new(Exposition::of_projects(reader.clone(), clock), reader, clock);
    // The address of the first piece of the answer.
    let get = async |query: &str, language: &str, encoding: &str| {
        let request = Request::get(format!("/?{query}")).header("accept-language", language);
        let response = routes.answer(&request.header("accept-encoding", encoding).body(()).unwrap()).await;
        let mut body = response.into_body();
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        (piece.as_ptr() as usize, piece, body)
    };
    let first = get("", "en", "identity").await;
    MILLISECONDS.store(999, Ordering::Relaxed);
    assert_eq!(get("page=1&unknown=2", "en", "identity").await.0, first.0, "the same page in the same second");
    for (query, language, encoding) in [("q=s", "en", "identity"), ("", "zh-CN", "identity"), ("", "en", "gzip")] {
        assert_ne!(get(query, language, encoding).await.1, first.1, "{query} {language} {encoding}");
    }
    let before = get("", "en", "identity").await;
    MILLISECONDS.store(1000, Ordering::Relaxed);
    let next = get("", "en", "identity").await;
    assert_ne!(next.0, before.0, "the next second");
    writer.record(0, attempt(now(), Err(forbidden())), None);
    assert_ne!(get("", "en", "identity").await.0, next.0, "the next poll");
}
