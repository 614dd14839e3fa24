//! Whole runs of collectors against random clouds. The clouds differ in everything that the documentation leaves open:
//! how long pages are, whether there is a count, how numbers are written, and whether filters have an effect. A cloud
//! may also page wrongly. Its values grow while it is asked.
//!
//! The test compares the sums of a run with the amounts that the cloud sent last, as integers of hundredths.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use metastudio_exporter::{
    config::{Environment, load_text},
    polling::{Collecting, Fleet},
    snapshot::{CollectorOutcome, Found, Moment},
    usage::{Collector, Unit},
};
use parking_lot::Mutex;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const PROJECT: &str = "5f0d1e2c3b4a59687786a5b4c3d2e103";
const ACCOUNT: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
const ENTERPRISE_PROJECT: &str = "ep-1";

/// A random cloud.
#[derive(Clone, Debug)]
struct World {
    paging: Paging,
    /// Maximum number of entries in a page.
    cap: usize,
    count: Count,
    /// Whether the field of an empty list is absent.
    empty_is_absent: bool,
    /// Whether the filter of states has an effect.
    filters_states: bool,
    /// Growth of each amount before each answer.
    growth: i64,
    packages: Vec<Package>,
    users: Vec<User>,
    sessions: Vec<Session>,
    videos: Vec<Session>,
    resources: Vec<Resource>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Paging {
    Sound,
    OffsetIgnored,
    OffsetNumbersPages,
    FirstEntryIs1,
    /// Before each page except the first one, a new entry is inserted at the beginning.
    MovesAlways,
    /// The same, once.
    MovesOnce,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
    Absent,
    Integer,
    Float,
    Text,
}

/// How a number is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Text,
    Exponent,
}

/// A package of the project. Amounts are hundredths.
#[derive(Clone, Debug)]
struct Package {
    id: u64,
    kind: usize,
    unit: &'static str,
    bought: Option<i64>,
    used: Option<i64>,
    form: Form,
    is_part: Option<bool>,
    is_frozen: bool,
}

/// A sub-user with its used minutes and images.
#[derive(Clone, Debug)]
struct User {
    id: u64,
    limit: Option<i64>,
    minutes: Option<i64>,
    images: Option<i64>,
    form: Form,
}

/// A live session or a video.
#[derive(Clone, Debug)]
struct Session {
    id: u64,
    state: &'static str,
    mode: &'static str,
    /// Unix seconds.
    start: Option<i64>,
}

/// A resource of a package of the account. Amounts are hundredths of its unit, or of minutes if the unit is a time.
#[derive(Clone, Debug)]
struct Resource {
    id: u64,
    order: u64,
    product: usize,
    service: &'static str,
    status: i64,
    measure: i64,
    bought: i64,
    used: i64,
    is_resettable: bool,
    /// Whether it is in the list outside of enterprise projects, and in the list of the enterprise project.
    lists: (bool, bool),
}

/// The text of hundredths.
fn number(hundredths: i64, form: Form) -> String {
    match form {
        Form::Plain => Decimal::new(hundredths, 2).to_string(),
        Form::Text => format!("\"{}\"", Decimal::new(hundredths, 2)),
        Form::Exponent => format!("{hundredths}e-2"),
    }
}

