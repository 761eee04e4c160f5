//! What speaks against a call that would pay: clients come first, and an upstream that is unwell is left alone.

use std::sync::atomic::Ordering;

use super::{Shared, Surroundings};
use crate::request::Again;
use crate::upstream::Upstream;

/// With more than the half of the sockets, or of the places for clients' requests, in use, clients come first.
const BUSY: usize = 2;

/// Why an order is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It did not pay lately.
    Stopped,
    /// The day's money is spent.
    Budget,
    /// Too many of all calls are made ahead.
    Share,
    /// The model's circuit is not closed, or calls are being repeated.
    Unwell,
    /// Clients wait, or nearly.
    Busy,
    /// What it takes to ask is not kept.
    Forgotten,
    /// Its client's own budget is used up.
    Payer,
}

impl Held {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Stopped,
        Self::Budget,
        Self::Share,
        Self::Unwell,
        Self::Busy,
        Self::Forgotten,
        Self::Payer,
    ];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Budget => "budget",
            Self::Share => "share",
            Self::Unwell => "unwell",
            Self::Busy => "busy",
            Self::Forgotten => "forgotten",
            Self::Payer => "payer",
        }
    }
}

/// Whether a call may be made, as far as all but its own money is concerned.
pub(super) fn pass(shared: &Shared, around: &Surroundings, again: &Again) -> Result<(), Held> {
    if is_busy(shared) {
        return Err(Held::Busy);
    }
    let circuits = around.circuits.as_ref();
    let is_closed = circuits.is_none_or(|circuits| circuits.is_closed(again.model()));
    if !is_closed || !around.reserve.is_full() {
        return Err(Held::Unwell);
    }
    let budget = again.payer().budget.as_ref();
    if budget.is_some_and(|budget| budget.admit().is_err()) {
        return Err(Held::Payer);
    }
    Ok(())
}

/// Whether clients wait, or would soon, or no more of them are let in.
fn is_busy(shared: &Shared) -> bool {
    let sockets = shared.upstream.get().map(Upstream::sockets);
    let is_short = sockets.is_some_and(|used| used.waiting > 0 || used.in_use * BUSY > used.limit);
    let places = shared.places.get();
    let is_crowded = places.is_some_and(|(free, limit)| free.available_permits() * BUSY < *limit);
    is_short || is_crowded || shared.is_stopping.load(Ordering::Relaxed)
}
