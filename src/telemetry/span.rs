//! Spans on the way of a request: where it is, what begins there, and when that is over.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, Status, TraceContextExt as _, TraceId, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Telemetry, parent};

/// A place in a trace: what begins there is its child. Cheap to clone.
#[derive(Clone)]
pub struct Trace {
    node: Arc<Node>,
}

/// A span that is under way. It ends when it is dropped, and says that it was broken off, unless it was finished.
pub struct Span {
    here: Trace,
    is_over: bool,
    /// It says how long the first chunk of its stream took.
    tells_first: bool,
}

struct Node {
    telemetry: Telemetry,
    clock: Clock,
    context: SpanContext,
    begun: Instant,
    /// Nothing in a trace that is not recorded.
    record: Option<Mutex<Record>>,
}

struct Record {
    span: trace::Span,
    has_failed: bool,
}

/// One look at people's clock for all spans of a request: they fit together, whoever sets it meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    wall: SystemTime,
    begun: Instant,
}

// === impl Clock ===

impl Clock {
    /// The clock as it stands, for a request that began at this moment.
    pub(super) fn read(begun: Instant) -> Self {
        let wall = SystemTime::now();
        let since = begun.elapsed();
        Self {
            wall: wall.checked_sub(since).unwrap_or(wall),
            begun,
        }
    }

    /// What it showed at a moment.
    pub(super) fn at(self, moment: Instant) -> SystemTime {
        self.wall + moment.saturating_duration_since(self.begun)
    }
}

// === impl Trace ===

impl Trace {
    /// The id of the trace, whether it is recorded or not.
    pub fn id(&self) -> TraceId {
        self.node.context.trace_id()
    }

    /// The span that is its place.
    pub(crate) fn context(&self) -> &SpanContext {
        &self.node.context
    }

    /// Whether anybody will see it.
    pub(crate) fn is_recorded(&self) -> bool {
        self.node.record.is_some()
    }

    /// Begins a span below this one; none in a trace that is not recorded.
    pub(crate) fn begin(&self, name: &'static str) -> Option<Span> {
        self.begin_at(name, Instant::now())
    }

    /// The same for what has begun already.
    pub(crate) fn begin_at(&self, name: &'static str, begun: Instant) -> Option<Span> {
        self.is_recorded()
            .then(|| self.child(SpanBuilder::from_name(name), begun))
    }

    pub(super) fn child(&self, builder: SpanBuilder, begun: Instant) -> Span {
        let Node {
            telemetry,
            clock,
            context,
            ..
        } = &*self.node;
        let builder = builder.with_start_time(clock.at(begun));
        let above = Context::new().with_remote_span_context(context.clone());
        let span = telemetry.shared.tracer.build_with_context(builder, &above);
        Span::begun(telemetry.clone(), *clock, begun, span)
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.node.telemetry
    }

    /// Says in the headers of a request that it comes from here.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        parent::write(&self.node.context, headers);
    }

    /// Notes something about the span.
    pub(crate) fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.with(|record| record.span.set_attribute(KeyValue::new(key, value)));
    }

    /// Notes a number about it.
    pub(crate) fn set_number(&self, key: &'static str, value: u64) {
        self.set(key, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Notes a name that others chose, as much of it as is kept.
    pub(crate) fn set_name(&self, key: &'static str, value: &str) {
        self.set(key, clip(value));
    }

    /// Gives the span its last name.
    pub(crate) fn rename(&self, name: impl Into<Cow<'static, str>>) {
        self.with(|record| record.span.update_name(name));
    }

    /// Notes that it is about what another span does.
    pub(crate) fn link(&self, other: &SpanContext) {
        self.with(|record| record.span.add_link(other.clone(), Vec::new()));
    }

    /// Notes that it failed, and how. The first failure counts.
    pub(crate) fn fail(&self, kind: impl Into<Value>) {
        self.with(|record| {
            if !std::mem::replace(&mut record.has_failed, true) {
                record.span.set_attribute(KeyValue::new("error.type", kind));
                record.span.set_status(Status::error(""));
            }
        });
    }

    /// Notes that it failed if the answer says so, as clients of HTTP see it.
    pub(crate) fn judge(&self, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.fail(status.as_str().to_owned());
        }
    }

    fn with(&self, note: impl FnOnce(&mut Record)) {
        if let Some(record) = &self.node.record {
            note(&mut record.lock());
        }
    }
}

/// As much of a name as is kept: clients and upstreams choose its length.
pub(super) fn clip(name: &str) -> String {
    crate::metering::account::clip(name).to_owned()
}

// === impl Span ===

impl Span {
    pub(super) fn begun(
        telemetry: Telemetry,
        clock: Clock,
        begun: Instant,
        span: trace::Span,
    ) -> Self {
        let context = span.span_context().clone();
        let record = span.is_recording().then(|| {
            Mutex::new(Record {
                span,
                has_failed: false,
            })
        });
        let node = Node {
            telemetry,
            clock,
            context,
            begun,
            record,
        };
        Self {
            here: Trace {
                node: Arc::new(node),
            },
            is_over: false,
            tells_first: false,
        }
    }

    /// The same, which says how long the first chunk of its stream took.
    pub(super) fn telling_first(mut self) -> Self {
        self.tells_first = true;
        self
    }

    /// The first chunk of its stream is here.
    pub(super) fn note_first(&mut self) {
        if std::mem::take(&mut self.tells_first) {
            let waited = self.here.node.begun.elapsed().as_secs_f64();
            self.set("gen_ai.response.time_to_first_chunk", waited);
        }
    }

    /// Its place.
    pub fn here(&self) -> &Trace {
        &self.here
    }

    /// Ends it in the orderly way.
    pub(crate) fn finish(mut self) {
        self.is_over = true;
    }
}

impl Deref for Span {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.here
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (is_over, clock) = (self.is_over, self.here.node.clock);
        self.with(|record| {
            if !is_over {
                let cancelled = KeyValue::new("pegasus.cancelled", true);
                record.span.set_attribute(cancelled);
            }
            record.span.end_with_timestamp(clock.at(Instant::now()));
        });
    }
}
