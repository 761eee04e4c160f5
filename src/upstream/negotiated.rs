//! Whatever version the upstream and reqwest agree on: with `upstream.http2`, calls share a connection.

use std::sync::{Arc, OnceLock};

use http::Response;
use reqwest::{Body, Url};

use super::COMPLETIONS;
use super::client::{Outgoing, url};
use super::failure::classify;
use crate::config;
use crate::error::ProxyError;
use crate::request::Socket;

use pool::Pool;

mod dial;
mod pool;

/// A client for one upstream.
pub(super) struct Negotiated {
    shared: Arc<Shared>,
    pooled: Pool,
    /// Made when first needed: most processes never meet a dead socket.
    fresh: OnceLock<reqwest::Client>,
    /// Where chat completions go.
    completions: Option<Url>,
}

struct Shared {
    config: config::Upstream,
    /// The most idle connections.
    cap: usize,
}

// === impl Negotiated ===

impl Negotiated {
    pub(super) fn new(config: &config::Upstream, cap: usize) -> Result<Self, reqwest::Error> {
        Ok(Self {
            pooled: Pool::new(client(config, cap)?, config.max_connection_age),
            fresh: OnceLock::new(),
            completions: url(&config.base_url, COMPLETIONS).ok(),
            shared: Arc::new(Shared {
                config: config.clone(),
                cap,
            }),
        })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing<'_>,
        socket: Socket,
    ) -> Result<Response<Body>, ProxyError> {
        let client = match socket {
            Socket::Pooled => {
                let shared = Arc::clone(&self.shared);
                self.pooled
                    .client(move || client(&shared.config, shared.cap))
            }
            Socket::Fresh => self.fresh_client()?.clone(),
        };
        let url = match &self.completions {
            Some(url) if outgoing.path == COMPLETIONS => url.clone(),
            _ => url(&self.shared.config.base_url, outgoing.path)?,
        };
        let mut request = reqwest::Request::new(outgoing.method, url);
        *request.headers_mut() = outgoing.headers;
        if !outgoing.body.is_empty() {
            *request.body_mut() = Some(outgoing.body.into());
        }
        let (sent, dialled) = dial::watch(client.execute(request)).await;
        let response = sent.map_err(|error| match classify(&error) {
            ProxyError::ConnectionLost(detail) if !dialled => ProxyError::DeadSocket(detail),
            error => error,
        })?;
        Ok(response.into())
    }

    fn fresh_client(&self) -> Result<&reqwest::Client, ProxyError> {
        if let Some(client) = self.fresh.get() {
            return Ok(client);
        }
        let client = client(&self.shared.config, 0).map_err(|error| classify(&error))?;
        Ok(self.fresh.get_or_init(|| client))
    }
}

fn client(config: &config::Upstream, max_idle: usize) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(config.idle_timeout)
        .pool_max_idle_per_host(max_idle)
        .tcp_nodelay(true)
        .connector_layer(dial::Notice)
        // What the proxy asks must reach the upstream that the operator named, and nobody else.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        // The retry layer retries; a second retrier would multiply with it.
        .retry(reqwest::retry::never())
        .build()
}
