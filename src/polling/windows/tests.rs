//! Whole polls of random services, without HTTP. The services follow the API page, and differ in everything that the
//! page leaves open (`docs/numbers.md`, "How it is tested"). The exact sum of each window is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use chrono::{Datelike, FixedOffset, NaiveTime, TimeDelta, TimeZone};
use parking_lot::Mutex;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;

use crate::{
    cloud::{
        AnswerMemory, UsageQuery,
        usage_api::{
            PageRequest,
            pages::tests::services::{Kind, Paging, Served, paging},
            wire::Page,
        },
    },
    config::{Environment, Project, Users, load_text},
    polling::proofs::Proofs,
    usage::{Counters, Measure},
};

mod all_users;
mod examples;

/// How the service reads the range of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Exact,
    InclusiveEnd,
    StartIgnored,
    /// It reads the times as times of Shanghai.
    LocalTime,
    /// It looks back 31 days from the end, in silence.
    LooksBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grid {
    Hours,
    UtcDays,
    ShanghaiDays,
    Weeks,
    Months,
}

/// How the service sends buckets that lie partly in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// It sends the part.
    Cut,
    /// It sends a bucket whole if it begins in the range.
    Begins,
    /// It sends each bucket whole.
    Overlaps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    Sound,
    NumberAbsent,
    /// Each row is followed by a sub-resource of it, with this value of `is_sub_resource`.
    Parts(&'static str),
    /// The usage of one row is this JSON.
    Odd(&'static str),
    UsageAbsent,
    UnitAbsent,
    UsageRenamed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Text,
    LocalText,
    Seconds,
    Milliseconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    Sound,
    CountedButEmpty,
    Renamed,
    RowsRenamed,
}

#[derive(Clone, Copy, Debug)]
struct Service {
    paging: Paging,
    range: Range,
    grid: Grid,
    edge: Edge,
    values: Values,
    times: Times,
    lists: Lists,
    /// Each event has a row of its own. The rows have the same key.
    has_rows_of_events: bool,
    users_have_effect: bool,
}

/// Usage at a time.
#[derive(Clone, Copy)]
struct Event {
    /// Seconds before the first poll.
    ago: i64,
    kind: usize,
    user: usize,
    hundredths: i64,
}

impl std::fmt::Debug for Event {
    /// On one line, because people read the output of a failed test.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Event { ago, kind, user, hundredths } = self;
        write!(f, "{hundredths} of type {kind} and user {user}, {ago} s ago")
    }
}

#[derive(Clone, Debug)]
struct World {
    service: Service,
    events: Vec<Event>,
    /// The index of the event whose row has odd values.
    victim: usize,
    now: DateTime<Utc>,
    windows: Vec<Window>,
    zone: &'static str,
    /// How many users are configured.
    users: usize,
    page_size: usize,
}

/// Resource type, business type, unit and minutes of a unit.
const KINDS: [(&str, &str, &str, i128); 4] = [
    ("r0", "VIDEO_2D", "MIN", 1),
    ("r1", "VIDEO_2D", "MIN", 1),
    ("", "LIVE_2D", "HOUR", 60),
    ("r1", "LIVE_2D", "MIN", 1),
];
const USERS: [&str; 3] = ["u0", "u1", "u2"];

/// The service of a world as a source of pages. With [`Kind::Growing`], values grow with each request.
struct Model<'a> {
    world: &'a World,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: usize,
    /// The ranges of the windows.
    windows: Vec<Bounds>,
    /// Whether a page for a window had a count above 0, or a bucket.
    is_counted: bool,
    /// Times of the buckets of the windows. A bucket that begins with its range is left out, because it may have been
    /// cut there.
    sent: BTreeSet<DateTime<Utc>>,
    /// Whether a bucket began before its range.
    sent_before: bool,
    /// Hundredths that the last event has gained.
    grown: i64,
    query: Option<(Bounds, Option<String>, Served)>,
}

