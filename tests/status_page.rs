//! The status page, as a client gets it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, BufMut};
use chrono::{DateTime, Datelike, Days, TimeDelta, Utc};
use http_body_util::BodyExt;
use hyper::Request;
use metastudio_exporter::{
    exposition::{ConfigStatus, Exposition, Format},
    site::Routes,
    snapshot::{
        self, CollectorOutcome, Failure, Found, Moment, Packages, PollOutcome, Reader, Target, WindowUsage, Writer,
    },
    usage::{
        self, Bounds, Budget, Collector, CollectorDoubt, Doubt, Package, PackageKind, Reason, Row, RowKey,
        SharedBudget, Tally, Unit, Window,
    },
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
    for (minutes, level, percent, state) in [
        ("29", "fine", "29%", "ok"),
        ("50", "fine", "50%", "ok"),
        ("50.01", "near", "50%", "ok"),
        ("64.5", "near", "65%", "ok"),
        ("79.9", "near", "80%", "ok"),
        ("0.2", "fine", "&#60;1%", "ok"),
        ("99.99", "near", "99%", "ok"),
        ("100", "spent", "100%", "over-budget"),
        ("2000", "spent", "2,000%", "over-budget"),
    ] {
        let html = page(&month(minutes).1, "", "en", || now().into()).await;
        assert!(html.contains(&format!("class=\"budget {level}\"")), "{minutes}: {html}");
        assert!(html.contains(&format!("<strong>{percent}</strong>")), "{minutes}: {html}");
        assert!(html.contains(&format!("<article class=\"card {state}\">")), "{minutes}: {html}");
    }
    let html = page(&month("64.5").1, "", "en", || now().into()).await;
    assert!(
        html.contains("Budget (this month): 64.5 / 100 min (<strong>65%</strong>), at this pace 129 min"),
        "{html}"
    );
    assert!(html.contains("width=\"645\"") && html.contains("x=\"499\" width=\"3\""), "{html}");
    let html = page(&month("64.5").1, "", "zh-CN", || now().into()).await;
    assert!(
        html.contains("预算（本月）：64.5 / 100 分钟（<strong>65%</strong>），按目前的速度预计达到 129 分钟"),
        "{html}"
    );
    assert!(
        html.contains("2025-11 每日分钟数；最高：2025-11-03，58 分钟") && html.contains(">本月的分钟数<"),
        "{html}"
    );
}

#[tokio::test]
async fn with_all_users_the_rest_is_that_of_others() {
    for (has_rest, user, english, chinese) in [
        (true, None, "- · VIDEO_2D · (others)", "- · VIDEO_2D · （其他）"),
        (true, Some("user-a"), "- · VIDEO_2D · user-a", "- · VIDEO_2D · user-a"),
        (false, None, "- · VIDEO_2D<", "- · VIDEO_2D<"),
    ] {
        let (mut writer, reader) = snapshot::channel(vec![Target { has_rest, ..target("studio") }]);
        let key = RowKey { business_type: "VIDEO_2D".to_owned(), unit: Unit::Minutes, ..RowKey::default() };
        let mut tally = Tally::default();
        tally.add(&Row { key, usage: Some("5".parse().unwrap()), number: None }, user).unwrap();
        let bounds = Bounds { start: now() - Days::new(15), end: now() + Days::new(15) };
        let window = WindowUsage { window: Window::ThisMonth, bounds, changes_at: Some(bounds.end), tally, days: None };
        writer.record(0, attempt(now(), Ok(vec![window])), None);
        for (language, expected) in [("en", english), ("zh-CN", chinese)] {
            let html = page(&reader, "", language, || now().into()).await;
            assert!(html.contains(expected), "{expected}: {html}");
        }
    }
}

/// Records a poll at `at` of a project that shares a budget: these minutes of this month.
fn sharing(writer: &mut Writer, index: usize, at: DateTime<Utc>, minutes: &str) {
    sharing_of(writer, index, at, minutes, |bounds| bounds);
}

