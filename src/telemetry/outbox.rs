//! Spans that are over, on their way to the collector.
//!
//! To put one in costs a request no lock and no wait: where there is no room it is dropped and counted. A task takes what
//! has gathered and sends it, and tries again for a while where the collector is away. That it is away is told once, and
//! once that it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Spans;
use super::collector::{Collector, Refusal};
use crate::metering::Counter;

/// Spans that may wait (about 20 MiB).
const MAX_WAITING: usize = 16 * 1024;
/// Spans that are sent at once.
const MOST: usize = 512;
/// How long spans gather before they are sent.
const REST: Duration = Duration::from_millis(500);
/// How long to wait for a collector that is away; it doubles with each try, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// For so long the same spans are tried; after that, later ones say more.
const PATIENCE: Duration = Duration::from_mins(1);

/// Takes spans. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    spans: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
    closing: Arc<watch::Sender<bool>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Debug, Default)]
struct Counts {
    exported: Counter,
    dropped: Counter,
    /// Taken out of the queue and not yet sent.
    in_hand: AtomicU64,
}

/// Sends spans.
struct Carrier {
    spans: mpsc::Receiver<SpanData>,
    counts: Arc<Counts>,
    closing: watch::Receiver<bool>,
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    trouble: Option<Trouble>,
}

/// A collector that does not take spans.
struct Trouble {
    since: Instant,
    /// Spans that had been dropped before.
    dropped: u64,
    pause: Duration,
}

// === impl Outbox ===

impl Outbox {
    /// An outbox for this collector, inside a runtime.
    pub(super) fn open(collector: Collector, resource: &Resource) -> Self {
        let (sender, spans) = mpsc::channel(MAX_WAITING);
        let closing = watch::Sender::new(false);
        let counts = Arc::<Counts>::default();
        let carrier = Carrier {
            spans,
            counts: Arc::clone(&counts),
            closing: closing.subscribe(),
            collector,
            resource: resource.into(),
            trouble: None,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it belongs to no request; it ends when the outbox is closed or dropped"
        )]
        let task = tokio::spawn(carrier.run());
        Self {
            spans: sender,
            counts,
            closing: Arc::new(closing),
            task: Arc::new(Mutex::new(Some(task))),
        }
    }

    /// What became of the spans so far.
    pub(super) fn spans(&self) -> Spans {
        let queued = self.spans.max_capacity() - self.spans.capacity();
        Spans {
            exported: self.counts.exported.get(),
            dropped: self.counts.dropped.get(),
            waiting: queued as u64 + self.counts.in_hand.load(Ordering::Relaxed),
        }
    }

    /// Sends what waits, for so long at most.
    pub(super) async fn close(&self, patience: Duration) {
        self.closing.send_replace(true);
        let task = self.task.lock().take();
        let Some(mut task) = task else { return };
        if timeout(patience, &mut task).await.is_err() {
            task.abort();
            let lost = self.spans().waiting;
            tracing::warn!(
                lost,
                "the collector of traces did not take the last spans in time"
            );
        }
    }
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.counts.dropped.add(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        // Nobody may block here: whoever waits for the last spans closes the outbox.
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.closing.send_replace(true);
        Ok(())
    }
}

// === impl Carrier ===

impl Carrier {
    async fn run(mut self) {
        let mut spans = Vec::with_capacity(MOST);
        while self.gather(&mut spans).await {
            let count = spans.len() as u64;
            self.counts.in_hand.store(count, Ordering::Relaxed);
            let groups = group_spans_by_resource_and_scope(
                std::mem::replace(&mut spans, Vec::with_capacity(MOST)),
                &self.resource,
            );
            let request = ExportTraceServiceRequest {
                resource_spans: groups,
            };
            self.deliver(request.encode_to_vec().into(), count).await;
            self.counts.in_hand.store(0, Ordering::Relaxed);
        }
    }

