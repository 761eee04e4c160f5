//! A body that the proxy does not look into, passed on piece by piece.

use futures_util::stream::unfold;

use super::Incoming;
use crate::reply::{Ending, Frame, Frames};

/// Reads until the body ends; the socket is busy for as long.
pub(super) fn read(mut incoming: Incoming) -> Frames {
    // The head was the first byte.
    incoming.begin_stream();
    Box::pin(unfold(Some(incoming), |state| async {
        let mut incoming = state?;
        match incoming.chunk().await {
            Ok(Some(chunk)) => Some((Ok(Frame::Chunk(chunk)), Some(incoming))),
            Ok(None) => Some((Ok(Frame::End(Ending::default())), None)),
            Err(error) => Some((Err(error), None)),
        }
    }))
}