impl PageSource for Model<'_> {
    async fn page(
        &self,
        query: &UsageQuery<'_>,
        request: PageRequest,
        _: Instant,
        _: &AnswerMemory,
        _: &mut Counters,
    ) -> Result<Page, Error> {
        let mut state = self.state.lock();
        let State { requests, windows, is_counted, sent, sent_before, grown, query: current } = &mut *state;
        *requests += 1;
        let service = &self.world.service;
        let user = query.user_id.map(str::to_owned);
        let grows = service.paging.kind == Kind::Growing;
        *grown += i64::from(grows);
        let is_same = current.as_ref().is_some_and(|(range, of, _)| *range == query.range && *of == user);
        if grows || !is_same {
            let paging = Paging { kind: if grows { Kind::Sound } else { service.paging.kind }, ..service.paging };
            let body = self.world.answer(query.range, query.user_id, *grown).to_string();
            let whole = Page::parse(body.as_bytes()).map_err(|error| Error::Malformed(error.to_string()))?;
            *current = Some((query.range, user, Served::new(paging, whole.buckets)));
        }
        let served = current.as_mut().map(|(_, _, served)| served).unwrap();
        let mut page = served.page(request).map_err(|()| Error::Malformed("HTTP 400".to_owned()))?;
        match service.lists {
            Lists::Sound => {}
            Lists::CountedButEmpty => page.buckets.clear(),
            Lists::Renamed => page = Page { count: page.count, ..Page::default() },
            Lists::RowsRenamed => page.buckets.iter_mut().for_each(|bucket| {
                bucket.rows.clear();
                bucket.has_list = false;
            }),
        }
        let is_window = query.user_id.is_some() == (self.world.users > 0) && windows.contains(&query.range);
        *is_counted |= is_window && (page.count > Some(0) || !page.buckets.is_empty());
        let start = query.range.start;
        let times = page.buckets.iter().filter_map(|bucket| DateTime::parse_from_rfc3339(bucket.time.as_ref()?).ok());
        for time in times.filter(|_| is_window) {
            *sent_before |= time < start;
            sent.extend(Some(time.to_utc()).filter(|time| *time > start));
        }
        if page.count.is_none() && !page.has_list {
            return Err(Error::Malformed("neither count nor time_list".to_owned()));
        }
        Ok(page)
    }
}

impl Model<'_> {
    /// The number of requests so far, and the hundredths that the last event has gained.
    fn so_far(&self) -> (usize, i64) {
        let state = self.state.lock();
        (state.requests, state.grown)
    }
}

impl World {
    fn at(&self, event: &Event) -> DateTime<Utc> {
        self.now - TimeDelta::seconds(event.ago)
    }

    fn hundredths(&self, index: usize, grown: i64) -> i64 {
        let event = &self.events[index];
        event.hundredths + if index + 1 == self.events.len() { grown } else { 0 }
    }

    /// The start of the bucket that contains a time, and the start of the next bucket.
    fn bucket(&self, time: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let hours = if self.service.grid == Grid::UtcDays { 0 } else { 8 };
        let zone = FixedOffset::east_opt(hours * 3600).unwrap();
        let day = time.with_timezone(&zone).date_naive();
        let midnight =
            |day: chrono::NaiveDate| zone.from_local_datetime(&day.and_time(NaiveTime::MIN)).unwrap().to_utc();
        match self.service.grid {
            Grid::Hours => {
                let start = time - TimeDelta::seconds(time.timestamp().rem_euclid(3600));
                (start, start + TimeDelta::hours(1))
            }
            Grid::UtcDays | Grid::ShanghaiDays => (midnight(day), midnight(day + chrono::Days::new(1))),
            Grid::Weeks => {
                let monday = day - chrono::Days::new(day.weekday().num_days_from_monday().into());
                (midnight(monday), midnight(monday + chrono::Days::new(7)))
            }
            Grid::Months => {
                let first = day.with_day(1).unwrap();
                (midnight(first), midnight(first + chrono::Months::new(1)))
            }
        }
    }

