//! A cloud with a project for each kind of hostile answer. All other projects get good answers.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A hostile answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 900 kB of rows without any field.
    EmptyRows,
    /// A row for each of 100,000 types.
    ManyTypes,
    /// A type of 30 MB.
    LongLabel,
    /// HTTP 400 with a body of 31 MB.
    LongError,
    /// 25 MB of rows of one type.
    LongBody,
    /// 2,000 types that no earlier answer had.
    NewTypes,
    /// 2,000 types, which are valid.
    MostTypes,
    /// Full pages without an end: each has new rows with long texts, within the bounds of a page.
    EndlessPages,
    /// A valid page with nearly the maximum number of rows, which have long texts.
    LongestPage,
    /// Nothing, and the connection stays open.
    Silence,
}

impl Answer {
    pub const ALL: [Answer; 10] = [
        Answer::EmptyRows,
        Answer::ManyTypes,
        Answer::LongLabel,
        Answer::LongError,
        Answer::LongBody,
        Answer::NewTypes,
        Answer::MostTypes,
        Answer::EndlessPages,
        Answer::LongestPage,
        Answer::Silence,
    ];

    /// The id of its project. Projects with other ids, such as 0, are good.
    pub fn id(self) -> usize {
        1 + Self::ALL.iter().position(|answer| *answer == self).unwrap()
    }

    /// Whether polls with this answer succeed.
    pub fn is_accepted(self) -> bool {
        matches!(self, Answer::MostTypes | Answer::LongestPage)
    }
}

/// Serves on a port that the system chooses.
pub async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request).await) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let id = request.uri().path().strip_prefix("/v1/").and_then(|path| path.strip_suffix("/data-analysis"));
    let id = usize::from_str_radix(id.unwrap(), 16).unwrap();
    let query = Query::parse(request.uri().query().unwrap());
    let hostile = Answer::ALL.into_iter().find(|answer| answer.id() == id);
    let body = match hostile {
        None => query.today(&row("VIDEO_2D", "")),
        Some(Answer::Silence) => std::future::pending().await,
        Some(answer) => answer.body(&query),
    };
    let mut response = Response::new(Full::from(body));
    if hostile == Some(Answer::LongError) {
        *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
    }
    response
}

impl Answer {
    fn body(self, query: &Query) -> String {
        match self {
            Answer::LongError => format!(r#"{{"error_code":"E","error_msg":"{}"}}"#, "x".repeat(31 << 20)),
            Answer::EndlessPages => query.page(&repeated(&row(&"x".repeat(200), &"y".repeat(100)), 19)),
            Answer::NewTypes => {
                static TYPES: AtomicUsize = AtomicUsize::new(0);
                query.today(&types(TYPES.fetch_add(2000, Ordering::Relaxed), 2000))
            }
            answer => query.today(&answer.rows()),
        }
    }

    /// Its rows. They are made once, because a debug build takes seconds for them.
    fn rows(self) -> Arc<str> {
        static ROWS: LazyLock<Mutex<HashMap<Answer, Arc<str>>>> = LazyLock::new(Mutex::default);
        let new = || match self {
            Answer::EmptyRows => repeated("{}", 300_000),
            Answer::ManyTypes => types(0, 100_000),
            Answer::MostTypes => types(0, 2000),
            Answer::LongLabel => row(&"x".repeat(30 << 20), ""),
            Answer::LongBody => repeated(&row("t", ""), 300_000),
            _ => repeated(&row("t", &"y".repeat(250)), 19_990),
        };
        Arc::clone(ROWS.lock().unwrap().entry(self).or_insert_with(|| new().into()))
    }
}

fn repeated(row: &str, count: usize) -> String {
    vec![row; count].join(",")
}

/// A row for each of `count` types.
fn types(first: usize, count: usize) -> String {
    (first..first + count).map(|number| row(&format!("t{number}"), "")).collect::<Vec<_>>().join(",")
}

/// A row with a usage.
fn row(resource_type: &str, charging_mode: &str) -> String {
    format!(
        r#"{{"resource_type":"{resource_type}","business_type":"B","charging_mode":"{charging_mode}","usage":1,"unit":"MIN"}}"#
    )
}

/// The parameters of a request.
struct Query {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    limit: usize,
    offset: usize,
}

impl Query {
    fn parse(query: &str) -> Self {
        let parameters: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        let time = |name: &str| DateTime::parse_from_rfc3339(&parameters[name]).unwrap().to_utc();
        let number = |name: &str| parameters[name].parse().unwrap();
        Query { start: time("start_time"), end: time("end_time"), limit: number("limit"), offset: number("offset") }
    }

    /// One bucket with these rows, at the beginning of this day in Shanghai, if that time is in the range.
    fn today(&self, rows: &str) -> String {
        let shanghai = TimeDelta::hours(8);
        let today = (Utc::now() + shanghai).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc() - shanghai;
        let count = usize::from((self.start..self.end).contains(&today));
        list(count, (self.offset..count).map(|_| bucket(today, rows)))
    }

    /// As many buckets as were asked for, each with these rows.
    fn page(&self, rows: &str) -> String {
        let numbers = (self.offset..).take(self.limit);
        list(1_000_000, numbers.map(|number| bucket(self.start + TimeDelta::seconds(number as i64), rows)))
    }
}

fn list(count: usize, buckets: impl Iterator<Item = String>) -> String {
    format!(r#"{{"count":{count},"time_list":[{}]}}"#, buckets.collect::<Vec<_>>().join(","))
}

fn bucket(start: DateTime<Utc>, rows: &str) -> String {
    let time = start.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(r#"{{"time":"{time}","resources_usage":[{rows}]}}"#)
}
