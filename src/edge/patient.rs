//! A socket that gives up on a client which does not read.
//!
//! hyper waits for such a client for ever, and with it wait its place, its stream and the upstream socket
//! behind that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

pin_project! {
    /// A stream whose writes fail once nothing could be written for a while.
    pub(super) struct Patient<T> {
        #[pin]
        io: T,
        write_timeout: Duration,
        // Runs while a write is stuck. Boxed, because hyper wants its sockets movable.
        stuck: Option<Pin<Box<Sleep>>>,
    }
}

impl<T> Patient<T> {
    pub(super) fn new(io: T, write_timeout: Duration) -> Self {
        Self {
            io,
            write_timeout,
            stuck: None,
        }
    }

    /// Lets a step of writing through, and the clock run while it is stuck.
    fn watch<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let this = self.project();
        if let Poll::Ready(result) = step(this.io, cx) {
            *this.stuck = None;
            return Poll::Ready(result);
        }
        let stuck = this
            .stuck
            .get_or_insert_with(|| Box::pin(sleep(*this.write_timeout)));
        match stuck.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let message = "the client reads nothing for server.write_timeout";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead> AsyncRead for Patient<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite> AsyncWrite for Patient<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watch(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch(cx, |io, cx| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stuck_write_ends_and_a_slow_one_does_not() {
        let (mut client, server) = duplex(8);
        let mut server = Patient::new(server, Duration::from_secs(30));
        let slow = async {
            sleep(Duration::from_secs(29)).await;
            client.read_exact(&mut [0; 8]).await
        };
        let (written, read) = tokio::join!(server.write_all(&[0; 16]), slow);
        written.unwrap();
        read.unwrap();
        let stuck = server.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
    }
}
