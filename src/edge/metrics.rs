//! `/metrics`: what Prometheus reads. All labels are bounded; nothing here is a secret, and it asks for no token.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use super::Edge;
use super::document::Open;
use crate::metering::account::Source;
use crate::metering::exposition::{Exposition, Kind, dollars};
use crate::metering::histogram::Histogram;
use crate::metering::overview::{Known, Overview};
use crate::metering::tally::{Figure, Tally};
use crate::telemetry::Spans;

mod layers;
mod learned;
mod prefetch;
mod process;

/// Metrics for Prometheus
///
/// Asks for no token.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses(
        (status = 200, description = "The text format of Prometheus.", body = String, content_type = "text/plain"),
        Open,
    ))]
pub(super) async fn metrics(State(edge): State<Edge>) -> Response {
    let stack = &edge.shared.stack;
    if let Some(books) = &stack.books {
        books.settled().await;
    }
    let known = stack.overview.as_ref().map(Overview::known);
    let mut text = Exposition::default();
    let known = known.unwrap_or_default();
    requests(&mut text, &known);
    amounts(&mut text, &known);
    durations(&mut text, &known);
    layers::write(&mut text, &edge);
    if let Some(telemetry) = &stack.telemetry {
        traces(&mut text, telemetry.spans());
    }
    process::write(&mut text, &edge);
    let mut response = text.into_text().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// What became of the requests that are over.
fn requests(text: &mut Exposition, known: &Known) {
    for (name, figure, help) in [
        (
            "pegasus_nest_requests_total",
            Figure::Requests,
            "Requests that are over, by where their answers came from.",
        ),
        (
            "pegasus_nest_request_errors_total",
            Figure::Errors,
            "Of these, the ones that failed: by their status (4xx included), or after it.",
        ),
        (
            "pegasus_nest_requests_aborted_total",
            Figure::Aborted,
            "Of these, the ones whose clients left before the end.",
        ),
    ] {
        text.metric(name, Kind::Counter, help);
        for (series, sums) in &known.by {
            let labels = [
                ("model", &*series.model),
                ("endpoint", series.endpoint),
                ("source", series.source),
            ];
            text.sample(name, &labels, sums.get(figure));
        }
    }
    let name = "pegasus_nest_responses_total";
    text.metric(
        name,
        Kind::Counter,
        "The same requests by the status of their response (0: the client left before there was one) and what went wrong.",
    );
    for ((status, error), count) in &known.responses {
        let status = itoa::Buffer::new().format(*status).to_owned();
        text.sample(name, &[("code", &status), ("error", error)], count);
    }
}

/// The tokens and the money of the requests that are over.
fn amounts(text: &mut Exposition, known: &Known) {
    let mut models = BTreeMap::<&str, Tally>::new();
    let mut all = Tally::default();
    for (series, sums) in &known.by {
        models.entry(&series.model).or_default().add(sums);
        all.add(sums);
    }
    let name = "pegasus_nest_tokens_total";
    text.metric(name, Kind::Counter, "Tokens that were paid for.");
    for (model, sums) in &models {
        for (kind, figure) in [
            ("prompt", Figure::PromptTokens),
            ("completion", Figure::CompletionTokens),
        ] {
            text.sample(name, &[("model", model), ("kind", kind)], sums.get(figure));
        }
    }
    for (name, figure, help) in [
        (
            "pegasus_nest_cached_tokens_total",
            Figure::CachedTokens,
            "Of the prompt tokens, those that the provider's own cache had.",
        ),
        (
            "pegasus_nest_cache_write_tokens_total",
            Figure::CacheWriteTokens,
            "Of the prompt tokens, those that the provider's own cache took in.",
        ),
        (
            "pegasus_nest_reasoning_tokens_total",
            Figure::ReasoningTokens,
            "Of the completion tokens, those that the model thought with.",
        ),
        (
            "pegasus_nest_requests_unpriced_total",
            Figure::Unpriced,
            "Requests whose tokens have no price.",
        ),
    ] {
        text.metric(name, Kind::Counter, help);
        for (model, sums) in &models {
            text.sample(name, &[("model", model)], sums.get(figure));
        }
    }
    let name = "pegasus_nest_requests_counted_total";
    text.metric(
        name,
        Kind::Counter,
        "Requests with tokens, by how sure their number is.",
    );
    for (certainty, figure) in [
        ("reported", Figure::Reported),
        ("exact", Figure::Exact),
        ("estimated", Figure::Estimated),
    ] {
        text.sample(name, &[("certainty", certainty)], all.get(figure));
    }
    let name = "pegasus_nest_tokens_saved_total";
    text.metric(
        name,
        Kind::Counter,
        "Tokens that were not paid for, by the layer that saved them.",
    );
    for (model, sums) in &models {
        for (layer, figure) in [
            ("cache", Figure::CacheTokensSaved),
            ("dedup", Figure::DedupTokensSaved),
            ("compression", Figure::CompressionTokensSaved),
        ] {
            let labels = [("model", *model), ("layer", layer)];
            text.sample(name, &labels, sums.get(figure));
        }
    }
    let name = "pegasus_nest_cost_usd_total";
    text.metric(name, Kind::Counter, "What the answers cost, in US dollars.");
    for (model, sums) in &models {
        text.sample(name, &[("model", model)], dollars(sums.get(Figure::Cost)));
    }
    let name = "pegasus_nest_saved_usd_total";
    text.metric(
        name,
        Kind::Counter,
        "What was saved, in US dollars, by the layer that saved it.",
    );
    for (model, sums) in &models {
        for (layer, saved) in sums.savings() {
            text.sample(name, &[("model", model), ("layer", layer)], dollars(saved));
        }
    }
}

/// What became of the spans of traces.
fn traces(text: &mut Exposition, spans: Spans) {
    for (name, kind, help, value) in [
        (
            "pegasus_nest_trace_spans_exported_total",
            Kind::Counter,
            "Spans that the collector of traces took.",
            spans.exported,
        ),
        (
            "pegasus_nest_trace_spans_dropped_total",
            Kind::Counter,
            "Spans that it did not take: there was no room for them, it refused them, or it was away for too long.",
            spans.dropped,
        ),
        (
            "pegasus_nest_trace_spans_waiting",
            Kind::Gauge,
            "Spans that wait for it.",
            spans.waiting,
        ),
    ] {
        text.single(name, kind, help, value);
    }
}

/// How long the requests took that are over.
fn durations(text: &mut Exposition, known: &Known) {
    let name = "pegasus_nest_request_duration_seconds";
    text.metric(
        name,
        Kind::Histogram,
        "From a request's head to the last byte of its response, by where the answer came from.",
    );
    let answered = Source::ALL.into_iter();
    for source in answered.filter(|source| *source != Source::None) {
        let labels = [("source", source.as_str())];
        text.histogram(name, &labels, &known.times_of(source).total);
    }
    let mut single = |name: &str, help: &str, histogram: &Histogram| {
        text.metric(name, Kind::Histogram, help);
        text.histogram(name, &[], histogram);
    };
    single(
        "pegasus_nest_upstream_duration_seconds",
        "Until the head of the upstream's answer was here, all attempts together.",
        &known.all_times(|times| &times.upstream),
    );
    single(
        "pegasus_nest_time_to_first_token_seconds",
        "From a request's head until the first event of its stream was on its way to the client.",
        &known.all_times(|times| &times.first_token),
    );
    single(
        "pegasus_nest_added_duration_seconds",
        "What the proxy added: until the head of the response was made, less the wait for the upstream.",
        &known.all_times(|times| &times.added),
    );
}
