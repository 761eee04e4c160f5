//! How a connection is opened: as reqwest opens its own, with the same libraries.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::error::{ProxyError, Slow};
use crate::upstream::failure::unreachable;

/// A peer that is gone without a word is noticed: after this long without traffic it is asked,
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// so often,
const KEEP_ALIVE_RETRIES: u32 = 3;
/// and what it does not acknowledge for so long is lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Opens connections to one upstream.
pub(super) struct Connector {
    scheme: Scheme,
    origin: Uri,
    timeout: Duration,
}

enum Scheme {
    Http(HttpConnector),
    Https(HttpsConnector<HttpConnector>),
}

// === impl Connector ===

impl Connector {
    /// A connector to this origin. The certificates of the system are read only where there is one to check.
    pub(super) fn new(origin: Uri, timeout: Duration) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        // Shared among a host's addresses, so that one that does not answer leaves time for the others.
        http.set_connect_timeout(Some(timeout));
        http.enforce_http(false);
        http.set_keepalive(Some(KEEP_ALIVE));
        http.set_keepalive_interval(Some(KEEP_ALIVE));
        http.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let scheme = if origin.scheme_str() == Some("https") {
            Scheme::Https((http, tls()?).into())
        } else {
            Scheme::Http(http)
        };
        Ok(Self {
            scheme,
            origin,
            timeout,
        })
    }

    /// Resolves the name, connects and agrees on keys, all within the timeout.
    pub(super) async fn connect(&self) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, ProxyError> {
        let origin = self.origin.clone();
        let connecting = async {
            match &self.scheme {
                Scheme::Http(http) => {
                    let plain = http.clone().oneshot(origin).await;
                    let plain = plain.map_err(|error| unreachable(&error))?;
                    Ok(MaybeHttpsStream::Http(plain))
                }
                Scheme::Https(https) => {
                    let secure = https.clone().oneshot(origin).await;
                    secure.map_err(|error| unreachable(&*error))
                }
            }
        };
        let connected = timeout(self.timeout, connecting).await;
        connected.map_err(|_| ProxyError::Timeout(Slow::Connect))?
    }
}

/// Certificates are judged as the system judges them, and nothing but HTTP/1.1 is offered.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
