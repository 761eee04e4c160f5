//! Traces for OpenTelemetry: a span for each request and one for each layer that it passes, sent to a collector (OTLP).
//!
//! A request that is traced carries its [`Trace`]: the place under which the next layer begins its [`Span`]. Without a
//! collector there is none, and whoever would begin a span finds `None` in its place; in a trace that is not recorded only
//! the request itself has a place, for the ids that go upstream.
//!
//! Spans that are over wait in a bounded queue for a task that sends them (`outbox`). No request ever waits for it.
//! Names and attributes are those of OpenTelemetry's conventions for HTTP and for generative AI, ours begin with `pegasus.`;
//! no text of a prompt or an answer is among them, nor is a credential.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::trace::{
    SpanBuilder, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::time::Instant;

use crate::config::{self, Config};

use collector::Collector;
use outbox::Outbox;
use peer::Peer;
use span::Clock;

pub(crate) use call::method_name;
pub(crate) use carry::carry;
pub use span::{Span, Trace};

mod call;
mod carry;
mod collector;
mod outbox;
mod parent;
mod peer;
mod span;

/// What begins traces. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    tracer: SdkTracer,
    outbox: Outbox,
    /// Who is called upstream.
    peer: Peer,
}

/// What became of the spans so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// Those that the collector took.
    pub exported: u64,
    /// Those that it did not: there was no room for them, or it refused them, or it was away for too long.
    pub dropped: u64,
    /// Those that wait for it.
    pub waiting: u64,
}

// === impl Telemetry ===

impl Telemetry {
    /// Begins to trace, inside a runtime, where a collector is set. Fails if the TLS library cannot be set up.
    pub fn start(config: &Config) -> Result<Option<Self>, reqwest::Error> {
        let settings = &config.telemetry;
        let Some(endpoint) = &settings.endpoint else {
            return Ok(None);
        };
        let resource = resource(settings);
        let collector = Collector::new(endpoint, settings.headers.clone())?;
        let outbox = Outbox::open(collector, &resource);
        let sampler = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource)
            .with_span_processor(outbox.clone())
            .build();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let shared = Shared {
            tracer: provider.tracer_with_scope(scope),
            outbox,
            peer: Peer::of(&config.upstream.base_url),
        };
        Ok(Some(Self {
            shared: Arc::new(shared),
        }))
    }

    /// The span of a request with this head, in the trace of its client where it is in one. Whether it is recorded is
    /// decided here, for all that is below it.
    pub(crate) fn serve(&self, headers: &HeaderMap, begun: Instant) -> Span {
        let parent = parent::read(headers);
        let context = Context::new();
        let context = match parent {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        let clock = Clock::read(begun);
        // What else there is to say of it is said at its end.
        let builder = SpanBuilder::from_name("HTTP")
            .with_kind(SpanKind::Server)
            .with_start_time(clock.at(begun));
        let span = self.shared.tracer.build_with_context(builder, &context);
        Span::begun(self.clone(), clock, begun, span)
    }

    /// What became of the spans so far.
    pub fn spans(&self) -> Spans {
        self.shared.outbox.spans()
    }

    /// Sends what waits, for so long at most. Spans that end later are dropped.
    pub async fn close(&self, patience: Duration) {
        self.shared.outbox.close(patience).await;
    }
}

/// What is said of this process, beside what `OTEL_RESOURCE_ATTRIBUTES` says.
fn resource(settings: &config::Telemetry) -> Resource {
    let known = Resource::builder().build();
    let own = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    let own = own
        .into_iter()
        .filter(|attribute| known.get(&attribute.key).is_none());
    Resource::builder()
        .with_attributes(own)
        .with_service_name(settings.service_name.clone())
        .build()
}