/// Like `sharing`, but for another range, which `range` makes of this month.
fn sharing_of(writer: &mut Writer, index: usize, at: DateTime<Utc>, minutes: &str, range: fn(Bounds) -> Bounds) {
    let key = RowKey { business_type: "VIDEO_2D".to_owned(), unit: Unit::Minutes, ..RowKey::default() };
    let mut tally = Tally::default();
    tally.add(&Row { key, usage: Some(minutes.parse().unwrap()), number: None }, None).unwrap();
    let bounds = range(Bounds { start: now() - Days::new(15), end: now() + Days::new(15) });
    let window = WindowUsage { window: Window::ThisMonth, bounds, changes_at: None, tally, days: None };
    writer.record(index, attempt(at, Ok(vec![window])), None);
}

#[tokio::test]
async fn a_shared_budget_sums_its_projects() {
    let budget = SharedBudget {
        name: "marketing <b>".to_owned(),
        limit: Budget {
            window: Window::ThisMonth,
            minutes: 1000.0,
            resource_type: None,
            business_type: Some("VIDEO_2D".to_owned()),
            user_id: None,
        },
    };
    let of = |name| Target { shared_budgets: vec![budget.clone()], ..target(name) };
    let (mut writer, reader) = snapshot::channel(vec![of("one"), target("other"), of("two")]);
    let clock = || Moment::from(now());
    let html = page(&reader, "", "en", clock).await;
    let shown = |html: &str, text: &str| assert!(html.contains(text), "{text} in {html}");
    shown(
        &html,
        "<div class=\"budget old\">\n<p class=\"small\">Budget (marketing &#60;b&#62;, this month, VIDEO_2D): 0 / 1,000 min",
    );
    shown(&html, "<p class=\"soft small\">0 / 2 projects</p>");
    sharing(&mut writer, 0, now(), "300.1");
    sharing(&mut writer, 1, now(), "5000");
    sharing(&mut writer, 2, now(), "300.2");
    let html = page(&reader, "", "en", clock).await;
    shown(&html, "<div class=\"budget near\">");
    shown(&html, "VIDEO_2D): 600.3 / 1,000 min (<strong>60%</strong>), at this pace 1,201 min");
    assert!(!html.contains("/ 2 projects"), "{html}");
    assert!(html.contains("<title>MetaStudio exporter</title>"), "nothing needs attention");
    shown(
        &page(&reader, "", "zh-CN", clock).await,
        "预算（marketing &#60;b&#62;，本月，VIDEO_2D）：600.3 / 1,000 分钟",
    );
    // The usage of one project is too old, and the budget is not known to be spent.
    sharing(&mut writer, 2, now() - TimeDelta::hours(1), "900");
    let html = page(&reader, "", "en", clock).await;
    shown(&html, "<div class=\"budget old\">");
    shown(&html, "<p class=\"soft small\">1 / 2 projects</p>");
    // The known usage alone spends the budget.
    sharing(&mut writer, 0, now(), "1000");
    // The usage of the other project is of last month, so it does not count.
    let last_month = |bounds: Bounds| Bounds { start: bounds.start - Days::new(30), end: bounds.start };
    sharing_of(&mut writer, 2, now(), "5000", last_month);
    assert!(page(&reader, "", "en", clock).await.contains("VIDEO_2D): 1,000 / 1,000 min"));
    let html = page(&reader, "state=over-budget", "en", clock).await;
    shown(&html, "<div class=\"budget spent\">");
    shown(&html, "<title>(1) MetaStudio exporter</title>");
    for query in ["project=one", "q=two", "state=ok"] {
        assert!(!page(&reader, query, "en", clock).await.contains("Shared budgets"), "{query}");
    }
}