/// A field, or nothing if it is absent.
fn optional(name: &str, value: Option<String>) -> String {
    value.map_or_else(String::new, |value| format!(r#","{name}":{value}"#))
}

/// An entry of a list, which the cloud sends.
trait Sent {
    fn grow(&mut self, growth: i64);
    fn json(&self) -> String;
    /// A new entry.
    fn new(id: u64) -> Self;
    /// Whether the entry counts in this list. An entry of both lists counts in the first one.
    fn counts(&self, _is_second: bool) -> bool {
        true
    }
}

impl Sent for Package {
    fn grow(&mut self, growth: i64) {
        let growth = if self.unit == "HOUR" { growth * 60 } else { growth };
        self.used = self.used.map(|used| used + growth);
    }

    fn json(&self) -> String {
        let &Package { id, kind, unit, form, is_frozen, .. } = self;
        // The amounts of a package in hours are hundredths of minutes.
        let amount = |amount: Option<i64>| match unit {
            "HOUR" => amount.map(|amount| number(amount / 60, form)),
            _ => amount.map(|amount| number(amount, form)),
        };
        format!(
            r#"{{"resource_id":"r-{id}","resource_type":"t{kind}","unit":"{unit}","status":{}{}{}{}}}"#,
            u8::from(is_frozen),
            optional("amount", amount(self.bought)),
            optional("usage", amount(self.used)),
            optional("is_sub_resource", self.is_part.map(|is_part| is_part.to_string())),
        )
    }

    fn new(id: u64) -> Self {
        let (bought, used) = (Some(100), Some(50));
        Package { id, kind: 0, unit: "MIN", bought, used, form: Form::Plain, is_part: None, is_frozen: false }
    }
}

impl Sent for User {
    fn grow(&mut self, growth: i64) {
        self.minutes = self.minutes.map(|minutes| minutes + growth);
    }

    fn json(&self) -> String {
        let &User { id, limit, minutes, images, form } = self;
        let amount = |amount: Option<i64>| amount.map(|amount| number(amount, form));
        let fields =
            [optional("video_time_2d_model", amount(minutes)), optional("modeling_count_2d_model", amount(images))];
        let limit = optional("video_time_2d_model", limit.map(|limit| limit.to_string()));
        let (limit, usage) = (limit.trim_start_matches(','), fields.concat());
        format!(r#"{{"user_id":"u-{id}","quota":{{{limit}}},"usage":{{{}}}}}"#, usage.trim_start_matches(','))
    }

    fn new(id: u64) -> Self {
        User { id, limit: None, minutes: Some(50), images: None, form: Form::Plain }
    }
}

impl Sent for Session {
    fn grow(&mut self, _: i64) {}

    fn json(&self) -> String {
        let Session { id, state, mode, start } = self;
        let start = start.and_then(|start| DateTime::from_timestamp(start, 0));
        let start = start.map(|start| format!("\"{}\"", start.to_rfc3339_opts(SecondsFormat::Secs, true)));
        let start = optional("start_time", start);
        format!(r#"{{"job_id":"j-{id}","state":"{state}","used_resource_type":"{mode}","room_name":"名"{start}}}"#)
    }

    fn new(id: u64) -> Self {
        // The collector asks for two lists of videos, with different states. A new video may appear after the first
        // list was read. Its state is in neither list, so that the expected numbers do not depend on this.
        Session { id, state: "SUCCEED", mode: "ONDEMAND", start: Some(1) }
    }
}

/// The units of the billing service: minute, hour, second, piece. The id 9 is not in the list.
const UNITS: &str = r#"{"measure_units":[{"measure_id":1,"measure_name":"minute"},{"measure_id":2,"abbreviation":"h"},
    {"measure_id":3,"measure_name":"second"},{"measure_id":4,"measure_name":"piece"}]}"#;

impl Sent for Resource {
    fn counts(&self, is_second: bool) -> bool {
        !(is_second && self.lists.0)
    }

    fn grow(&mut self, growth: i64) {
        self.used += if self.measure == 2 { growth * 60 } else { growth };
    }

    fn json(&self) -> String {
        let Resource { id, order, product, service, status, measure, bought, used, is_resettable, .. } = self;
        let amount = |hundredths: i64| match measure {
            2 => Decimal::new(hundredths / 60, 2),
            3 => Decimal::new(hundredths * 6, 1),
            _ => Decimal::new(hundredths, 2),
        };
        format!(
            r#"{{"order_instance_id":"o-{order}-{id}","product_id":"p{product}","service_type_code":"{service}","status":{status},
                "region_code":"r","quota_reuse_mode":{},"free_resources":[{{"free_resource_id":"f-{id}","amount":"{}",
                "original_amount":"{}","measure_id":{measure}}}]}}"#,
            if *is_resettable { 1 } else { 2 },
            amount(bought - used),
            amount(*bought),
        )
    }

    fn new(id: u64) -> Self {
        Resource {
            id,
            order: id,
            product: 0,
            service: "hws.service.type.metastudio",
            status: 1,
            measure: 1,
            bought: 600_000,
            used: 60_000,
            is_resettable: false,
            // The list outside of enterprise projects is asked for first.
            lists: (false, true),
        }
    }
}

