//! A simulated cloud for tests, demos and other clients. It has the operations of MetaStudio that the exporter uses,
//! the billing service, IAM, STS, the metadata service and the node agent, as the contract describes them, with faults
//! on demand.
//!
//! It shares no code with the client. In particular it checks signatures with its own implementation of the signing
//! guide: a verifier that used the signer's code would hide the signer's mistakes.
//!
//! A simulator records every request, if its options ask for it:
//!
//! ```
//! use metastudio_exporter::simulator::{Options, Simulator};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let faults = vec!["forbidden:project=campaign".parse()?];
//! let simulator = Simulator::new(Options { faults, records_requests: true, ..Options::default() });
//! let address = simulator.spawn(CancellationToken::new()).await?;
//!
//! let campaign = &simulator.options().projects[2];
//! let url = format!("http://{address}/v1/{}/data-analysis", campaign.id);
//! let response = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
//! assert_eq!(response.status(), 403);
//!
//! let seen = simulator.seen();
//! assert_eq!(seen.len(), 1);
//! assert_eq!(seen[0].recipient, campaign.id);
//! assert_eq!(seen[0].status, Some(403));
//! # Ok(())
//! # }
//! ```

mod api;
mod billing;
mod buckets;
mod faults;
mod gateway;
pub mod history;
mod identity;
mod jobs;
mod lists;
mod operations;
mod options;
mod packages;
mod page;
mod parameters;
mod reply;
pub mod service;
mod signature;
mod users;

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

pub use billing::ENTERPRISE_PROJECT;
pub use faults::{Fault, FaultKind};
pub use identity::{ID_TOKEN, POD_TOKEN, User};
pub use jobs::SECRETS;
pub use options::Options;
pub use service::Service;

use gateway::Gateway;

/// A request that the simulator received.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// The time when its body had arrived.
    pub at: Instant,
    /// Path and query.
    pub target: String,
    /// The project id, or `bss`, `iam`, `sts`, `metadata` or `pod-identity` for the other services.
    pub recipient: String,
    /// The time of the signature: the header `X-Sdk-Date`.
    pub signed_at: Option<String>,
    /// The status of the answer; `None` if a fault sends no answer.
    pub status: Option<u16>,
}

impl SeenRequest {
    fn new(request: &Request<Bytes>, status: Option<u16>) -> Self {
        let signed_at = request.headers().get("x-sdk-date").and_then(|date| date.to_str().ok());
        SeenRequest {
            at: Instant::now(),
            target: request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned(),
            recipient: gateway::recipient(request.uri().path()).to_owned(),
            signed_at: signed_at.map(str::to_owned),
            status,
        }
    }
}

/// A simulated cloud.
#[derive(Debug)]
pub struct Simulator {
    gateway: Gateway,
    received: Mutex<Received>,
}

/// The requests so far.
#[derive(Debug, Default)]
struct Received {
    /// Their number. The ids of requests count from 1.
    number: u64,
    /// The requests, with [`Options::records_requests`].
    recorded: Vec<SeenRequest>,
}

impl Simulator {
    /// Creates a simulated cloud. Simulators share no state.
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Simulator { gateway: Gateway::new(options), received: Mutex::default() })
    }

    /// Answers requests until `stop` is cancelled.
    ///
    /// # Errors
    /// A connection cannot be accepted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        loop {
            let (stream, _) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            let simulator = Arc::clone(&self);
            let stop = stop.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| Arc::clone(&simulator).answer(request));
                // Headers are spelled as the cloud spells them: X-Request-Id.
                let mut http = http1::Builder::new();
                let connection = http.title_case_headers(true).serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    // An error means that the client disconnected, or that a fault broke the connection.
                    _ = connection => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// Binds a free port of the loopback interface, and serves there until `stop` is cancelled.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn spawn(self: &Arc<Self>, stop: CancellationToken) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(self).serve(listener, stop));
        Ok(address)
    }

    /// The options that the simulator was created with.
    pub fn options(&self) -> &Options {
        self.gateway.options()
    }

    /// All requests so far, in the order of their arrival. None without [`Options::records_requests`].
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.received.lock().recorded.clone()
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> io::Result<Response<UnsyncBoxBody<Bytes, io::Error>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request = Request::from_parts(parts, body);
        let reply = self.gateway.reply(&request);
        let request_id = {
            let mut received = self.received.lock();
            received.number += 1;
            if self.options().records_requests {
                received.recorded.push(SeenRequest::new(&request, reply.status()));
            }
            format!("{:032x}", received.number)
        };
        reply.into_response(&request_id).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn headers_are_spelled_as_the_cloud_spells_them() {
        let address = Simulator::new(Options::default()).spawn(CancellationToken::new()).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("\r\nX-Request-Id: 00000000000000000000000000000001\r\n"), "{answer}");
    }
}
