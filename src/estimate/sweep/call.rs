//! One call upstream as a lane sees it: when it ends, what it costs, and what it leaves behind.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::Spelled;
use crate::chat::{Quality, Usage};
use crate::estimate::asked::Outcome;
use crate::estimate::upstream::paid;
use crate::fingerprint::Fingerprint;
use crate::metering::Metrics;
use crate::request::ProxyRequest;

/// A call that a request would begin.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) question: Fingerprint,
    /// When it ends, in milliseconds of the replay.
    pub(super) end: u64,
    /// What came of it.
    pub(super) came: Came,
    pub(super) model: Arc<str>,
    /// Who shares its answer.
    pub(super) owner: Fingerprint,
    /// The tokens that compression took out of this request.
    pub(super) saved: u64,
    /// Whether the proxy put a limit of its own into it.
    pub(super) is_limited: bool,
}

/// What came of a call.
#[derive(Clone)]
pub(super) enum Came {
    Answer(Sold),
    /// It failed.
    Failure {
        /// Whether a stale answer may stand in for it.
        is_excuse: bool,
        /// Whether there is a reply to pass on all the same.
        is_reply: bool,
    },
}

/// An answer that is paid for.
#[derive(Clone)]
pub(super) struct Sold {
    /// With what it cost.
    pub(super) usage: Usage,
    pub(super) served: Option<Arc<str>>,
    pub(super) quality: Quality,
    /// Its length in bytes.
    pub(super) length: usize,
}

// === impl Call ===

impl Call {
    /// The call of a request at one level of compression.
    pub(super) fn new(
        metrics: &Metrics,
        request: &ProxyRequest,
        spelled: Spelled,
        outcome: &Outcome,
        end: u64,
    ) -> Self {
        let model = request.model_name().unwrap_or_default();
        let came = match outcome {
            Outcome::Answer(body, worth) => {
                let served = worth.served.as_deref();
                let usage = paid(metrics, &model, served, worth.usage, spelled.saved);
                let cost_nano_usd = metrics.price(&model, served, usage);
                Came::Answer(Sold {
                    usage: Usage {
                        cost_nano_usd,
                        ..usage
                    },
                    served: worth.served.clone(),
                    quality: worth.quality,
                    length: body.len(),
                })
            }
            Outcome::Error(status, _) => Came::Failure {
                is_excuse: matches!(
                    *status,
                    StatusCode::INTERNAL_SERVER_ERROR
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                ),
                is_reply: true,
            },
            Outcome::Unusable(_) => Came::Failure {
                is_excuse: true,
                is_reply: false,
            },
        };
        Self {
            question: spelled.question,
            end,
            came,
            model,
            owner: request.owner(),
            saved: spelled.saved,
            is_limited: request
                .chat()
                .is_some_and(|chat| !chat.injected().is_empty()),
        }
    }
}

/// Bytes of any length that take no memory of their own: what answers say is nothing to a lane, how long they are is.
pub(super) struct Blank(Bytes);

impl Blank {
    pub(super) fn new() -> Self {
        Self(Bytes::new())
    }

    pub(super) fn of(&mut self, length: usize) -> Bytes {
        if self.0.len() < length {
            self.0 = vec![0; length.next_power_of_two()].into();
        }
        self.0.slice(..length)
    }
}