    /// The time of the bucket in which an answer for a range has an event; `None` if the answer does not have the
    /// event.
    fn place(&self, range: Bounds, event: &Event) -> Option<DateTime<Utc>> {
        let Bounds { mut start, mut end } = range;
        match self.service.range {
            Range::Exact => {}
            Range::InclusiveEnd => end += TimeDelta::seconds(1),
            Range::StartIgnored => start = DateTime::UNIX_EPOCH,
            Range::LocalTime => (start, end) = (start - TimeDelta::hours(8), end - TimeDelta::hours(8)),
            Range::LooksBack => start = start.max(end - TimeDelta::days(31)),
        }
        let at = self.at(event);
        let (first, next) = self.bucket(at);
        match self.service.edge {
            Edge::Cut => (start <= at && at < end).then_some(first.max(start)),
            Edge::Begins => (start <= first && first < end).then_some(first),
            Edge::Overlaps => (start < next && first < end).then_some(first),
        }
    }

    /// The whole answer. `grown` is added to the last event.
    fn answer(&self, range: Bounds, user: Option<&str>, grown: i64) -> Value {
        let user = user.filter(|_| self.service.users_have_effect);
        // By time, type and row: hundredths, number, and whether the victim is in it.
        let mut buckets = BTreeMap::<_, (i64, i64, bool)>::new();
        for (index, event) in self.events.iter().enumerate() {
            let is_wanted = user.is_none_or(|user| USERS[event.user] == user);
            let Some(time) = self.place(range, event).filter(|_| is_wanted) else { continue };
            let row = if self.service.has_rows_of_events { index } else { 0 };
            let (hundredths, number, has_victim) = buckets.entry((time, event.kind, row)).or_default();
            *hundredths += self.hundredths(index, grown);
            *number += 1;
            *has_victim |= index == self.victim;
        }
        let mut list: Vec<Value> = Vec::new();
        for ((time, kind, _), (hundredths, number, has_victim)) in buckets {
            let time = self.time(time);
            let rows = self.rows(kind, hundredths, number, has_victim);
            match list.last_mut().filter(|last| last["time"] == time) {
                Some(last) => last["resources_usage"].as_array_mut().unwrap().extend(rows),
                None => list.push(json!({"time": time, "resources_usage": rows})),
            }
        }
        json!({"time_list": list})
    }

    fn time(&self, time: DateTime<Utc>) -> Value {
        match self.service.times {
            Times::Text => time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).into(),
            Times::LocalText => time.with_timezone(&FixedOffset::east_opt(8 * 3600).unwrap()).to_rfc3339().into(),
            Times::Seconds => time.timestamp().into(),
            Times::Milliseconds => time.timestamp_millis().into(),
        }
    }

    fn rows(&self, kind: usize, hundredths: i64, number: i64, has_victim: bool) -> Vec<Value> {
        let (resource, business, unit, _) = KINDS[kind];
        let usage: Value = serde_json::from_str(&decimal(hundredths.into())).unwrap();
        let mut row = json!({"business_type": business, "usage": usage, "unit": unit, "number": number});
        if !resource.is_empty() {
            row["resource_type"] = resource.into();
        }
        let fields = row.as_object_mut().unwrap();
        match self.service.values {
            Values::NumberAbsent => drop(fields.remove("number")),
            Values::Odd(json) if has_victim => row["usage"] = serde_json::from_str(json).unwrap(),
            Values::UsageAbsent if has_victim => drop(fields.remove("usage")),
            Values::UnitAbsent if has_victim => drop(fields.remove("unit")),
            Values::UsageRenamed => {
                fields.retain(|name, _| name != "usage" && name != "number");
                row["amount"] = usage;
            }
            Values::Parts(flag) => {
                let mut part = row.clone();
                part["sub_resource_type"] = "part".into();
                part["is_sub_resource"] = serde_json::from_str(flag).unwrap();
                return vec![row, part];
            }
            _ => {}
        }
        vec![row]
    }

    /// The exact minutes of a type in a range, in hundredths.
    fn minutes(&self, range: Bounds, kind: usize, user: Option<&str>, grown: i64) -> i128 {
        let (_, _, _, factor) = KINDS[kind];
        let is_of = |event: &Event| {
            let at = self.at(event);
            event.kind == kind
                && range.start <= at
                && at < range.end
                && user.is_none_or(|user| USERS[event.user] == user)
        };
        let events = self.events.iter().enumerate().filter(|(_, event)| is_of(event));
        events.map(|(index, _)| i128::from(self.hundredths(index, grown)) * factor).sum()
    }
}