/// A run of the collector of packages that finds these: (id, bought, used, days until the end).
fn packages(at: DateTime<Utc>, packages: &[(&str, i64, i64, i64)]) -> CollectorOutcome {
    let package = |(id, bought, used, days): &(&str, i64, i64, i64)| Package {
        id: (*id).to_owned(),
        kind: PackageKind {
            resource_type: "hws.resource.type.metastudio.modeling.avatarvideo.duration".to_owned(),
            business_type: "VIDEO_2D".to_owned(),
            unit: Unit::Minutes,
            ..PackageKind::default()
        },
        is_part: false,
        bought: Some((*bought).into()),
        used: Some((*used).into()),
        expiry: Some(now() + TimeDelta::days(*days)),
        is_frozen: *id == "frozen",
        is_resettable: false,
    };
    let list: Vec<_> = packages.iter().map(package).collect();
    let sums = usage::package_sums(&list).unwrap();
    CollectorOutcome {
        collector: Collector::Packages,
        at: at.into(),
        duration: Duration::from_secs(1),
        result: Ok(Found::Packages(Packages { list, sums })),
        doubts: usage::CollectorDoubts::new(),
        is_refused: false,
        counters: usage::Counters::default(),
    }
}

#[tokio::test]
async fn packages_are_shown_with_what_is_left_and_how_long_it_lasts() {
    let (mut writer, reader) = month("87");
    let hours = |hours| now() - TimeDelta::hours(hours);
    writer.record_collector(
        0,
        packages(hours(48), &[("p-1", 6000, 1000, 30), ("p-2", 600, 10, 3), ("huge", 1_000_000_000, 0, 5)]),
    );
    let found = [
        ("p-1", 6000, 2000, 30),
        ("p-2", 600, 20, 3),
        ("frozen", 10, 1, -2),
        ("over", 10, 12, 1),
        ("huge", 1_000_000_000, 1, 5),
    ];
    writer.record_collector(0, packages(hours(0), &found));
    let html = page(&reader, "", "en", || now().into()).await;
    for text in [
        "Package (VIDEO_2D · modeling.avatarvideo.duration, p-1): 2,000 / 6,000 min (<strong>33%</strong>), 4,000 min left, \
         used up in 8 d at this pace, ends in 30 d (2025-12-16 08:00:00)",
        "p-2): 20 / 600 min (<strong>3%</strong>), 580 min left, ends in 3 d",
        "frozen): 1 / 10 min (<strong>10%</strong>), frozen, 9 min left, ended 2 d ago",
        // At this pace, the package lasts beyond the largest date.
        "huge): 1 / 1,000,000,000 min (<strong>&#60;1%</strong>), 999,999,999 min left, ends in 5 d",
        "over): 12 / 10 min (<strong>120%</strong>), -2 min left",
    ] {
        assert!(html.contains(text), "{text} in {html}");
    }
    let html = page(&reader, "", "zh-CN", || now().into()).await;
    assert!(html.contains("剩余 4,000 分钟，按目前的速度 8 天后用完，30 天后到期（2025-12-16 08:00:00）"), "{html}");
}

