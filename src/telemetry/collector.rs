//! Posts spans to a collector, as OTLP over HTTP has it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::redirect::Policy;

/// How long a collector may take to answer, the connection included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that a collector can ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// More of an answer is not read.
const MAX_ANSWER: usize = 64 * 1024;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A collector of traces.
pub(super) struct Collector {
    client: reqwest::Client,
    url: Box<str>,
    headers: HeaderMap,
}

/// Why spans were not taken.
#[derive(Debug)]
pub(super) struct Refusal {
    reason: Reason,
    /// Whether it may take them later, and how soon at the earliest.
    pub(super) again: Option<Duration>,
}

#[derive(Debug)]
enum Reason {
    Status(StatusCode),
    /// Nothing came back.
    Silence(reqwest::Error),
}

// === impl Collector ===

impl Collector {
    /// The one at this URL, which asks for these headers.
    pub(super) fn new(
        url: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::from_iter(headers);
        headers.insert(header::CONTENT_TYPE, PROTOBUF);
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .user_agent(AGENT)
            // As upstream: what is sent reaches whom the operator named, and nobody else.
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self {
            client,
            url: url.into(),
            headers,
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Posts spans; tells how many of them it took and did not want.
    pub(super) async fn post(&self, body: Bytes) -> Result<u64, Refusal> {
        let request = self
            .client
            .post(&*self.url)
            .headers(self.headers.clone())
            .body(body);
        let response = request.send().await.map_err(Refusal::silence)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Refusal::status(status, response.headers()));
        }
        Ok(rejected(response).await)
    }
}

/// How many spans an answer says are not wanted. One that cannot be read says nothing.
async fn rejected(mut response: reqwest::Response) -> u64 {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            return 0;
        }
        body.extend_from_slice(&chunk);
    }
    let answer = ExportTraceServiceResponse::decode(&*body).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    u64::try_from(partial.rejected_spans).unwrap_or(0)
}

// === impl Refusal ===

impl Refusal {
    /// A collector that is away may be back.
    fn silence(error: reqwest::Error) -> Self {
        Self {
            reason: Reason::Silence(error.without_url()),
            again: Some(Duration::ZERO),
        }
    }

    /// The statuses after which OTLP tries again.
    fn status(status: StatusCode, headers: &HeaderMap) -> Self {
        let is_passing = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        let seconds = headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let wait = Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_WAIT);
        Self {
            reason: Reason::Status(status),
            again: is_passing.then_some(wait),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Status(status) => write!(f, "it answers {status}"),
            Reason::Silence(error) if error.is_timeout() => {
                write!(f, "it did not answer within {} s", TIMEOUT.as_secs())
            }
            Reason::Silence(error) => {
                // The root of it says most: the others say that something failed.
                let mut root: &dyn Error = error;
                while let Some(cause) = root.source() {
                    root = cause;
                }
                write!(f, "{root}")
            }
        }
    }
}
