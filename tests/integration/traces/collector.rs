//! A collector of traces: takes OTLP over HTTP, or does what collectors should not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Gate, within};

/// A server on a port of its own; it ends when dropped.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

/// How it answers.
#[derive(Clone)]
pub(super) enum Manner {
    /// It takes everything.
    Good,
    /// It refuses everything with this status.
    Refusing(u16),
    /// It takes everything but so many of the spans of each post.
    Picky(i64),
    /// It says nothing until the gate is open.
    Frozen(Gate),
}

struct Shared {
    manner: Mutex<Manner>,
    posts: Mutex<Vec<Post>>,
    /// How many posts came.
    count: watch::Sender<usize>,
}

/// What came at once.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) is_taken: bool,
}

/// A span as the collector got it.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) kind: i32,
    /// Ids in hexadecimal digits; empty where there is no parent.
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) state: String,
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) attributes: BTreeMap<String, Value>,
    /// The traces and spans that it points to.
    pub(super) links: Vec<(String, String)>,
    pub(super) has_failed: bool,
}

// === impl Collector ===

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Good),
            posts: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _task: task,
        }
    }

    /// The setting that sends traces here.
    pub(super) fn setting(&self) -> String {
        format!("[telemetry]\notlp_endpoint = \"http://{}\"\n", self.address)
    }

    /// Answers like this from now on.
    pub(super) fn set(&self, manner: Manner) {
        *self.shared.manner.lock() = manner;
    }

    /// Waits until so many posts have come.
    pub(super) async fn wait_for_posts(&self, count: usize) {
        let mut posts = self.shared.count.subscribe();
        let came = posts.wait_for(|posts| *posts >= count);
        within("a post of spans", came).await.unwrap();
    }

    /// All that came.
    pub(super) fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().clone()
    }

    /// All spans that it took, in the order in which they began.
    pub(super) fn spans(&self) -> Vec<Span> {
        let posts = self.posts().into_iter();
        let groups = posts
            .filter(|post| post.is_taken)
            .flat_map(|post| post.decoded().resource_spans);
        let spans = groups.flat_map(|group| group.scope_spans);
        let mut spans: Vec<Span> = spans
            .flat_map(|scope| scope.spans)
            .map(Span::from)
            .collect();
        spans.sort_by_key(|span| span.begun);
        spans
    }

    /// Whether these words stand anywhere in what came.
    pub(super) fn has_seen(&self, words: &str) -> bool {
        let words = words.as_bytes();
        let has = |post: &Post| post.body.windows(words.len()).any(|window| window == words);
        self.posts().iter().any(has)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| take(Arc::clone(&shared), request));
            // Errors are the proxy's: it hung up.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn take(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let manner = shared.manner.lock().clone();
    let (status, rejected) = match &manner {
        Manner::Good | Manner::Frozen(_) => (StatusCode::OK, 0),
        Manner::Refusing(status) => (StatusCode::from_u16(*status).unwrap(), 0),
        Manner::Picky(rejected) => (StatusCode::OK, *rejected),
    };
    shared.posts.lock().push(Post {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
        is_taken: status == StatusCode::OK,
    });
    shared.count.send_modify(|count| *count += 1);
    if let Manner::Frozen(gate) = manner {
        gate.pass().await;
    }
    let answer = ExportTraceServiceResponse {
        partial_success: (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "not these".to_owned(),
        }),
    };
    let mut response = Response::new(Full::new(answer.encode_to_vec().into()));
    *response.status_mut() = status;
    Ok(response)
}

// === impl Post ===

impl Post {
    /// What it says.
    pub(super) fn decoded(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(&*self.body).unwrap()
    }

    /// What it says of the process.
    pub(super) fn resource(&self) -> BTreeMap<String, Value> {
        let group = self.decoded().resource_spans.remove(0);
        attributes(group.resource.unwrap().attributes)
    }
}

// === impl Span ===

impl Span {
    /// The value of an attribute; null where there is none.
    pub(super) fn says(&self, name: &str) -> Value {
        self.attributes.get(name).cloned().unwrap_or_default()
    }
}

impl From<otlp::Span> for Span {
    fn from(span: otlp::Span) -> Self {
        let code = span.status.unwrap_or_default().code;
        let links = span.links.iter();
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state,
            kind: span.kind,
            begun: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            links: links
                .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                .collect(),
            attributes: attributes(span.attributes),
            has_failed: code == otlp::status::StatusCode::Error as i32,
            name: span.name,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn attributes(all: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let mut read = BTreeMap::new();
    for KeyValue { key, value, .. } in all {
        let earlier = read.insert(key.clone(), json_of(value.unwrap_or_default()));
        assert_eq!(earlier, None, "{key} stands twice");
    }
    read
}

fn json_of(value: AnyValue) -> Value {
    match value.value {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(flag)) => flag.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::ArrayValue(items)) => items.values.into_iter().map(json_of).collect(),
        other => json!(format!("{other:?}")),
    }
}
