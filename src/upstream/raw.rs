//! A body that is passed on piece by piece as it is.

use bytes::Bytes;
use futures_util::stream::{iter, unfold};

use super::incoming::Incoming;
use super::key::Masking;
use super::meter::Meter;
use crate::error::ProxyError;
use crate::reply::{Ending, Frame, Frames};

/// A body on its way through.
struct Passing {
    incoming: Incoming,
    masking: Masking,
    /// Reads along what it costs, where that may be told.
    meter: Option<Meter>,
    /// The piece that was waited for, until it is taken.
    first: Option<Bytes>,
}

/// Waits for the first piece, within the request's deadline: until then a failure can still be told as one. Then
/// reads until the body ends; the socket is busy for as long.
pub(super) async fn read(
    mut incoming: Incoming,
    meter: Option<Meter>,
) -> Result<Frames, ProxyError> {
    let Some(first) = incoming.chunk().await? else {
        return Ok(Box::pin(iter([Ok(Frame::End(Ending::default()))])));
    };
    incoming.begin_stream();
    let passing = Passing {
        incoming,
        masking: Masking::default(),
        meter,
        first: Some(first),
    };
    Ok(Box::pin(unfold(Some(passing), |state| async {
        let mut passing = state?;
        match passing.next().await {
            Ok(Some(chunk)) => Some((Ok(Frame::Chunk(chunk)), Some(passing))),
            Ok(None) => Some((Ok(Frame::End(Ending::default())), None)),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

impl Passing {
    async fn next(&mut self) -> Result<Option<Bytes>, ProxyError> {
        loop {
            let piece = match self.first.take() {
                Some(first) => Some(first),
                None => self.incoming.chunk().await?,
            };
            let Some(piece) = piece else {
                if let Some(meter) = &mut self.meter {
                    meter.end();
                }
                return Ok(self.masking.rest());
            };
            if let Some(meter) = &mut self.meter {
                meter.feed(&piece);
            }
            let Some(key) = self.incoming.own_key() else {
                return Ok(Some(piece));
            };
            let passed = self.masking.pass(key, piece);
            if !passed.is_empty() {
                return Ok(Some(passed));
            }
        }
    }
}
