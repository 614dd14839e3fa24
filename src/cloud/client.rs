//! The client of one project or account: it sends requests to any API of the cloud.
//!
//! Each attempt waits for its slot ([`Throttle`]) and for permission to use the key ([`Lockout`]). Each attempt is
//! signed afresh, because the signature holds the date. The time of an attempt and the size of its answer are limited.
//! Redirects are not followed.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Method, StatusCode,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    credentials::{
        Credentials,
        cache::Cache,
        identity::{Identity, Scope},
        lockout::{Lockout, Permit},
    },
    error::{Advice, Error, in_parentheses},
    memory::{AnswerMemory, LargeAnswers},
    secrets::Secrets,
    transport::{
        exchange::{BodyLimit, Response, exchange, no_answer},
        http::HttpClients,
        retry::Retries,
        signing,
        task::run_to_end,
        throttle::Throttle,
    },
};
use crate::{
    config::Endpoint,
    usage::{Clock, Counters, Operation},
};

/// The last request of a poll ends this long before the deadline, so that the poll can still count it and report its
/// error.
const REPORT_MARGIN: Duration = Duration::from_millis(50);

/// The client of one project or account. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) http: HttpClients,
    pub(super) endpoint: Endpoint,
    pub(super) iam_endpoint: Endpoint,
    /// The name of the project, or `account NAME`, in the logs and for the lock-out.
    pub(super) project: Arc<str>,
    pub(super) scope: Scope,
    pub(super) credentials: Arc<Credentials>,
    /// The id that was looked up: of the project with the name of the region, or of the account. All clients that need
    /// it share it.
    pub(super) project_id: Arc<Cache<Arc<str>>>,
    pub(super) lockout: Arc<Lockout>,
    pub(super) throttle: Arc<Throttle>,
    pub(super) large_answers: LargeAnswers,
    pub(super) request_timeout: Duration,
    pub(super) max_retries: usize,
    pub(super) max_rows: usize,
    pub(super) clock: Clock,
}

/// One call of the cloud, with one or more requests: they share the client, the deadline and the counters.
#[derive(Debug)]
pub struct Call<'a> {
    /// Sends the requests.
    pub client: &'a Client,
    /// After this time, the call retries no request and waits for no answer.
    pub deadline: Instant,
    /// Counts the requests.
    pub counters: &'a mut Counters,
}

impl Call<'_> {
    /// Sends a request, and retries it if that may help.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(super) async fn send(&mut self, request: ApiRequest<'_>) -> Result<Success, Error> {
        self.client.send(request, self.deadline, self.counters).await
    }
}

/// A request to any API of the cloud.
#[derive(Debug)]
pub(super) struct ApiRequest<'a> {
    /// The label `api` of the counters.
    pub operation: Operation,
    pub endpoint: &'a Endpoint,
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    /// The headers without those that sign or authenticate the request. All headers are signed.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body is also signed; empty for a GET.
    pub body: Bytes,
    /// The memory of the answer, with all of its pages.
    pub memory: &'a AnswerMemory,
    /// Returns what to do about a refusal.
    pub advice: Advice,
}

impl<'a> ApiRequest<'a> {
    /// A GET without parameters, headers and advice. `memory` must live as long as the body of the answer.
    pub fn get(operation: Operation, endpoint: &'a Endpoint, path: &'a str, memory: &'a AnswerMemory) -> Self {
        let (method, body) = (Method::GET, Bytes::new());
        ApiRequest { operation, endpoint, method, path, query: &[], headers: &[], body, memory, advice: |_| None }
    }
}

/// A response with status 200.
pub(super) struct Success {
    /// At most 8 MiB.
    pub body: Vec<u8>,
    request_id: Option<String>,
    /// The secrets of the request, which the body may repeat.
    pub secrets: Secrets,
}

impl Success {
    /// The error for a body that is not `expected`, a noun phrase such as "usage data".
    pub fn malformed(&self, expected: &str, cause: impl fmt::Display) -> Error {
        let beginning = self.secrets.shown(&String::from_utf8_lossy(&self.body));
        let excerpt = if beginning.is_empty() { "it is empty" } else { &format!("it begins with {beginning:?}") };
        self.malformed_secret(expected, format_args!("{cause}; {excerpt}"))
    }