/// A request for a page.
struct Asked {
    offset: usize,
    limit: usize,
    /// The list, and its filter.
    key: String,
    /// Whether it is the second list of the same entries.
    is_second: bool,
}

/// The running cloud.
struct Cloud {
    world: World,
    /// The requests of each list, by its name and filter.
    requests: BTreeMap<String, usize>,
    /// The ids of new entries.
    next: u64,
    /// The entries as they were sent last.
    sent: World,
}

impl Cloud {
    fn new(world: World) -> Self {
        Cloud { sent: world.clone(), world, requests: BTreeMap::new(), next: 1_000_000 }
    }

    /// The answer to a request.
    fn answer(&mut self, path: &str, query: &BTreeMap<String, String>, body: &Value) -> Option<String> {
        let number = |name: &str| match body {
            Value::Null => query[name].parse().unwrap(),
            body => body[name].as_u64().unwrap() as usize,
        };
        let states: Vec<&str> = match query.get("state") {
            Some(states) if self.world.filters_states => states.split(',').collect(),
            _ => Vec::new(),
        };
        let is_asked = |session: &Session| states.is_empty() || states.contains(&session.state);
        let is_in_project = !body["enterprise_project_id"].is_null();
        let of_list = |resource: &Resource| {
            let (outside, inside) = resource.lists;
            if is_in_project { inside } else { outside }
        };
        let of_project = path.strip_prefix("/v1/").and_then(|path| path.strip_prefix(PROJECT));
        let key = format!("{path} {:?} {is_in_project}", query.get("state"));
        let asked = |limit| Asked {
            offset: number("offset"),
            limit: number("limit").min(limit),
            key,
            is_second: is_in_project,
        };
        match of_project.unwrap_or(path) {
            "/tenants/resources" => {
                Some(self.page("resources", "count", asked(100), |world| &mut world.packages, |_| true))
            }
            "/user/quotas" => Some(self.page("assets", "count", asked(100), |world| &mut world.users, |_| true)),
            "/smart-live-jobs" => {
                Some(self.page("smart_live_jobs", "count", asked(100), |world| &mut world.sessions, is_asked))
            }
            "/digital-human-videos" => {
                Some(self.page("jobs", "count", asked(100), |world| &mut world.videos, is_asked))
            }
            "/v3/payments/free-resources/query" => Some(self.page(
                "free_resource_packages",
                "total_count",
                asked(1000),
                |world| &mut world.resources,
                of_list,
            )),
            "/v2/bases/measurements" => Some(UNITS.to_owned()),
            _ => None,
        }
    }

