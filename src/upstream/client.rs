//! The client, in the one of two forms that `upstream.http2` asks for, and the bodies that it brings.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, Response};
use http_body::Body as _;
use reqwest::Url;

use super::failure::classify;
use super::http1::{self, Http1};
use super::negotiated::Negotiated;
use crate::config;
use crate::error::ProxyError;
use crate::request::Socket;

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS library cannot.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// reqwest cannot.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// A client for one upstream.
pub(super) enum Client {
    /// Over HTTP/1.1 a call is a socket, so that the caps count sockets.
    Http1(Box<Http1>),
    Negotiated(Box<Negotiated>),
}

/// What is to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    /// Below the upstream's own.
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A body as it comes, undecoded.
pub(super) enum Arriving {
    Http1(http1::Body),
    Negotiated(reqwest::Body),
}

// === impl Client ===

impl Client {
    /// A client with so many sockets at most.
    pub(super) fn new(config: &config::Upstream, cap: usize) -> Result<Self, SetupError> {
        Ok(if config.http2 {
            Self::Negotiated(Box::new(Negotiated::new(config, cap)?))
        } else {
            Self::Http1(Box::new(Http1::new(config)?))
        })
    }

    /// How many connections wait for a call, where that is known.
    pub(super) fn idle(&self) -> Option<usize> {
        match self {
            Self::Http1(client) => Some(client.idle()),
            Self::Negotiated(_) => None,
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing<'_>,
        socket: Socket,
    ) -> Result<Response<Arriving>, ProxyError> {
        match self {
            Self::Http1(client) => {
                let response = client.send(outgoing, socket).await?;
                Ok(response.map(Arriving::Http1))
            }
            Self::Negotiated(client) => {
                let response = client.send(outgoing, socket).await?;
                Ok(response.map(Arriving::Negotiated))
            }
        }
    }
}

// === impl Arriving ===

impl Arriving {
    /// How long it is, where that is known beforehand.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Http1(body) => body.length(),
            Self::Negotiated(body) => body.size_hint().exact(),
        }
    }

    /// The next piece; `None` after the last.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ProxyError>>> {
        let body = match self {
            Self::Http1(body) => return body.poll_chunk(cx),
            Self::Negotiated(body) => body,
        };
        loop {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(classify(&error)))),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
            }
        }
    }
}

/// For decoders, which read bytes or fail as files do.
impl Stream for Arriving {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
            .map(|chunk| chunk.map(|chunk| chunk.map_err(io::Error::other)))
    }
}

/// The URL of a path below the upstream's.
pub(super) fn url(base_url: &str, path: &str) -> Result<Url, ProxyError> {
    Url::parse(&format!("{base_url}{path}")).map_err(|_| not_a_url())
}

/// What a request becomes that cannot be asked for.
pub(super) fn not_a_url() -> ProxyError {
    ProxyError::InvalidAnswer("the request cannot be put into a URL".into())
}