#[tokio::test]
async fn accounts_are_shown_with_their_packages_or_their_failure() {
    let (mut writer, reader) = month("100");
    let accounts = ["company <b>", "refused"].map(|account| Target {
        account: account.to_owned(),
        endpoint: "https://bss.myhuaweicloud.com".to_owned(),
        collect: [(Collector::Billing, Duration::from_secs(1800))].into(),
        ..Target::new("")
    });
    let projects =
        reader.load().projects.iter().map(|project| (Target::clone(&project.target), true)).collect::<Vec<_>>();
    writer.replace(projects, accounts.map(|target| (target, false)));
    let run = packages(now(), &[("01154-1-0", 1000, 250, 30)]);
    let doubts = [(CollectorDoubt::Negative, "seen <b>".to_owned())].into();
    let doubted = CollectorOutcome { collector: Collector::Billing, doubts, ..run.clone() };
    writer.record_collector(0, CollectorOutcome { collector: Collector::Packages, ..doubted.clone() });
    writer.record_account(0, doubted);
    let html = page(&reader, "state=doubtful", "en", || now().into()).await;
    let notice = |collector: &str| {
        format!(
            "<strong>The values of the collector {collector} may be wrong</strong><span class=\"soft\"> (negative)</span> \
             <a href=\"./docs/deploy/runbooks/MetaStudioCollectorDoubtful\">What to do</a><br>\
             <span lang=\"en\">seen &#60;b&#62;: it is summed"
        )
    };
    for collector in ["packages", "billing"] {
        assert!(html.contains(&notice(collector)), "{html}");
    }
    assert!(html.contains("<article class=\"card doubtful\">"), "{html}");
    writer.record_collector(0, run.clone());
    writer.record_account(0, CollectorOutcome { collector: Collector::Billing, ..run.clone() });
    let html = page(&reader, "", "en", || now().into()).await;
    assert!(!html.contains("The values of the collector"), "{html}");
    writer.record_account(1, CollectorOutcome { collector: Collector::Billing, result: Err(forbidden()), ..run });
    let html = page(&reader, "", "en", || now().into()).await;
    assert!(html.contains("<h2>company &#60;b&#62;</h2>"), "{html}");
    assert!(html.contains("01154-1-0") && html.contains("250 / 1,000 min "), "{html}");
    assert!(html.contains("MetaStudioCollectorFailing") && html.contains("<h2>refused</h2>"), "{html}");
    assert!(page(&reader, "", "zh-CN", || now().into()).await.contains("账号"));
    assert!(html.contains("<title>(2) "), "the project over its budget, and the account: {html}");
    let failing = page(&reader, "state=failing", "en", || now().into()).await;
    assert!(failing.contains("<h2>refused</h2>") && !failing.contains("01154-1-0"), "{failing}");
    let found = page(&reader, "q=studio", "en", || now().into()).await;
    assert!(!found.contains("<h2>refused</h2>"), "{found}");
}