    /// Like [`Self::malformed`], for a body that no message may quote.
    pub fn malformed_secret(&self, expected: &str, cause: impl fmt::Display) -> Error {
        let id = in_parentheses(self.request_id.as_deref());
        Error::Malformed(format!("HTTP 200 with a body that is not {expected}: {cause}{id}"))
    }
}

/// A request and its encoded query, which all attempts send.
struct Encoded<'a> {
    request: ApiRequest<'a>,
    query: String,
}

impl Client {
    /// The same client, but without retries after transient errors. It is for a request that is sent before others: its
    /// retries must not use up the failures in a row that the lock-out allows.
    pub fn without_retries(&self) -> Self {
        Client { max_retries: 0, ..self.clone() }
    }

    /// The endpoint of the service in the region of the project, or of the billing service.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The endpoint of IAM for the region of the project, or for the account.
    pub(super) fn iam_endpoint(&self) -> &Endpoint {
        &self.iam_endpoint
    }

    /// The memory of a new answer.
    pub(crate) fn new_answer(&self) -> AnswerMemory {
        self.large_answers.answer(self.max_rows)
    }

    pub(super) fn region(&self) -> &Arc<str> {
        &self.scope.region
    }

    /// Whether this is the client of an account.
    pub(super) fn is_of_account(&self) -> bool {
        self.scope.is_account
    }

    /// When the identity of this project expires, if that is known.
    pub fn credentials_expiry(&self) -> Option<DateTime<Utc>> {
        self.credentials.expiry(&self.scope)
    }

    /// The project's id, if it is known.
    pub fn known_project_id(&self) -> Option<Arc<str>> {
        let configured = self.scope.project_id.clone();
        configured.or_else(|| self.credentials.project_id(&self.scope)).or_else(|| self.project_id.last())
    }

    /// The project's id: configured, or issued with the token, or else found by `look_up` once for all projects with
    /// these credentials in this region.
    ///
    /// # Errors
    /// If the credentials give no identity, or the error of the last look-up.
    pub(super) async fn project_id<F>(&self, look_up: impl FnOnce(Self) -> F) -> Result<Arc<str>, Error>
    where
        F: Future<Output = Result<Arc<str>, Error>> + Send + 'static,
    {
        if let Some(id) = self.scope.project_id.clone().or_else(|| self.project_id.last()) {
            return Ok(id);
        }
        self.credentials.identity(&self.scope).await?;
        if let Some(id) = self.credentials.project_id(&self.scope) {
            return Ok(id);
        }
        let look_up = || {
            let found = look_up(self.clone());
            async { found.await.map(|id| (id, None)) }
        };
        self.project_id.get(look_up).await.map_err(Error::Shared)
    }

