//! What spans say of a call upstream: the call itself as the conventions for generative AI have it, and below it each
//! attempt as those for HTTP do.

use http::Method;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use tokio::time::Instant;

use super::span::clip;
use super::{Span, Trace};
use crate::chat::{Certainty, Usage};
use crate::json::Node;
use crate::request::ProxyRequest;

/// What a call is for, by where it goes; none: for nothing that a model does.
fn operation(path: &str) -> Option<&'static str> {
    match path.split('?').next().unwrap_or_default() {
        "/chat/completions" | "/responses" | "/messages" => Some("chat"),
        "/completions" => Some("text_completion"),
        "/embeddings" => Some("embeddings"),
        _ => None,
    }
}

/// A method as traces name it: clients can make up others.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

impl Trace {
    /// Begins the span of a call with all its attempts.
    pub(crate) fn begin_call(&self, request: &ProxyRequest) -> Option<Span> {
        if !self.is_recorded() {
            return None;
        }
        let begun = Instant::now();
        let Some(operation) = operation(&request.parts().path) else {
            return Some(self.child(SpanBuilder::from_name("retry"), begun));
        };
        let peer = &self.telemetry().shared.peer;
        let model = request.model().map(clip);
        let name = match &model {
            Some(model) => format!("{operation} {model}"),
            None => operation.to_owned(),
        };
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.provider.name", peer.provider),
            KeyValue::new("server.address", peer.address.to_string()),
            KeyValue::new("server.port", i64::from(peer.port)),
        ];
        attributes.extend(model.map(|model| KeyValue::new("gen_ai.request.model", model)));
        if request.wants_stream() {
            attributes.push(KeyValue::new("gen_ai.request.stream", true));
        }
        if let Some(json) = request.outgoing() {
            attributes.extend(settings(json.root()));
        }
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        Some(self.child(builder, begun).telling_first())
    }

    /// Begins the span of one attempt.
    pub(crate) fn begin_attempt(&self, request: &ProxyRequest) -> Option<Span> {
        if !self.is_recorded() {
            return None;
        }
        let parts = request.parts();
        let peer = &self.telemetry().shared.peer;
        let method = method_name(&parts.method);
        // What follows a ? can be a key.
        let path = parts.path.split('?').next().unwrap_or_default();
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.address", peer.address.to_string()),
            KeyValue::new("server.port", i64::from(peer.port)),
            KeyValue::new("url.full", clip(&format!("{}{path}", peer.url))),
        ];
        if request.resends > 0 {
            let count = KeyValue::new("http.request.resend_count", i64::from(request.resends));
            attributes.push(count);
        }
        let builder = SpanBuilder::from_name(method)
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        Some(self.child(builder, Instant::now()))
    }

    /// Notes what a call's answer used and cost, or as much of it as came. Tokens stand nowhere else: whoever adds them up
    /// gets what was paid for.
    pub(crate) fn note_usage(&self, usage: Usage, served: Option<&str>) {
        if !self.is_recorded() {
            return;
        }
        if let Some(served) = served {
            self.set_name("gen_ai.response.model", served);
        }
        self.set_number("gen_ai.usage.input_tokens", usage.prompt_tokens);
        self.set_number("gen_ai.usage.output_tokens", usage.completion_tokens);
        for (key, tokens) in [
            ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
            (
                "gen_ai.usage.cache_creation.input_tokens",
                usage.cache_write_tokens,
            ),
            (
                "gen_ai.usage.reasoning.output_tokens",
                usage.reasoning_tokens,
            ),
        ] {
            if tokens > 0 {
                self.set_number(key, tokens);
            }
        }
        if usage.certainty != Certainty::Reported {
            self.set("pegasus.usage.certainty", usage.certainty.as_str());
        }
        if let Some(cost) = usage.cost_nano_usd {
            self.set_number("pegasus.cost_nano_usd", cost);
        }
    }

    /// Notes how the choices of a call's answer ended.
    pub(crate) fn note_endings(&self, endings: impl Iterator<Item = &'static str>) {
        let endings: Vec<StringValue> = endings.map(Into::into).collect();
        if !endings.is_empty() {
            let endings = Value::Array(Array::String(endings));
            self.set("gen_ai.response.finish_reasons", endings);
        }
    }
}

/// The settings of a request that explain the length and the variety of its answers.
fn settings(root: &Node) -> impl Iterator<Item = KeyValue> {
    let number = |field| root.get(field).and_then(Node::as_f64);
    let limit = number("max_tokens").or_else(|| number("max_completion_tokens"));
    // What is no whole number of a sensible size is refused upstream.
    let limit = limit.and_then(|limit| limit.to_string().parse::<i64>().ok());
    let limit = limit.map(|limit| KeyValue::new("gen_ai.request.max_tokens", limit));
    let fractions = [
        ("temperature", "gen_ai.request.temperature"),
        ("top_p", "gen_ai.request.top_p"),
    ];
    let fractions = fractions
        .into_iter()
        .filter_map(move |(field, key)| Some(KeyValue::new(key, number(field)?)));
    limit.into_iter().chain(fractions)
}