/// If a budget or a filter matches nothing, its selectors may be wrong.
#[tokio::test]
async fn what_matches_nothing_is_not_shown_as_fine() {
    let (mut writer, reader) = month("29");
    for (language, text) in [
        ("en", "Budget (this month, LIVE_2D): no usage matches, 100 min<"),
        ("zh-CN", "预算（本月，LIVE_2D）：没有匹配的用量，100 分钟<"),
    ] {
        let html = page(&reader, "", language, || now().into()).await;
        assert!(html.contains(text) && html.contains("class=\"budget unmatched\""), "{html}");
        assert_eq!(html.matches("class=\"track\"").count(), 1, "only the other budget has a bar: {html}");
    }
    let html = page(&reader, "state=failing", "en", || now().into()).await;
    assert!(html.contains("No project matches.") && html.contains("class=\"chip failing none\""), "{html}");

    let mut outcome = attempt(now(), Ok(vec![]));
    outcome.doubts.insert(Doubt::FilterMatchesNothing, "LIVE_3D is in none of the rows".to_owned());
    writer.record(0, outcome, None);
    let html = page(&reader, "", "en", || now().into()).await;
    assert!(html.contains("<article class=\"card doubtful\">") && html.contains(">doubtful 1</a>"), "{html}");
    assert!(html.contains("class=\"chip ok none\"") && html.contains("LIVE_3D is in none of the rows"), "{html}");
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
async fn a_project_waits_or_is_ok_or_failing() {
    let (_writer, reader) = snapshot::channel(vec![target("a")]);
    let html = page(&reader, "", "en", || now().into()).await;
    assert!(html.contains("<article class=\"card waiting\">") && html.contains("<dd>not yet</dd>"), "{html}");

    let (mut writer, reader) = month("1");
    let html = page(&reader, "", "en", || (now() + TimeDelta::seconds(119)).into()).await;
    assert!(html.contains("<article class=\"card ok\">") && html.contains(">119 s ago<"), "{html}");
    // Times are in the zone of the windows, eight hours ahead of UTC.
    assert!(html.contains("(08:00:00, 0.2 s)") && html.contains("<dd>in 3 min <"), "{html}");

    writer.record(0, attempt(now() + TimeDelta::seconds(300), Err(forbidden())), None);
    let html = page(&reader, "", "zh-CN", || (now() + TimeDelta::seconds(900)).into()).await;
    assert!(html.contains("<article class=\"card failing\">") && html.contains(">10 分钟前<"), "{html}");
    assert!(html.contains("缺少权限</strong>") && html.contains("(request id &#60;b&#62;)"), "{html}");
    assert!(html.contains("<div><dt>本月的分钟数</dt><dd>1</dd></div>"), "the usage is still exported: {html}");
}

#[tokio::test]
async fn a_project_has_all_states_that_apply() {
    let (mut writer, reader) = month("100");
    let mut outcome = attempt(now() + TimeDelta::seconds(1), Err(forbidden()));
    outcome.doubts.clear();
    writer.record(0, outcome, None);
    let html = page(&reader, "", "en", || (now() + TimeDelta::seconds(2)).into()).await;
    assert!(html.contains("<article class=\"card over-budget\">"), "the worst state: {html}");
    for chip in ["over budget 1<", "failing 1<", "stale 0<", "ok 0<"] {
        assert!(html.contains(chip), "{chip}: {html}");
    }
    assert!(html.contains("<title>(1) MetaStudio exporter</title>"), "{html}");
    for state in ["over-budget", "failing"] {
        let html = page(&reader, &format!("state={state}"), "en", || now().into()).await;
        assert!(html.contains(">studio</a></h2>"), "{state}: {html}");
    }
}

#[tokio::test]
async fn stale_usage_keeps_its_last_values_in_grey() {
    let (mut writer, reader) = month("64.5");
    writer.record(0, attempt(now() + TimeDelta::seconds(300), Err(forbidden())), None);
    let clock = || (now() + TimeDelta::seconds(901)).into();
    let html = page(&reader, "", "en", clock).await;
    assert!(html.contains("<article class=\"card stale\">") && html.contains("no longer exported"), "{html}");
    assert!(html.contains("<div class=\"old\"><dt>Minutes this month</dt><dd>64.5</dd></div>"), "{html}");
    assert!(html.contains("class=\"budget old\"") && html.contains("<strong>65%</strong>"), "{html}");
    assert!(html.contains("<figure class=\"old\">") && html.contains("<details class=\"old\">"), "{html}");
    assert!(html.contains(">15 min ago</time> <span class=\"soft small\">(08:00:00)<"), "{html}");
    assert!(!html.contains("at this pace"), "old usage gives no forecast: {html}");
    let html = page(&reader, "view=table", "en", clock).await;
    assert!(html.contains("<td class=\"number old\" title=\"this month\">64.5</td>"), "{html}");
    let metrics = Exposition::of_projects(reader.clone(), clock).render(Format::Text);
    assert!(metrics.contains("metastudio_up") && !metrics.contains("metastudio_usage_minutes{"), "{metrics}");

    // In December, "this month" is another month.
    let html = page(&reader, "", "zh-CN", || (now() + TimeDelta::days(20)).into()).await;
    assert!(html.contains("<dt>本月（2025-11-01 至 2025-12-01）的分钟数</dt><dd>64.5</dd>"), "{html}");
}

#[tokio::test]
async fn the_zone_the_shard_and_a_failed_reload_are_shown() {
    let (_writer, reader) =
        snapshot::channel(vec![Target { timezone: "Europe/Berlin".parse().unwrap(), ..target("a") }]);
    let config = Arc::new(ConfigStatus::new(1, now() - TimeDelta::days(1)));
    let clock = || now().into();
    let routes = Routes::new(Exposition::of_projects(reader.clone(), clock), reader, clock);
    let routes = routes.with_shard((1, 3)).with_config(Arc::clone(&config));
    let get = async || {
        let response = routes.answer(&Request::get("/").body(()).unwrap()).await;
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    let html = get().await;
    assert!(html.contains("2025-11-16 01:00:00</time> Europe/Berlin (UTC+01:00)"), "{html}");
    assert!(html.contains("Shard 1/3: this page shows only the projects of this shard."), "{html}");
    assert!(!html.contains("reload failed"), "{html}");
    config.failed();
    let html = get().await;
    assert!(
        html.contains("The last reload failed.") && html.contains("2025-11-15 01:00:00</time> stays in use"),
        "{html}"
    );
    config.succeeded(2, now());
    assert!(!get().await.contains("reload failed"));
}

#[tokio::test]
async fn the_page_refreshes_by_itself_except_after_a_search() {
    let (_writer, reader) = month("1");
    let routes = Routes::new(Exposition::of_projects(reader.clone(), || now().into()), reader, || now().into());
    for (query, refreshes, other) in [
        ("", true, "./?refresh=off"),
        ("state=ok&page=2", true, "./?state=ok&#38;refresh=off"),
        ("q=studio", false, "./?q=studio&#38;refresh=on"),
        ("q=studio&refresh=on", true, "./?q=studio&#38;refresh=off"),
        ("refresh=off", false, "./?refresh=on"),
        ("refresh=maybe", true, "./?refresh=off"),
    ] {
        let response = routes.answer(&Request::get(format!("/?{query}")).body(()).unwrap()).await;
        let header = response.headers().get("refresh").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header.as_deref(), refreshes.then_some("60"), "{query}");
        let html = response.into_body().collect().await.unwrap().to_bytes();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains(&format!("<a href=\"{other}\">")), "{query}: {html}");
    }
}