fn decimal(hundredths: i128) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    /// Right, and published with a doubt.
    RightDoubted,
    Refused,
    /// Wrong, and published with a doubt.
    Doubted,
    /// Wrong, and the answers hold no trace of the missing usage.
    NoTrace,
    Wrong,
}

/// The outcomes of two polls, the second one five minutes later. Each has its number of requests, and what was seen.
fn poll(world: &World, project: &Project) -> [(Outcome, usize, String); 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let user_ids = Users::Listed(USERS.iter().take(world.users).map(|user| (*user).to_owned()).collect());
    let project = Project { windows: world.windows.clone(), user_ids, ..project.clone() };
    let zone: Zone = world.zone.parse().unwrap();
    let model = Model { world, state: Mutex::default() };
    let mut proofs = Proofs::default();
    [0, 300].map(|seconds| {
        let now = world.now + TimeDelta::seconds(seconds);
        proofs.renew(now);
        let mut progress = Progress { proofs: std::mem::take(&mut proofs), ..Progress::default() };
        let query = RangeQuery {
            source: &model,
            project: &project,
            split: Split::of(&project.user_ids, &[]),
            project_id: "p",
            page_size: world.page_size,
            deadline: Instant::now(),
        };
        let windows = world.windows.iter().map(|window| window.bounds(now, &zone).elapsed(now)).collect();
        let grown = model.so_far().1;
        *model.state.lock() = State { grown, windows, ..State::default() };
        let before = model.so_far();
        let result = runtime.block_on(WindowsQuery { query, timezone: &zone }.ask(now, &mut progress));
        let after = model.so_far();
        if !matches!(result, Err(Error::Inconsistent(_))) {
            proofs = progress.proofs;
        }
        let (outcome, seen) = match result {
            Err(error) => (Outcome::Refused, error.to_string()),
            Ok(complete) => compare(world, now, &complete, (before.1, after.1)),
        };
        let is_hidden = outcome == Outcome::Wrong && !holds_a_trace(world, &model.state.lock());
        let outcome = if is_hidden { Outcome::NoTrace } else { outcome };
        (outcome, after.0 - before.0, seen)
    })
}

fn compare(world: &World, now: DateTime<Utc>, complete: &Complete, grown: (i64, i64)) -> (Outcome, String) {
    let users: Vec<Option<&str>> =
        if world.users == 0 { vec![None] } else { USERS.iter().take(world.users).map(|user| Some(*user)).collect() };
    let zone: Zone = world.zone.parse().unwrap();
    let mut wrong = String::new();
    for window in &complete.windows {
        let range = window.window.bounds(now, &zone).elapsed(now);
        for (kind, (resource, business, _, _)) in KINDS.into_iter().enumerate() {
            for user in &users {
                let series = Series {
                    measure: Measure::Minutes,
                    resource_type: resource.to_owned(),
                    business_type: business.to_owned(),
                    user_id: user.map(str::to_owned),
                };
                // A series that is not published is not wrong.
                let Some(published) = window.tally.value(&series) else { continue };
                let [least, most] = [grown.0, grown.1]
                    .map(|grown| decimal(world.minutes(range, kind, *user, grown)).parse::<f64>().unwrap());
                if !(least..=most).contains(&published) {
                    wrong = format!("{} {series:?}: {published} for {least} to {most}", window.window);
                }
            }
        }
    }
    match (wrong.is_empty(), complete.doubts.is_empty()) {
        (true, true) => (Outcome::Right, wrong),
        (true, false) => (Outcome::RightDoubted, format!("{:?}", complete.doubts)),
        (false, true) => (Outcome::Wrong, wrong),
        (false, false) => (Outcome::Doubted, format!("{wrong} {:?}", complete.doubts)),
    }
}

/// One way in which a service differs from a sound one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Paging(Kind),
    Range(Range),
    Edge(Edge, Grid),
    Values(Values),
    Lists(Lists),
    UsersIgnored,
    Mixed,
}

/// The kinds of paging, without those that delete or insert entries: their list changes between two requests, so two
/// sums are right.
fn kinds_of_paging() -> Vec<Kind> {
    let is_same_list = |kind: &Kind| !matches!(kind, Kind::EntryDeleted | Kind::EntryInserted);
    Kind::ALL.into_iter().filter(is_same_list).collect()
}

