//! A service behind the web policy: the policy checks each request first, and each answer gets the configured headers.

use std::{convert::Infallible, fmt, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Method, Request, Response, StatusCode, Version, body::Incoming, header::HOST, service::Service};

use super::{policy::WebPolicy, rejection::Rejection};

/// Called with the path and the status of each answer.
type Observer = Box<dyn Fn(&str, StatusCode) + Send + Sync>;

/// A hyper service and the policy that checks each request first.
pub(super) struct PolicedService<S> {
    service: S,
    policy: Arc<WebPolicy>,
    observer: Observer,
}

impl<S> PolicedService<S> {
    pub fn new(service: S, policy: WebPolicy) -> Self {
        PolicedService { service, policy: Arc::new(policy), observer: Box::new(|_, _| {}) }
    }

    pub fn on_answer(&mut self, observer: impl Fn(&str, StatusCode) + Send + Sync + 'static) {
        self.observer = Box::new(observer);
    }

    pub fn policy(&self) -> &Arc<WebPolicy> {
        &self.policy
    }
}

impl<S, B> PolicedService<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: From<Bytes> + Default,
{
    /// Answers a request. If the policy rejects it, the service is not called. The request's body is dropped first, so
    /// that no body stays in memory while a password is checked.
    pub async fn answer(&self, request: Request<Incoming>, client: IpAddr) -> Response<B> {
        let request = request.map(|_| Empty::new());
        let uri = request.uri().clone();
        let is_head = request.method() == Method::HEAD;
        let admitted = match has_valid_host(&request) {
            true => self.policy.admit(uri.path(), request.headers(), client).await,
            false => Err(Rejection::BadHost),
        };
        let mut response = match admitted {
            Ok(()) => {
                let Ok(response) = self.service.call(request).await;
                response
            }
            Err(rejection) => rejection.response(),
        };
        self.policy.add_headers(response.headers_mut());
        if is_head {
            // Over HTTP/2, hyper would send a body even for HEAD. The headers already have its length.
            *response.body_mut() = B::default();
        }
        (self.observer)(uri.path(), response.status());
        response
    }
}

/// Whether a request has a valid number of headers `Host`: exactly one in HTTP/1.1 (RFC 9112, 3.2), at most one in
/// HTTP/1.0 and HTTP/2.
fn has_valid_host<B>(request: &Request<B>) -> bool {
    match request.headers().get_all(HOST).iter().count() {
        0 => request.version() != Version::HTTP_11,
        count => count == 1,
    }
}

impl<S> fmt::Debug for PolicedService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicedService").field("policy", &self.policy).finish_non_exhaustive()
    }
}
