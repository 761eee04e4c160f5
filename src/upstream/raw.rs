//! A body that the proxy does not look into, passed on piece by piece.

use futures_util::stream::unfold;

use super::Incoming;
use crate::error::ProxyError;
use crate::reply::{Ending, Frame, Frames};

/// Waits for the first piece, within the request's deadline: until then a failure can still be told as one. Then
/// reads until the body ends; the socket is busy for as long.
pub(super) async fn read(mut incoming: Incoming) -> Result<Frames, ProxyError> {
    let first = incoming.chunk().await?;
    incoming.begin_stream();
    Ok(Box::pin(unfold(
        Some((incoming, Some(first))),
        |state| async {
            let (mut incoming, first) = state?;
            let chunk = match first {
                Some(first) => Ok(first),
                None => incoming.chunk().await,
            };
            match chunk {
                Ok(Some(chunk)) => Some((Ok(Frame::Chunk(chunk)), Some((incoming, None)))),
                Ok(None) => Some((Ok(Frame::End(Ending::default())), None)),
                Err(error) => Some((Err(error), None)),
            }
        },
    )))
}