impl Case {
    fn all() -> Vec<Case> {
        let odd = [r#""1,234.5""#, r#""n/a""#, "1e30", "true", "null"].map(Values::Odd);
        let flags = ["1", r#""1""#, r#""True""#, "true", r#""perhaps""#].map(Values::Parts);
        let other = [Values::UsageAbsent, Values::UnitAbsent, Values::UsageRenamed];
        let ranges = [Range::InclusiveEnd, Range::StartIgnored, Range::LocalTime, Range::LooksBack];
        let grids = [Grid::Hours, Grid::UtcDays, Grid::ShanghaiDays, Grid::Weeks, Grid::Months];
        let mut all: Vec<Case> = kinds_of_paging().into_iter().map(Case::Paging).collect();
        all.extend(ranges.map(Case::Range));
        all.extend(
            [Edge::Begins, Edge::Overlaps].into_iter().flat_map(|edge| grids.map(|grid| Case::Edge(edge, grid))),
        );
        all.extend(odd.into_iter().chain(flags).chain(other).map(Case::Values));
        all.extend([Lists::CountedButEmpty, Lists::Renamed, Lists::RowsRenamed].map(Case::Lists));
        all.extend([Case::UsersIgnored, Case::Mixed]);
        all
    }

    /// Whether each poll must be right. Otherwise, it may also be refused or doubted.
    fn must_be_right(self) -> bool {
        match self {
            Case::Paging(kind) => kind.must_be_right(),
            Case::Range(range) => range == Range::InclusiveEnd,
            Case::Values(Values::Parts(flag)) => flag != r#""perhaps""#,
            _ => false,
        }
    }
}

fn service(case: Case) -> impl Strategy<Value = Service> {
    let kind = match case {
        Case::Paging(kind) => Just(kind).boxed(),
        Case::Mixed => prop::sample::select(kinds_of_paging()).boxed(),
        _ => prop::sample::select(vec![Kind::Sound, Kind::FirstEntryIs1, Kind::SendsEverything]).boxed(),
    };
    let grids = prop::sample::select(vec![Grid::Hours, Grid::UtcDays, Grid::ShanghaiDays, Grid::Weeks, Grid::Months]);
    let values = prop::sample::select(vec![Values::Sound, Values::Sound, Values::NumberAbsent]);
    let times = prop::sample::select(vec![Times::Text, Times::LocalText, Times::Seconds, Times::Milliseconds]);
    let others = prop::sample::select(Case::all());
    let mixed = prop::collection::vec(others, if case == Case::Mixed { 0..4 } else { 0..1 });
    (kind.prop_flat_map(paging), grids, values, times, any::<bool>(), mixed).prop_map(
        move |(paging, grid, values, times, has_rows_of_events, others)| {
            let mut service = Service {
                // Only their values distinguish the rows of one key. If values change, an answer may be refused.
                has_rows_of_events: has_rows_of_events && !matches!(paging.kind, Kind::Growing | Kind::Shuffled),
                paging,
                range: Range::Exact,
                grid,
                edge: Edge::Cut,
                values,
                times,
                lists: Lists::Sound,
                users_have_effect: true,
            };
            for case in others.into_iter().chain([case]) {
                match case {
                    Case::Paging(_) | Case::Mixed => {}
                    Case::Range(range) => service.range = range,
                    Case::Edge(edge, grid) => (service.edge, service.grid) = (edge, grid),
                    Case::Values(values) => service.values = values,
                    Case::Lists(lists) => service.lists = lists,
                    Case::UsersIgnored => service.users_have_effect = false,
                }
            }
            service
        },
    )
}

fn world(case: Case) -> impl Strategy<Value = World> {
    let event = (0..80 * 86_400_i64, 0..KINDS.len(), 0..USERS.len(), 1..100_000_i64)
        .prop_map(|(ago, kind, user, hundredths)| Event { ago, kind, user, hundredths });
    let names = ["today", "yesterday", "this_week", "this_month", "last_month", "24h", "7d", "30d", "60d"];
    let windows: Vec<Window> = names.iter().map(|name| name.parse().unwrap()).collect();
    (
        service(case),
        prop_oneof![prop::collection::vec(event.clone(), 0..12), prop::collection::vec(event, 40..160)],
        any::<prop::sample::Index>(),
        1_735_689_600..1_767_225_600_i64,
        prop::sample::subsequence(windows, 1..5),
        prop::sample::select(vec!["Asia/Shanghai", "UTC"]),
        prop_oneof![3 => Just(0), 1 => 1..3_usize],
        prop::sample::select(vec![10, 100, 1000]),
    )
        .prop_map(|(service, events, victim, now, windows, zone, users, page_size)| World {
            service,
            victim: if events.is_empty() { 0 } else { victim.index(events.len()) },
            events,
            now: DateTime::from_timestamp(now, 0).unwrap(),
            windows,
            zone,
            users,
            page_size,
        })
}

/// Whether the answers hold a trace of the missing usage. Empty lists without a count hold none. A single bucket does
/// not show its width, and two buckets that are weeks apart look like two days. If the service reads a range as local
/// time, only buckets that begin before the range show it.
fn holds_a_trace(world: &World, State { is_counted, sent, sent_before, .. }: &State) -> bool {
    match world.service.lists {
        Lists::Sound if world.service.range == Range::LocalTime => *sent_before,
        Lists::Sound if world.service.grid == Grid::Weeks => sent.len() > 2,
        Lists::Sound => sent.len() > 1,
        Lists::CountedButEmpty | Lists::Renamed | Lists::RowsRenamed => *is_counted,
    }
}

/// A project with further keys, such as `user_ids: [a]`.
fn project(keys: &str) -> Project {
    let text = format!(
        "{{credentials: {{main: {{token: t}}}}, projects: [{{name: a, region: cn-north-4, project_id: p, {keys}}}]}}"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let loaded = runtime.block_on(load_text(text, Path::new("config.yaml"), &Environment::default()));
    loaded.config.unwrap().projects.remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_wrong_is_published_without_a_doubt_and_sound_services_are_never_refused(
        (case, world) in prop::sample::select(Case::all()).prop_flat_map(|case| (Just(case), world(case))),
    ) {
        for (outcome, _, seen) in poll(&world, &PROJECT) {
            prop_assert_ne!(outcome, Outcome::Wrong, "{}", seen);
            let is_right = matches!(outcome, Outcome::Right | Outcome::RightDoubted);
            prop_assert!(!case.must_be_right() || is_right, "{:?}: {}", outcome, seen);
        }
    }
}

static PROJECT: std::sync::LazyLock<Project> = std::sync::LazyLock::new(|| project(""));

/// Prints the table: `cargo test --release --lib windows -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table for people"]
fn table_of_services() {
    let worlds: usize = std::env::var("WORLDS").map_or(10_000, |worlds| worlds.parse().unwrap());
    let mut runner = TestRunner::deterministic();
    for case in Case::all() {
        let (mut outcomes, mut requests) = (BTreeMap::<Outcome, usize>::new(), [(0, 0); 2]);
        let mut reasons = BTreeSet::new();
        let mut doubts = BTreeMap::<String, usize>::new();
        for _ in 0..worlds {
            let world = world(case).new_tree(&mut runner).unwrap().current();
            let queries = world.windows.len() * world.users.max(1);
            for ((outcome, asked, seen), requests) in poll(&world, &PROJECT).into_iter().zip(&mut requests) {
                if outcome == Outcome::Wrong && reasons.len() < 2 {
                    reasons.insert(format!("{seen} {world:?}"));
                }
                if case.must_be_right() && outcome == Outcome::RightDoubted {
                    let doubt = seen.split(':').next().unwrap_or_default().to_owned();
                    *doubts.entry(doubt).or_default() += 1;
                }
                *outcomes.entry(outcome).or_default() += 1;
                requests.0 += asked;
                requests.1 += queries;
            }
        }
        let each = requests.map(|(requests, queries)| format!("{:.2}", requests as f64 / queries as f64));
        println!("| {case:?} | {worlds} | {outcomes:?} | {} | {doubts:?} {reasons:?}", each.join(" | "));
    }
}
