//! Traces as a collector gets them: which spans a request leaves, what they say, and what becomes of them where the
//! collector does not do its part.

use serde_json::Value;

use crate::support::{Proxy, Upstream};

use collector::{Collector, Span};

mod collector;
mod context;
mod failures;
mod settings;
mod shared;
mod trouble;
mod ways;

/// The kinds of spans, as OTLP numbers them.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A `traceparent` of a client who records its trace.
fn recorded() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// A proxy before a scripted upstream, and a collector of its traces.
struct Site {
    proxy: Proxy,
    upstream: Upstream,
    collector: Collector,
}

impl Site {
    async fn start(settings: &str) -> Self {
        let upstream = Upstream::start().await;
        let collector = Collector::start().await;
        let settings = format!("{}{settings}", collector.setting());
        let proxy = Proxy::start(&settings, &upstream).await;
        Self {
            proxy,
            upstream,
            collector,
        }
    }

    /// Ends the proxy, which sends what it has; gives all spans, in the order in which they began.
    async fn end(self) -> Vec<Span> {
        self.proxy.stop().await;
        self.collector.spans()
    }
}

/// The names of spans as a tree, each with the names of its children in brackets, in the order in which they began.
fn tree(spans: &[Span]) -> String {
    let roots = spans
        .iter()
        .filter(|span| !spans.iter().any(|other| other.id == span.parent));
    let drawn: Vec<_> = roots.map(|root| branch(root, spans)).collect();
    drawn.join(", ")
}

fn branch(of: &Span, spans: &[Span]) -> String {
    let below = spans.iter().filter(|span| span.parent == of.id);
    let below: Vec<_> = below.map(|span| branch(span, spans)).collect();
    if below.is_empty() {
        of.name.clone()
    } else {
        format!("{} [{}]", of.name, below.join(", "))
    }
}

/// The spans of one trace.
fn of(trace: &str, spans: &[Span]) -> Vec<Span> {
    let spans = spans.iter().filter(|span| span.trace == trace);
    spans.cloned().collect()
}

/// The only span of this name.
fn one<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    match (named.next(), named.next()) {
        (Some(span), None) => span,
        (first, _) => panic!(
            "{} {name:?} in {spans:#?}",
            if first.is_some() { "several" } else { "no" }
        ),
    }
}

/// Checks what a span says under these names; null: nothing.
#[track_caller]
fn assert_says(span: &Span, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(span.says(name), *value, "{name} of {span:#?}");
    }
}