    /// Waits for spans and lets more of them gather; false once no more will come.
    async fn gather(&mut self, spans: &mut Vec<SpanData>) -> bool {
        let mut due = None;
        while spans.len() < MOST && !self.is_closing() {
            let room = MOST - spans.len();
            let rest = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                came = self.spans.recv_many(spans, room) => {
                    if came == 0 {
                        break;
                    }
                    self.counts.in_hand.store(spans.len() as u64, Ordering::Relaxed);
                    due.get_or_insert_with(|| Instant::now() + REST);
                }
                _ = self.closing.wait_for(|is_closing| *is_closing) => {}
                () = rest => return true,
            }
        }
        while spans.len() < MOST
            && let Ok(span) = self.spans.try_recv()
        {
            spans.push(span);
        }
        !spans.is_empty()
    }

    /// Sends so many spans until they are taken or given up, and counts them.
    async fn deliver(&mut self, body: Bytes, count: u64) {
        let begun = Instant::now();
        loop {
            let refusal = match self.collector.post(body.clone()).await {
                Ok(unwanted) => {
                    let unwanted = unwanted.min(count);
                    self.counts.exported.add(count - unwanted);
                    self.counts.dropped.add(unwanted);
                    return self.well(unwanted);
                }
                Err(refusal) => refusal,
            };
            // At the end there is no time left for another try.
            let is_over = begun.elapsed() >= PATIENCE || self.is_closing();
            let again = refusal.again.filter(|_| !is_over);
            let dropped = self.counts.dropped.get();
            if again.is_none() {
                self.counts.dropped.add(count);
            }
            let pause = self.unwell(&refusal, dropped);
            let Some(again) = again else { return };
            tokio::select! {
                () = sleep(pause.max(again)) => {}
                _ = self.closing.wait_for(|is_closing| *is_closing) => {}
            }
        }
    }

    /// Whether no more spans are to be waited for.
    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }

    fn well(&mut self, unwanted: u64) {
        if let Some(trouble) = self.trouble.take() {
            let dropped = self.counts.dropped.get() - trouble.dropped;
            let seconds = trouble.since.elapsed().as_secs();
            tracing::info!(seconds, dropped, "traces are exported again");
        }
        if unwanted > 0 {
            tracing::debug!(unwanted, "the collector did not take some spans");
        }
    }

    /// Says so once; gives the pause before the next try. So many spans had been dropped before it.
    fn unwell(&mut self, refusal: &Refusal, dropped: u64) -> Duration {
        if self.trouble.is_none() {
            let url = self.collector.url();
            tracing::warn!(url, error = %refusal, "traces cannot be exported; spans are dropped when there is no more room for them");
        }
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            since: Instant::now(),
            dropped,
            pause: FIRST_PAUSE,
        });
        let pause = trouble.pause;
        trouble.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn span() -> SpanData {
        let moment = std::time::SystemTime::UNIX_EPOCH;
        SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "span".into(),
            start_time: moment,
            end_time: moment,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    /// Nobody reads what is in the queue: the task has no turn on this thread before the end.
    #[tokio::test]
    async fn what_there_is_no_room_for_is_dropped_and_counted() {
        // A port of nobody's: nothing is ever sent.
        let collector = Collector::new("http://127.0.0.1:1/v1/traces", Vec::new()).unwrap();
        let outbox = Outbox::open(collector, &Resource::builder_empty().build());
        for _ in 0..MAX_WAITING + 100 {
            outbox.on_end(span());
        }
        let spans = outbox.spans();
        assert_eq!((spans.waiting, spans.dropped), (MAX_WAITING as u64, 100));
        outbox.close(Duration::from_secs(30)).await;
        let spans = outbox.spans();
        assert_eq!((spans.waiting, spans.exported), (0, 0));
        assert_eq!(spans.dropped, MAX_WAITING as u64 + 100);
        // What ends after the end is not kept for ever.
        outbox.on_end(span());
        assert_eq!(outbox.spans().dropped, MAX_WAITING as u64 + 101);
    }
}
