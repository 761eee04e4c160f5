//! Prompts that no answer can come of: longer than their models read.

use http::StatusCode;

use crate::chat::Certainty;
use crate::error::ProxyError;
use crate::metering::Metrics;
use crate::metering::tokens::count::overflows;
use crate::request::{ProxyRequest, aside};

/// Refuses a prompt that is surely longer than its model can read: whoever is asked would do the same, after the whole
/// of it has been sent.
pub(super) fn refuse_overflow(request: &ProxyRequest, metrics: &Metrics) -> Result<(), ProxyError> {
    let Some(json) = request.chat().and_then(|_| request.outgoing()) else {
        return Ok(());
    };
    // What is asked for here makes the upstream shorten the prompt, or choose another model.
    let is_flexible = ["models", "transforms", "plugins", "route"]
        .iter()
        .any(|field| json.root().get(field).is_some());
    if is_flexible {
        return Ok(());
    }
    let model = request.model().unwrap_or_default();
    let Some(window) = metrics.context_window(model) else {
        return Ok(());
    };
    // A token is a byte at least.
    if (json.text().len() as u64) < window {
        return Ok(());
    }
    let Some(overflow) = aside(true, || overflows(model, json.root(), window)) else {
        return Ok(());
    };
    let (tokens, about) = match overflow.certainty {
        Certainty::Exact => (overflow.at_least, ""),
        _ => (overflow.at_least, "about "),
    };
    let message = format!(
        "the messages have {about}{tokens} tokens or more, and {model} reads {window} at most; send less of the \
         conversation, or ask a model with a larger context window"
    );
    Err(ProxyError::reject_below(
        StatusCode::UNPROCESSABLE_ENTITY,
        "context_length_exceeded",
        message,
    ))
}