/// The names of the projects on a page.
fn names(html: &str) -> Vec<String> {
    let html = html.replace("<th scope=\"row\">", "<h2>");
    let links = html.split("<h2><a href=").skip(1);
    links.map(|rest| rest.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned()).collect()
}

/// Polled projects `p000`, `p001` and so on. The last one fails.
fn many(count: usize) -> (Writer, Reader) {
    let (mut writer, reader) = snapshot::channel((0..count).map(|n| target(&format!("p{n:03}"))).collect());
    for n in 0..count {
        let result = if n == count - 1 { Err(forbidden()) } else { Ok(vec![]) };
        writer.record(n, attempt(now(), result), None);
    }
    (writer, reader)
}

#[tokio::test]
async fn the_worst_state_comes_first_and_projects_can_be_searched() {
    let (_writer, reader) = many(120);
    let shown = async |query: &str| {
        let html = page(&reader, query, "en", || now().into()).await;
        (names(&html), html)
    };
    let (first, html) = shown("view=cards").await;
    assert_eq!((first.len(), &*first[0], &*first[1], &*first[49]), (50, "p119", "p000", "p048"));
    assert!(html.contains("failing 1</a>") && html.contains("ok 119</a>"), "{html}");
    let all: Vec<String> = (0..120).map(|n| format!("p{n:03}")).collect();
    assert_eq!(shown("view=cards&page=3").await.0, all[99..119]);
    assert_eq!(shown("view=cards&page=99").await.0, all[99..119], "the last page");
    assert_eq!(shown("page=2").await.0, all[99..119], "a table has longer pages");
    assert_eq!(shown("state=failing").await.0, ["p119"]);
    assert_eq!(shown("project=p007").await.0, ["p007"]);
    assert!(shown("project=p00").await.0.is_empty());
    assert_eq!(
        shown("q=P11+marketing").await.0,
        ["p119", "p110", "p111", "p112", "p113", "p114", "p115", "p116", "p117", "p118"]
    );
    let (none, html) = shown("q=P11+sales&state=ok").await;
    assert!(none.is_empty() && html.contains("No project matches"), "{html}");
    assert!(html.contains("href=\"./?q=P11+sales\"") && html.contains("name=\"state\" value=\"ok\""), "{html}");
    let (_writer, empty) = snapshot::channel(vec![]);
    assert!(page(&empty, "", "en", || now().into()).await.contains("This exporter has no projects."));
}

#[tokio::test]
async fn many_projects_are_a_table_and_few_are_cards() {
    for (count, rows, cards) in [(10, 0, 10), (11, 11, 0)] {
        let (_writer, reader) = many(count);
        let html = page(&reader, "", "en", || now().into()).await;
        let found = (html.matches("<th scope=\"row\">").count(), html.matches("<article").count());
        assert_eq!(found, (rows, cards), "{html}");
    }
    let (_writer, reader) = month("64.5");
    let html = page(&reader, "view=table", "en", || now().into()).await;
    assert!(html.contains("<th class=\"number\">Minutes this month</th>"), "{html}");
    assert!(html.contains("<span class=\"percent\">65%</span>"), "the budget with the largest used share: {html}");
    assert!(html.contains("<td class=\"number\">64.5</td>"), "{html}");
}

