//! The bytes of a connection, plain or through TLS, and how many may come before an answer's head.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many bytes may come before the head of an answer is complete. hyper refuses a head of 400 KiB, but takes any
/// number of informational ones before it. What it reads ahead of the body counts as well.
const BEFORE_HEAD: usize = 2 * 1024 * 1024;

/// A connection's two directions.
pub(super) struct Stream {
    socket: Socket,
    allowance: Allowance,
}

enum Socket {
    Plain(TcpStream),
    /// Apart, since it is ten times as large.
    Tls(Box<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>),
}

/// How many bytes may still come.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicUsize>);

/// More than that came.
#[derive(Debug, thiserror::Error)]
#[error("{BEFORE_HEAD} bytes came and no head")]
pub(in crate::upstream) struct Headless;

// === impl Allowance ===

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// A head is expected.
    pub(super) fn limit(&self) {
        self.0.store(BEFORE_HEAD, Ordering::Relaxed);
    }

    /// The head is here. How long a body may be is for others to say.
    pub(super) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) -> Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left == usize::MAX {
            return Ok(());
        }
        let left = left.checked_sub(bytes);
        let left = left.ok_or_else(|| Error::new(ErrorKind::InvalidData, Headless))?;
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(
        connected: MaybeHttpsStream<TokioIo<TcpStream>>,
        allowance: Allowance,
    ) -> Self {
        let socket = match connected {
            MaybeHttpsStream::Http(plain) => Socket::Plain(plain.into_inner()),
            tls @ MaybeHttpsStream::Https(_) => Socket::Tls(Box::new(TokioIo::new(tls))),
        };
        Self { socket, allowance }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.socket {
            Socket::Plain(plain) => Pin::new(plain).poll_read(cx, buffer),
            Socket::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        })?;
        Poll::Ready(self.allowance.spend(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        match &mut self.socket {
            Socket::Plain(plain) => Pin::new(plain).poll_write(cx, bytes),
            Socket::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match &mut self.socket {
            Socket::Plain(plain) => Pin::new(plain).poll_write_vectored(cx, slices),
            Socket::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(plain) => plain.is_write_vectored(),
            Socket::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.socket {
            Socket::Plain(plain) => Pin::new(plain).poll_flush(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.socket {
            Socket::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
