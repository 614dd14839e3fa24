//! An HTTP server for any hyper service, configured by the web configuration file of the Prometheus exporter-toolkit.
//!
//! The file configures TLS, client certificates, users, headers and a rate limit. The server answers 400, 401 and 429
//! itself. It limits the number of connections, and the time of each phase of a connection. It reloads changed files
//! while it runs.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper::{Response, service::service_fn};
//! use metastudio_exporter::server::{self, Limits, Server, WebPolicy};
//! use tokio::{
//!     io::{AsyncReadExt, AsyncWriteExt},
//!     net::TcpStream,
//! };
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hello = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) });
//! // Without a web configuration file: plain HTTP, without users.
//! let policy = WebPolicy::load(None).await.map_err(|problems| format!("{problems:?}"))?;
//! let listeners = server::bind(&["127.0.0.1:0".to_owned()]).await?;
//! let address = listeners[0].local_addr()?;
//! let stop = CancellationToken::new();
//! let serving = tokio::spawn(Server::new(hello, policy, Limits::default()).serve(listeners, stop.clone()));
//!
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
//!
//! stop.cancel();
//! serving.await?;
//! # Ok(())
//! # }
//! ```

mod basic_auth;
mod client_certificate;
mod client_limit;
pub mod config;
mod connection;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listeners;
mod policed_service;
mod policy;
mod rate_limit;
mod rejection;
mod slots;
mod timed_io;
mod tls;

pub use self::{
    limits::Limits,
    listeners::{BindError, Server, bind},
    policy::WebPolicy,
    slots::{ConnectionCounts, Connections},
};