#[tokio::test]
async fn the_pager_links_to_the_neighbours() {
    let (_writer, reader) = many(1000);
    let pager = async |page_number: usize| {
        let html = page(&reader, &format!("page={page_number}"), "en", || now().into()).await;
        let nav = html.split("aria-label=\"Pages\">").nth(1).unwrap().split("</nav>").next().unwrap().to_owned();
        let texts = nav.split('>').filter_map(|part| part.split_once('<')).map(|(text, _)| text.trim().to_owned());
        (texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "), nav)
    };
    assert_eq!(pager(1).await.0, "1 2 3 … 10 Next → 1–100 / 1,000 projects");
    assert_eq!(pager(10).await.0, "← Previous 1 … 8 9 10 901–1000 / 1,000 projects");
    let (text, nav) = pager(5).await;
    assert_eq!(text, "← Previous 1 … 3 4 5 6 7 … 10 Next → 401–500 / 1,000 projects");
    assert!(
        nav.contains("rel=\"prev\" href=\"./?page=4\"") && nav.contains("rel=\"next\" href=\"./?page=6\""),
        "{nav}"
    );
    assert!(nav.contains("href=\"./?page=5\" aria-current=\"page\""), "{nav}");
}

/// Sums of `f64` would give 0.30000000000000004.
#[tokio::test]
async fn totals_are_exact_and_leave_stale_usage_out() {
    let (mut writer, reader) = snapshot::channel(["a", "b", "c", "d"].map(target).to_vec());
    for (index, (minutes, seconds)) in [("0.1", 0), ("0.2", 0), ("7", -901)].into_iter().enumerate() {
        let (_, of_one) = month(minutes);
        let usage = of_one.load().projects[0].usage.clone().unwrap();
        let key = RowKey { business_type: "VIDEO_2D".to_owned(), unit: Unit::Minutes, ..RowKey::default() };
        let mut tally = Tally::default();
        tally.add(&Row { key, usage: Some(minutes.parse().unwrap()), number: None }, None).unwrap();
        let bounds = usage.windows[0].bounds;
        let window = WindowUsage { window: Window::ThisMonth, bounds, changes_at: Some(bounds.end), tally, days: None };
        writer.record(index, attempt(now() + TimeDelta::seconds(seconds), Ok(vec![window])), None);
    }
    let html = page(&reader, "", "en", || now().into()).await;
    assert!(html.contains("<h2>Total <span class=\"soft small\">4 projects</span></h2>"), "{html}");
    let total = "<dt>Minutes this month</dt><dd>0.3 <span class=\"soft small\">2 / 4 projects</span></dd>";
    assert!(html.contains(total), "{html}");
    let html = page(&reader, "project=a", "en", || now().into()).await;
    assert!(!html.contains("<h2>Total"), "one project has no total: {html}");
}

#[tokio::test]
async fn clients_share_a_page_for_one_second() {
    static MILLISECONDS: AtomicI64 = AtomicI64::new(0);
    let clock = || (now() + TimeDelta::milliseconds(MILLISECONDS.load(Ordering::Relaxed))).into();
    let (mut writer, reader) = month("1");
    let routes = Routes::new(Exposition::of_projects(reader.clone(), clock), reader, clock);
    // The memory address of the first piece of the answer, and all pieces.
    let get = async |query: &str, language: &str, encoding: &str| {
        let request = Request::get(format!("/?{query}")).header("accept-language", language);
        let response = routes.answer(&request.header("accept-encoding", encoding).body(()).unwrap()).await;
        let (mut body, mut address, mut bytes) = (response.into_body(), None, Vec::new());
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            address.get_or_insert(piece.chunk().as_ptr() as usize);
            bytes.put(piece);
        }
        (address.unwrap(), bytes)
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