    fn page<T: Sent + Clone>(
        &mut self,
        list: &str,
        count_name: &str,
        Asked { offset, limit, key, is_second }: Asked,
        entries: impl Fn(&mut World) -> &mut Vec<T>,
        is_asked: impl Fn(&T) -> bool,
    ) -> String {
        let request = self.requests.entry(key).and_modify(|requests| *requests += 1).or_insert(0);
        let is_moved = match self.world.paging {
            Paging::MovesAlways => offset > 0,
            Paging::MovesOnce => *request == 1 && offset > 0,
            _ => false,
        };
        let (cap, paging, growth) = (self.world.cap.min(limit), self.world.paging, self.world.growth);
        if is_moved {
            self.next += 1;
            entries(&mut self.world).insert(0, T::new(self.next));
            entries(&mut self.sent).insert(0, T::new(self.next));
        }
        let all = entries(&mut self.world);
        all.iter_mut().for_each(|entry| entry.grow(growth));
        let asked: Vec<(usize, T)> = all.iter().cloned().enumerate().filter(|(_, entry)| is_asked(entry)).collect();
        let start = match paging {
            Paging::OffsetIgnored => 0,
            Paging::OffsetNumbersPages => offset * cap,
            Paging::FirstEntryIs1 => offset.saturating_sub(1),
            _ => offset,
        };
        let page: Vec<&(usize, T)> = asked.iter().skip(start).take(cap).collect();
        let sent = entries(&mut self.sent);
        page.iter()
            .filter(|(_, entry)| entry.counts(is_second))
            .for_each(|(index, entry)| sent[*index].clone_from(entry));
        let rows: Vec<String> = page.iter().map(|(_, entry)| entry.json()).collect();
        let count = match self.world.count {
            Count::Absent => String::new(),
            Count::Integer => format!(r#""{count_name}":{},"#, asked.len()),
            Count::Float => format!(r#""{count_name}":{}.0,"#, asked.len()),
            Count::Text => format!(r#""{count_name}":"{}","#, asked.len()),
        };
        if rows.is_empty() && self.world.empty_is_absent && self.world.count != Count::Absent {
            return format!("{{{}}}", count.trim_end_matches(','));
        }
        format!(r#"{{{count}"{list}":[{}]}}"#, rows.join(","))
    }
}

/// Serves the cloud until the handle is dropped.
async fn serve(cloud: Arc<Mutex<Cloud>>) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = async |cloud: Arc<Mutex<Cloud>>, request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let answer = cloud.lock().answer(parts.uri.path(), &query, &body);
        let status = if answer.is_some() { 200 } else { 404 };
        let answer = Full::<Bytes>::from(answer.unwrap_or_default());
        Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
    };
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let cloud = Arc::clone(&cloud);
            let service = service_fn(move |request| service(Arc::clone(&cloud), request));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, AbortOnDropHandle::new(task))
}

/// The collectors of lists, of a project and of an account.
async fn collectors(address: SocketAddr) -> Vec<Arc<Collecting>> {
    let text = format!(
        "api: {{requests_per_second: 1000, max_retries: 0}}\n\
         collect: [packages, sub_users, sessions]\n\
         credentials: {{main: {{token: token-of-the-test}}}}\n\
         projects: [{{name: p, endpoint: 'http://{address}', project_id: {PROJECT}}}]\n\
         accounts: [{{name: a, endpoint: 'http://{address}', domain_id: {ACCOUNT}, \
         enterprise_project_ids: [{ENTERPRISE_PROJECT}]}}]"
    );
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let fleet = Fleet::new(config, &Environment::default(), Utc::now).unwrap();
    fleet.pollers()[0].collectors().iter().chain(fleet.accounts()).map(Arc::clone).collect()
}

/// Number of packages, bought, used and left, in hundredths.
type Sums = (u64, i64, i64, i64);

fn add(sums: &mut Sums, bought: i64, used: i64, is_left: bool) {
    sums.0 += 1;
    sums.1 += bought;
    sums.2 += used;
    sums.3 += if is_left { bought - used } else { 0 };
}

/// The sums of the packages of the project, by type and unit.
fn package_sums(packages: &[Package]) -> BTreeMap<(String, String), Sums> {
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    for package in packages.iter().filter(|package| package.is_part != Some(true)) {
        let Some((bought, used)) = package.bought.zip(package.used) else { continue };
        let unit = if matches!(package.unit, "MIN" | "HOUR") { "minutes" } else { package.unit };
        let kind = (format!("t{}", package.kind), unit.to_owned());
        add(sums.entry(kind).or_default(), bought, used, !package.is_frozen);
    }
    sums
}

/// The sums of the packages of the account, by product and unit. A used-up package counts only while nothing is left of
/// its kind.
fn resource_sums(resources: &[Resource]) -> BTreeMap<(String, String), Sums> {
    let kind = |resource: &Resource| {
        let unit = match resource.measure {
            1..=3 => "minutes",
            4 => "piece",
            _ => "measure_9",
        };
        (format!("p{}", resource.product), unit.to_owned())
    };
    let counts = |resource: &&Resource| {
        let is_listed = resource.lists != (false, false);
        let is_current = matches!(resource.status, 1 | 2) && !resource.is_resettable;
        is_listed && is_current && resource.service.contains("metastudio")
    };
    let left = |resource: &Resource| resource.bought - resource.used;
    let remaining: BTreeSet<_> =
        resources.iter().filter(counts).filter(|resource| left(resource) > 0).map(kind).collect();
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    for resource in resources.iter().filter(counts) {
        let kind = kind(resource);
        if left(resource) != 0 || !remaining.contains(&kind) {
            add(sums.entry(kind).or_default(), resource.bought, resource.used, true);
        }
    }
    sums
}

fn hundredths(amount: Decimal) -> i64 {
    let hundredths = amount * Decimal::ONE_HUNDRED;
    assert!(hundredths.is_integer(), "{amount}");
    hundredths.normalize().mantissa() as i64
}

/// Compares the result of a run with the values that were sent last.
fn compare(found: &Found, sent: &World, collector: Collector) {
    match found {
        Found::Packages(packages) => {
            let unit = |unit: &Unit| match unit {
                Unit::Minutes => "minutes".to_owned(),
                Unit::Hours => panic!("hours become minutes"),
                Unit::Other(unit) => unit.clone(),
            };
            let sums: BTreeMap<_, Sums> = packages
                .sums
                .iter()
                .map(|(kind, sums)| {
                    let of = if collector == Collector::Billing { &kind.product_id } else { &kind.resource_type };
                    let [bought, used, left] = [sums.bought, sums.used, sums.left].map(hundredths);
                    ((of.clone(), unit(&kind.unit)), (sums.packages, bought, used, left))
                })
                .collect();
            if collector == Collector::Billing {
                assert_eq!(sums, resource_sums(&sent.resources));
            } else {
                assert_eq!(sums, package_sums(&sent.packages));
                assert_eq!(packages.list.len(), sent.packages.len());
            }
        }
        Found::SubUsers(users) => {
            let sum = |amount: fn(&User) -> Option<i64>| {
                let amounts: Vec<i64> = sent.users.iter().filter_map(amount).collect();
                (!amounts.is_empty()).then(|| amounts.iter().sum())
            };
            let sums = [
                ("video_time_2d_model", sum(|user| user.minutes)),
                ("modeling_count_2d_model", sum(|user| user.images)),
            ];
            let expected: BTreeMap<_, i64> = sums.into_iter().filter_map(|(name, sum)| Some((name, sum?))).collect();
            let used = users.used.iter().map(|(of, used)| (of.as_str(), hundredths(*used)));
            assert_eq!(used.collect::<BTreeMap<_, _>>(), expected);
            let limited = sent.users.iter().filter(|user| user.limit.is_some_and(|limit| limit >= 0)).count();
            let has_limit =
                |user: &&metastudio_exporter::usage::SubUser| user.quotas.values().any(|quota| quota.limit.is_some());
            assert_eq!((users.list.len(), users.list.iter().filter(has_limit).count()), (sent.users.len(), limited));
        }
        Found::Sessions(sessions) => {
            let of_state =
                |sessions: &[Session], state| sessions.iter().filter(|session| session.state == state).count() as u64;
            let running: Vec<&Session> = sent.sessions.iter().filter(|session| session.state == "PROCESSING").collect();
            assert_eq!(sessions.live.values().sum::<u64>(), running.len() as u64);
            for (mode, number) in &sessions.live {
                let texts: &[&str] = match mode.as_str() {
                    "PERIODIC" => &["PERIOD"],
                    "ONE_TIME" => &["ONE_TIME"],
                    "ON_DEMAND" => &["ONDEMAND"],
                    _ => &["UNKNOW"],
                };
                let expected = running.iter().filter(|session| texts.contains(&session.mode)).count() as u64;
                assert_eq!(*number, expected, "{mode:?}");
            }
            let oldest = running.iter().filter_map(|session| session.start).min();
            assert_eq!(sessions.oldest_start.map(|start| start.timestamp()), oldest);
            for (state, number) in &sessions.videos {
                assert_eq!(*number, of_state(&sent.videos, state.as_str()), "{state:?}");
            }
        }
        Found::Days(_) | Found::Reconciliation(_) => panic!("not collected"),
    }
}

fn form() -> impl Strategy<Value = Form> {
    prop::sample::select(vec![Form::Plain, Form::Text, Form::Exponent])
}

/// Gives each entry its own id.
fn numbered<T>(entries: Vec<T>, id: fn(&mut T) -> &mut u64) -> Vec<T> {
    let mut entries = entries;
    for (number, entry) in (1..).zip(&mut entries) {
        *id(entry) = number;
    }
    entries
}

fn package() -> impl Strategy<Value = Package> {
    let units = prop::sample::select(vec!["MIN", "HOUR", "NUM", "CHANNEL"]);
    let amount = || prop::option::weighted(0.9, 0..10_000_i64);
    (0..3_usize, units, amount(), amount(), form(), any::<Option<bool>>(), any::<bool>()).prop_map(
        |(kind, unit, bought, used, form, is_part, is_frozen)| {
            let scale = if unit == "HOUR" { 60 } else { 1 };
            let [bought, used] = [bought, used].map(|amount| amount.map(|amount| amount * scale));
            Package { id: 0, kind, unit, bought, used, form, is_part, is_frozen }
        },
    )
}

fn user() -> impl Strategy<Value = User> {
    let amount = || prop::option::of(0..1_000_000_i64);
    (prop::option::of(-1..1000_i64), amount(), amount(), form()).prop_map(|(limit, minutes, images, form)| User {
        id: 0,
        limit,
        minutes,
        images,
        form,
    })
}

fn session() -> impl Strategy<Value = Session> {
    let states = prop::sample::select(vec!["WAITING", "PROCESSING", "SUCCEED", "FAILED", "BLOCKED"]);
    let modes = prop::sample::select(vec!["PERIOD", "ONDEMAND", "ONE_TIME", "UNKNOW"]);
    (states, modes, prop::option::of(1..2_000_000_000_i64)).prop_map(|(state, mode, start)| Session {
        id: 0,
        state,
        mode,
        start,
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    let service = prop::sample::select(vec!["hws.service.type.metastudio", "hws.service.type.obs"]);
    let measure = prop::sample::select(vec![1, 2, 3, 4, 9]);
    // Few amounts, so that packages are used up.
    let amount = || (1..5_i64).prop_map(|amount| amount * 60_00);
    (0..3_usize, service, 0..5_i64, measure, amount(), amount(), any::<bool>(), any::<(bool, bool)>()).prop_map(
        |(product, service, status, measure, bought, used, is_resettable, lists)| Resource {
            id: 0,
            order: 0,
            product,
            service,
            status,
            measure,
            bought,
            used,
            is_resettable,
            lists,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let paging = prop::sample::select(vec![
        Paging::Sound,
        Paging::Sound,
        Paging::Sound,
        Paging::OffsetIgnored,
        Paging::OffsetNumbersPages,
        Paging::FirstEntryIs1,
        Paging::MovesAlways,
        Paging::MovesOnce,
    ]);
    let count = prop::sample::select(vec![Count::Absent, Count::Integer, Count::Float, Count::Text]);
    let lists = (
        prop::collection::vec(package(), 0..150),
        prop::collection::vec(user(), 0..150),
        prop::collection::vec(session(), 0..150),
        prop::collection::vec(session(), 0..150),
        prop::collection::vec(resource(), 0..150),
    );
    (paging, 2..=120_usize, count, any::<(bool, bool)>(), 0..2_i64, lists).prop_map(
        |(paging, cap, count, (empty_is_absent, filters_states), growth, lists)| {
            let (packages, users, sessions, videos, resources) = lists;
            World {
                paging,
                cap,
                count,
                empty_is_absent,
                filters_states,
                growth,
                packages: numbered(packages, |package| &mut package.id),
                users: numbered(users, |user| &mut user.id),
                sessions: numbered(sessions, |session| &mut session.id),
                videos: numbered(videos, |video| &mut video.id),
                resources: numbered(resources, |resource| &mut resource.id),
            }
        },
    )
}

/// Runs all collectors twice. Each run finds the right values or fails. No run fails if the paging is sound, or if a
/// list moves only once.
async fn run_twice(world: World) {
    let paging = world.paging;
    let cloud = Arc::new(Mutex::new(Cloud::new(world)));
    let (address, _stop) = serve(Arc::clone(&cloud)).await;
    let collectors = collectors(address).await;
    assert_eq!(collectors.len(), 4);
    for _ in 0..2 {
        for collecting in &collectors {
            let now = Moment::from(Utc::now());
            let CollectorOutcome { collector, result, .. } = Arc::clone(collecting).run(now).await;
            match result {
                Ok(found) => compare(&found, &cloud.lock().sent, collector),
                Err(failure) => {
                    assert!(!matches!(paging, Paging::Sound | Paging::MovesOnce), "{collector}: {}", failure.message);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_a_run_finds_is_exact(world in world()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run_twice(world));
    }
}