    /// Sends a request, and retries it until `deadline` if that may help.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(super) async fn send(
        &self,
        request: ApiRequest<'_>,
        deadline: Instant,
        counters: &mut Counters,
    ) -> Result<Success, Error> {
        let encoded = Encoded { query: signing::canonical_query(request.query), request };
        let request = &encoded.request;
        let mut retries = Retries::new(self.max_retries, deadline);
        let mut identity = self.credentials.identity(&self.scope).await?;
        let mut is_renewed = false;
        loop {
            let error = match self.attempt(&encoded, &identity, deadline, counters).await {
                Ok(success) => return Ok(success),
                Err(Error::LargeAnswer) => {
                    // This wait holds no permit and no slot, so no other request waits for this one.
                    timeout_at(deadline, request.memory.turn()).await.map_err(|_| Error::LargeAnswer)?;
                    counters.count_retry(request.operation);
                    continue;
                }
                Err(error) => error,
            };
            if error.is_key_refused() && !is_renewed {
                // The secret may have been rotated, or the token may have expired early. A new one gets one attempt.
                is_renewed = true;
                let host = &request.endpoint.host;
                if let Some(another) = self.credentials.another(&identity, host, &self.scope).await {
                    tracing::info!(project = &*self.project, "the key or token was refused: trying the new one");
                    identity = another;
                    counters.count_retry(request.operation);
                    continue;
                }
            }
            if error.is_foreign_project() {
                // The keys may belong to another account than before, so the id is looked up again.
                self.project_id.forget();
            }
            let Some(wait) = retries.after(&error) else { return Err(error) };
            let error = error.report();
            tracing::debug!(project = &*self.project, error, wait = ?wait, "request failed, will retry");
            sleep(wait).await;
            counters.count_retry(request.operation);
        }
    }

    async fn attempt(
        &self,
        encoded: &Encoded<'_>,
        identity: &Identity,
        deadline: Instant,
        counters: &mut Counters,
    ) -> Result<Success, Error> {
        let Encoded { request: ApiRequest { operation, endpoint, path, memory, advice, .. }, query } = encoded;
        let permit = self.lockout.admit(identity.fingerprint(&endpoint.host), &self.project).await?;
        self.throttle.turn().await;
        permit.prepare().await?;

        let headers = self.headers(encoded, identity)?;
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("{endpoint}{path}{separator}{query}");
        let start = Instant::now();
        let last = start + self.request_timeout;
        let http = self.http.to(endpoint);
        let request = http.request(encoded.request.method.clone(), url).headers(headers);
        let request = request.body(encoded.request.body.clone());
        let account_id = encoded.request.headers.iter().find(|(name, _)| *name == "x-domain-id");
        let secrets = identity.secrets();
        let secrets = if let Some((_, id)) = account_id { secrets.and(id) } else { secrets };
        let (host, clock, advice) = (endpoint.host.clone(), self.clock, *advice);
        let limit = BodyLimit::Api((*memory).clone());
        // The lock-out must learn the outcome even if a reload or the deadline ends the poll meanwhile. Otherwise each
        // reload could send a wrong key again.
        let attempt = run_to_end(async move {
            let response = exchange(request, &host, last, secrets, limit).await;
            let status = response.as_ref().ok().map(|response| response.status.as_u16());
            let result = response.and_then(|response| judge(response, clock, advice));
            settle(permit, status, &result);
            (status, result)
        });
        let report_by = deadline.checked_sub(REPORT_MARGIN).unwrap_or(deadline);
        let (status, result) = timeout_at(report_by, attempt)
            .await
            .unwrap_or_else(|_| (None, Err(no_answer(&endpoint.host, report_by - start))));
        counters.count_request(*operation, status, start.elapsed());
        result
    }

    fn headers(&self, encoded: &Encoded<'_>, identity: &Identity) -> Result<HeaderMap, Error> {
        let Encoded { request: ApiRequest { endpoint, method, path, headers, body, .. }, query } = encoded;
        let date = (self.clock)().format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = headers.to_vec();
        headers.push(("host", &endpoint.host));
        let authorization;
        match identity {
            Identity::Token(token) => headers.push(("x-auth-token", token.expose_secret())),
            Identity::Keys { access_key, secret_key, security_token } => {
                headers.push(("x-sdk-date", &date));
                headers.extend(security_token.iter().map(|token| ("x-security-token", token.expose_secret())));
                let request = signing::Request { method: method.as_str(), path, query, headers: &headers, body };
                authorization =
                    signing::authorization(access_key.expose_secret(), secret_key.expose_secret(), &date, &request);
                headers.push((AUTHORIZATION.as_str(), &authorization));
            }
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let invalid = || Error::Credentials(format!("the value of the header {name} cannot be sent").into());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(name != HOST);
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// Turns a response into a success or an error.
fn judge(response: Response, clock: Clock, advice: Advice) -> Result<Success, Error> {
    if response.status != StatusCode::OK {
        return Err(response.error(StatusCode::OK, clock(), advice));
    }
    let request_id = response.request_id();
    Ok(Success { body: response.body?, request_id, secrets: response.secrets })
}

/// Tells the lock-out whether the service accepted the key.
fn settle(permit: Permit, status: Option<u16>, result: &Result<Success, Error>) {
    match result {
        Ok(_) | Err(Error::LargeAnswer) => permit.accepted(),
        Err(error) if error.is_key_refused() => permit.refused(),
        // The key is valid, but lacks a permission.
        Err(Error::Refused(refusal)) if refusal.status == 403 => permit.accepted(),
        Err(error) if status.is_none() && error.is_unanswered() => permit.unanswered(),
        // The outcome does not show whether the key is valid.
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;
    use crate::{
        cloud::credentials::context::Context,
        config::{ApiSettings, CredentialsSource, Environment, KeyPair, Secret},
        usage::Reason,
    };

    const DATE: &str = "20251108T093000Z";

    fn clock() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2025-11-08T09:30:00Z").unwrap().to_utc()
    }

    fn client(address: SocketAddr) -> Client {
        let settings = ApiSettings::default();
        let http = HttpClients::new(&settings).unwrap();
        let lockout: Arc<Lockout> = Arc::default();
        let context =
            Context { environment: Environment::default(), http: http.clone(), clock, lockout: Arc::clone(&lockout) };
        let secret = |text: &str| Secret::Inline(text.into());
        let keys = KeyPair { access_key: secret("AK"), secret_key: secret("SK"), security_token: None };
        let credentials = Arc::new(Credentials::new("main", CredentialsSource::Keys(keys), context));
        let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
        Client {
            http,
            endpoint: endpoint.clone(),
            iam_endpoint: endpoint,
            project: "p".into(),
            scope: Scope { project_id: Some("id".into()), region: "".into(), is_account: false },
            project_id: credentials.project_id_in(""),
            credentials,
            lockout,
            throttle: Arc::new(Throttle::new(1000.0)),
            large_answers: LargeAnswers::default(),
            request_timeout: settings.request_timeout,
            max_retries: 1,
            max_rows: settings.max_rows,
            clock,
        }
    }

    /// A server that answers one request with each of these statuses and an empty body. The task returns the requests.
    async fn server(statuses: &'static [&'static str]) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async move {
            let mut requests = Vec::new();
            for status in statuses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = String::new();
                while !request.ends_with('}') {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.unwrap();
                    assert_ne!(length, 0, "the body ends with a brace: {request}");
                    request += std::str::from_utf8(&piece[..length]).unwrap();
                }
                requests.push(request);
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            requests
        };
        (address, tokio::spawn(serve))
    }

    fn get<'a>(client: &'a Client, memory: &'a AnswerMemory) -> ApiRequest<'a> {
        ApiRequest::get(Operation::ListProjects, client.endpoint(), "/v2/bills", memory)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The signature as section 3 of the contract describes it, without the code of the signer.
    fn signature(host: &str, body: &str) -> String {
        let canonical = format!(
            "POST\n/v2/bills/monthly/\nlimit=10&month=2025-11\ncontent-type:application/json\nhost:{host}\n\
             x-sdk-date:{DATE}\n\ncontent-type;host;x-sdk-date\n{}",
            hex(&Sha256::digest(body))
        );
        let text = format!("SDK-HMAC-SHA256\n{DATE}\n{}", hex(&Sha256::digest(canonical)));
        let mac = Hmac::<Sha256>::new_from_slice(b"SK").unwrap().chain_update(text);
        hex(&mac.finalize().into_bytes())
    }

    #[tokio::test]
    async fn a_post_is_sent_with_a_signed_body_at_each_attempt() {
        let (address, served) = server(&["503 Service Unavailable", "200 OK"]).await;
        let client = client(address);
        let memory = client.new_answer();
        let text = r#"{"cycle":"2025-11","name":"数字人"}"#;
        let request = ApiRequest {
            method: Method::POST,
            body: Bytes::from(text),
            path: "/v2/bills/monthly",
            query: &[("month", "2025-11"), ("limit", "10")],
            headers: &[("content-type", "application/json")],
            ..get(&client, &memory)
        };
        let mut counters = Counters::default();
        let deadline = Instant::now() + Duration::from_secs(30);
        let success = client.send(request, deadline, &mut counters).await.unwrap();
        assert_eq!(
            success.malformed("a bill", "no bill").to_string(),
            "unexpected answer: HTTP 200 with a body that is not a bill: no bill; it is empty"
        );

        let requests = served.await.unwrap();
        assert_eq!(requests.len(), 2);
        let signature = signature(&address.to_string(), text);
        for request in requests {
            let (head, sent) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v2/bills/monthly?limit=10&month=2025-11 HTTP/1.1\r\n"), "{head}");
            let headers = "SignedHeaders=content-type;host;x-sdk-date";
            assert!(head.contains(&format!("SDK-HMAC-SHA256 Access=AK, {headers}, Signature={signature}")), "{head}");
            assert_eq!(sent, text);
        }
        let counters = counters.api(Operation::ListProjects).unwrap();
        assert_eq!((counters.by_status[&Some(503)], counters.by_status[&Some(200)], counters.retries), (1, 1, 1));
    }

    #[tokio::test]
    async fn a_request_that_the_deadline_ends_is_counted_and_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap());
        let (memory, mut counters) = (client.new_answer(), Counters::default());
        let request = get(&client, &memory);
        let deadline = Instant::now() + Duration::from_millis(300);
        let result = timeout_at(deadline, client.send(request, deadline, &mut counters)).await;
        let report = result.unwrap().err().unwrap().report();
        assert!(report.starts_with("no answer came from 127.0.0.1"), "{report}");
        assert_eq!(counters.api(Operation::ListProjects).unwrap().by_status[&None], 1);
    }

    /// The server takes connections and never answers, so TLS never comes.
    #[tokio::test]
    async fn a_request_that_was_not_sent_does_not_put_the_key_on_hold() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = ApiSettings { request_timeout: Duration::from_millis(200), ..ApiSettings::default() };
        let client = Client {
            http: HttpClients::new(&settings).unwrap(),
            endpoint: Endpoint::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap(),
            request_timeout: settings.request_timeout,
            max_retries: 0,
            ..client(listener.local_addr().unwrap())
        };
        let memory = client.new_answer();
        for deadline in [30_000, 30_000, 30_000, 30_000, 30_000, 100] {
            let deadline = Instant::now() + Duration::from_millis(deadline);
            let error = client.send(get(&client, &memory), deadline, &mut Counters::default()).await.err().unwrap();
            assert_eq!(error.reason(), Reason::Timeout, "{}", error.report());
        }
        // The last one was cut off by its deadline, and ends in the background.
        let admitted = client
            .lockout
            .admit(client.credentials.identity(&client.scope).await.unwrap().fingerprint(&client.endpoint.host), "p");
        admitted.await.unwrap();
    }

    #[tokio::test]
    async fn a_large_answer_without_the_turn_is_asked_for_again_in_its_turn() {
        const LENGTH: usize = 600 << 10;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap());
        let another = client.new_answer();
        another.turn().await;
        let serve = async move {
            let mut another = Some(another);
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {LENGTH}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&[b' '; LENGTH]).await;
                // The client closes the connection, and then waits for its turn.
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
                another.take();
            }
        };
        let (memory, mut counters) = (client.new_answer(), Counters::default());
        let request = get(&client, &memory);
        let deadline = Instant::now() + Duration::from_secs(30);
        tokio::spawn(serve);
        let success = client.send(request, deadline, &mut counters).await;
        assert_eq!(success.ok().unwrap().body.len(), LENGTH);
        assert_eq!(counters.requests(), 2);
    }

    #[tokio::test]
    async fn a_request_without_a_query_has_no_question_mark() {
        let (address, served) = server(&["404 Not Found"]).await;
        let client = client(address);
        let (method, body, memory) = (Method::POST, Bytes::from_static(b"{}"), client.new_answer());
        let request = ApiRequest { method, body, advice: |_| Some("Check the bills"), ..get(&client, &memory) };
        let deadline = Instant::now() + Duration::from_secs(30);
        let result = client.send(request, deadline, &mut Counters::default()).await;
        let report = result.err().unwrap().report();
        assert!(report.ends_with("Check the bills"), "the advice of the operation: {report}");
        assert!(served.await.unwrap()[0].starts_with("POST /v2/bills HTTP/1.1\r\n"));
    }
}
