//! HTTP/1.1 to the upstream over connections of our own.
//!
//! A connection has no task: the call that uses it drives it, so that nobody is woken to pass an answer on. Between two
//! calls it rests in the pool.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use reqwest::Url;

use super::COMPLETIONS;
use super::client::{Outgoing, SetupError, not_a_url, url};
use super::failure::classify;
use crate::config;
use crate::error::ProxyError;
use crate::request::Socket;

pub(super) use body::Body;
use connect::Connector;
use connection::{Connection, Unanswered};
use pool::Pool;
pub(super) use stream::Headless;

mod body;
mod connect;
mod connection;
mod gate;
mod pool;
mod stream;

/// What a client that does not say what it takes is taken to take (RFC 9110 section 12.5.1); some servers want it said.
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// A client for one upstream.
pub(super) struct Http1 {
    base_url: String,
    /// None where the upstream's address is no URL after all.
    target: Option<Target>,
    pool: Arc<Pool>,
}

/// Where requests go.
struct Target {
    connector: Connector,
    host: HeaderValue,
    /// What chat completions ask for. Reading a URL takes longer than writing a request.
    completions: Uri,
}

// === impl Http1 ===

impl Http1 {
    pub(super) fn new(config: &config::Upstream) -> Result<Self, SetupError> {
        Ok(Self {
            base_url: config.base_url.clone(),
            target: Target::new(config)?,
            pool: Pool::new(config.idle_timeout, config.max_connection_age),
        })
    }

    /// How many connections wait for a call.
    pub(super) fn idle(&self) -> usize {
        self.pool.idle()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing<'_>,
        socket: Socket,
    ) -> Result<Response<Body>, ProxyError> {
        let target = self.target.as_ref().ok_or_else(not_a_url)?;
        let mut request = target.request(&self.base_url, outgoing)?;
        while let Some(connection) = self.pool.take() {
            if socket == Socket::Fresh {
                // One socket too many otherwise, and another was dead just now.
                break;
            }
            request = match self.exchange(connection, request).await {
                Ok(response) => return Ok(response),
                Err(mut unanswered) => match unanswered.take_message() {
                    // The upstream had closed it, and knows nothing of the request.
                    Some(unsent) => unsent,
                    None => {
                        return Err(match classify(&unanswered.into_error()) {
                            ProxyError::ConnectionLost(detail) => ProxyError::DeadSocket(detail),
                            error => error,
                        });
                    }
                },
            };
        }
        let connected = target.connector.connect().await?;
        let connection = Connection::over(connected).await;
        let connection = connection.map_err(|error| classify(&error))?;
        let exchanged = self.exchange(connection, request).await;
        exchanged.map_err(|unanswered| classify(&unanswered.into_error()))
    }

    async fn exchange(
        &self,
        mut connection: Box<Connection>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Unanswered> {
        let (head, incoming) = connection.exchange(request).await?.into_parts();
        let body = Body::new(incoming, connection, &self.pool);
        Ok(Response::from_parts(head, body))
    }
}

// === impl Target ===

impl Target {
    fn new(config: &config::Upstream) -> Result<Option<Self>, SetupError> {
        let read = || {
            let url = url(&config.base_url, COMPLETIONS).ok()?;
            let host = match (url.host_str()?, url.port()) {
                (host, None) => host.to_owned(),
                (host, Some(port)) => format!("{host}:{port}"),
            };
            let origin = format!("{}://{host}/", url.scheme());
            let host = HeaderValue::try_from(host).ok()?;
            Some((origin.parse().ok()?, host, origin_form(&url).ok()?))
        };
        let Some((origin, host, completions)) = read() else {
            return Ok(None);
        };
        Ok(Some(Self {
            connector: Connector::new(origin, config.connect_timeout)?,
            host,
            completions,
        }))
    }

    fn request(
        &self,
        base_url: &str,
        outgoing: Outgoing<'_>,
    ) -> Result<Request<Full<Bytes>>, ProxyError> {
        let Outgoing {
            method,
            path,
            mut headers,
            body,
        } = outgoing;
        let uri = match path {
            COMPLETIONS => self.completions.clone(),
            path => origin_form(&url(base_url, path)?)?,
        };
        headers.entry(header::ACCEPT).or_insert(ANYTHING);
        headers.insert(header::HOST, self.host.clone());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The path and the query, as they stand in the first line of a request.
fn origin_form(url: &Url) -> Result<Uri, ProxyError> {
    let uri = match url.query() {
        None => Uri::try_from(url.path()),
        Some(query) => Uri::try_from(format!("{}?{query}", url.path())),
    };
    uri.map_err(|_| not_a_url())
}
