//! Why a request has no reply to pass on, and the one place where that becomes an HTTP status.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::metering::budget::OverBudget;

/// There is no reply for the caller. An upstream's own error status is a reply, not a `ProxyError`.
///
/// Cheap to clone, since everybody who shares a flight shares its failure. Holds no body, prompt or key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProxyError {
    /// The request cannot be served as it is.
    #[error("{}", .0.message)]
    Rejected(Arc<Rejection>),
    /// `only-if-cached`, and the cache has no answer.
    #[error("no stored answer, and only-if-cached forbids asking the upstream")]
    OnlyIfCached,
    /// The circuit breaker is open.
    #[error("the upstream keeps failing for {model}: its circuit is open; retry in {} s", seconds(*.retry_after))]
    CircuitOpen {
        /// The model whose circuit it is.
        model: Arc<str>,
        /// How long until a probe may pass.
        retry_after: Duration,
    },
    /// More calls in flight than the settings allow.
    #[error("too many requests in flight (server.max_in_flight = {limit}); retry in {} s", seconds(*.retry_after))]
    Overloaded {
        /// The setting's value.
        limit: usize,
        /// When to come back.
        retry_after: Duration,
    },
    /// A client with limits of its own has used them up.
    #[error("{client} has used up its {limit} {what}; retry in {} s", seconds(*.retry_after))]
    QuotaExceeded {
        /// The client's name.
        client: Arc<str>,
        /// What was used up.
        what: Allowance,
        /// The setting's value.
        limit: u32,
        /// When to come back.
        retry_after: Duration,
    },
    /// A client has spent what its calls may cost.
    #[error("{0}")]
    BudgetExceeded(Arc<OverBudget>),
    /// More bytes of request bodies under way than memory is set aside for.
    #[error("too many large request bodies are being sent at once; retry in 1 s")]
    BodiesFull,
    /// No upstream socket came free within the deadline.
    #[error("all {limit} upstream sockets stayed busy until the deadline; retry in {} s", seconds(*.retry_after))]
    SocketsBusy {
        /// The cap.
        limit: usize,
        /// When to come back.
        retry_after: Duration,
    },
    /// As many calls to the model as the upstream stands were under way, and none ended in time.
    #[error("the upstream stands {limit} calls to {model} at once, and none of them ended in time; retry in {} s", seconds(*.retry_after))]
    UpstreamCrowded {
        /// The model whose calls they are.
        model: Arc<str>,
        /// How many.
        limit: usize,
        /// When to come back.
        retry_after: Duration,
    },
    /// No connection could be made.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// A connection out of the pool was dead already: not a byte of an answer came.
    #[error("the upstream had closed the connection: {0}")]
    DeadSocket(Arc<str>),
    /// The connection ended before the answer did.
    #[error("the upstream closed the connection before its answer was complete: {0}")]
    ConnectionLost(Arc<str>),
    /// What came is no usable answer.
    #[error("the upstream sent no usable answer: {0}")]
    InvalidAnswer(Arc<str>),
    /// The upstream reported an error inside an answer that had begun well.
    #[error("the upstream reported an error: {0}")]
    Reported(Arc<str>),
    /// The answer is larger than `upstream.max_response_bytes`.
    #[error("the upstream's answer is larger than upstream.max_response_bytes = {0}")]
    AnswerTooLarge(usize),
    /// The stream lasts longer than `upstream.max_stream_duration`.
    #[error("the upstream's stream lasts longer than upstream.max_stream_duration = {0:?}")]
    StreamTooLong(Duration),
    /// The upstream was too slow.
    #[error("the upstream was too slow: {0}")]
    Timeout(Slow),
    /// The upstream refused the proxy's own key.
    #[error(
        "the upstream answered {0} to the proxy's own key; the operator should check upstream.api_key"
    )]
    Credentials(StatusCode),
    /// A defect of the proxy.
    #[error("the proxy failed: {0}")]
    Internal(&'static str),
}

/// Which of a client's limits was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Allowance {
    /// Requests in a minute.
    #[error("requests a minute (auth.clients, requests_per_minute)")]
    RequestsPerMinute,
    /// Requests at once.
    #[error("requests in flight (auth.clients, max_in_flight)")]
    InFlight,
}

/// Which of the timeouts ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Slow {
    /// `upstream.total_timeout`
    #[error("no complete answer within upstream.total_timeout")]
    Total,
    /// `upstream.read_timeout`
    #[error("nothing came for upstream.read_timeout = {0:?}")]
    Silence(Duration),
    /// `upstream.connect_timeout`
    #[error("no connection within upstream.connect_timeout")]
    Connect,
}

/// A request that the edge turns away, with all that its error body says.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// The machine-readable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
    /// The offending field.
    pub param: Option<String>,
    /// The upstream's own Retry-After, seconds or a date, passed on.
    pub retry_after: Option<String>,
    /// The proxy itself turns it away where otherwise only upstreams do: that says nothing of the upstream.
    pub is_ours: bool,
}

impl Rejection {
    fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self {
            status,
            code,
            message,
            param: None,
            retry_after: None,
            is_ours: false,
        }
    }
}

impl ProxyError {
    /// Something panicked: the panic hook has told the log where, and the client learns only that it was not its fault.
    pub const DEFECT: Self =
        Self::Internal("an unexpected defect; the operator's log has its place");

    /// Turns a request away.
    pub fn reject(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::Rejected(Arc::new(Rejection::new(status, code, message.into())))
    }

    /// Turns a request away that may be made again after so many seconds.
    pub fn reject_for_now(code: &'static str, message: &str, retry_after: u32) -> Self {
        let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, message.to_owned());
        Self::Rejected(Arc::new(Rejection {
            retry_after: Some(retry_after.to_string()),
            ..Rejection::new(status, code, message)
        }))
    }

    /// Turns a request away below the edge, before the upstream is asked.
    pub fn reject_below(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::Rejected(Arc::new(Rejection {
            is_ours: true,
            ..Rejection::new(status, code, message.into())
        }))
    }

    /// Turns a request away because of one of its fields.
    pub fn reject_field(
        status: StatusCode,
        param: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::Rejected(Arc::new(Rejection {
            param: Some(param.into()),
            ..Rejection::new(status, "invalid_request", message.into())
        }))
    }

    /// What an upstream's error status without a body that a client can read means: the status where it is of use,
    /// with the upstream's own Retry-After.
    pub fn upstream_status(status: StatusCode, said: Option<&str>, headers: &HeaderMap) -> Self {
        let (outward, code) = match status.as_u16() {
            401 | 403 => (status, "upstream_refused_credentials"),
            429 => (status, "rate_limited"),
            400..=499 => (status, "upstream_rejected"),
            503 => (status, "upstream_unavailable"),
            504 => (status, "upstream_timeout"),
            _ => (StatusCode::BAD_GATEWAY, "upstream_error"),
        };
        let retry_after = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        let message = match said {
            Some(said) => format!("the upstream answered {status}: {said}"),
            None => format!("the upstream answered {status}"),
        };
        Self::Rejected(Arc::new(Rejection {
            retry_after,
            ..Rejection::new(outward, code, message)
        }))
    }

    /// The status that the caller gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Rejected(rejection) => rejection.status,
            Self::QuotaExceeded { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::BudgetExceeded(_) => StatusCode::PAYMENT_REQUIRED,
            Self::CircuitOpen { .. }
            | Self::Overloaded { .. }
            | Self::BodiesFull
            | Self::SocketsBusy { .. }
            | Self::UpstreamCrowded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::OnlyIfCached | Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_)
            | Self::DeadSocket(_)
            | Self::ConnectionLost(_)
            | Self::InvalidAnswer(_)
            | Self::Reported(_)
            | Self::AnswerTooLarge(_)
            | Self::StreamTooLong(_)
            | Self::Credentials(_) => StatusCode::BAD_GATEWAY,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The machine-readable code, of which there are few: fit for a label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.code,
            Self::OnlyIfCached => "only_if_cached",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::Overloaded { .. } | Self::BodiesFull => "overloaded",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::BudgetExceeded(_) => "budget_exceeded",
            Self::SocketsBusy { .. } => "upstream_sockets_busy",
            Self::UpstreamCrowded { .. } => "upstream_crowded",
            Self::Unreachable(_) => "upstream_unreachable",
            Self::DeadSocket(_) | Self::ConnectionLost(_) => "upstream_connection_lost",
            Self::InvalidAnswer(_) => "upstream_invalid_answer",
            Self::Reported(_) => "upstream_error",
            Self::AnswerTooLarge(_) => "upstream_answer_too_large",
            Self::StreamTooLong(_) => "upstream_stream_too_long",
            Self::Timeout(_) => "upstream_timeout",
            Self::Credentials(_) => "upstream_credentials",
            Self::Internal(_) => "internal_error",
        }
    }

    /// The offending field, where one is.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Rejected(rejection) => rejection.param.as_deref(),
            _ => None,
        }
    }

    /// What the log may say beside the code: nothing that a client or a provider wrote.
    pub fn log_detail(&self) -> String {
        match self {
            Self::Rejected(rejection) => rejection.param.clone().unwrap_or_default(),
            Self::Reported(_) => "in its own words, which are not logged".to_owned(),
            // Their messages name models, which clients do.
            Self::CircuitOpen { .. } | Self::UpstreamCrowded { .. } => String::new(),
            other => other.to_string(),
        }
    }

    /// What the Retry-After header says: whole seconds, or the upstream's own words.
    pub fn retry_after(&self) -> Option<String> {
        match self {
            Self::Rejected(rejection) => rejection.retry_after.clone(),
            Self::BodiesFull => Some("1".to_owned()),
            Self::BudgetExceeded(over) => Some(seconds(over.retry_after()).to_string()),
            Self::CircuitOpen { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::QuotaExceeded { retry_after, .. }
            | Self::SocketsBusy { retry_after, .. }
            | Self::UpstreamCrowded { retry_after, .. } => Some(seconds(*retry_after).to_string()),
            _ => None,
        }
    }

    /// What the failure says about the upstream: `Some(false)` that it is not well, `Some(true)` that it answered,
    /// `None` nothing.
    pub fn verdict(&self) -> Option<bool> {
        match self {
            Self::Unreachable(_)
            | Self::DeadSocket(_)
            | Self::ConnectionLost(_)
            | Self::InvalidAnswer(_)
            | Self::Reported(_)
            | Self::Timeout(_) => Some(false),
            // Below the edge only the upstream itself rejects. Its answer's length is for our own limits to judge, and
            // one question's long answer says nothing about the next.
            Self::Rejected(rejection) if rejection.is_ours => None,
            Self::Rejected(_)
            | Self::Credentials(_)
            | Self::AnswerTooLarge(_)
            | Self::StreamTooLong(_) => Some(true),
            Self::OnlyIfCached
            | Self::CircuitOpen { .. }
            | Self::Overloaded { .. }
            | Self::QuotaExceeded { .. }
            | Self::BudgetExceeded(_)
            | Self::BodiesFull
            | Self::SocketsBusy { .. }
            | Self::UpstreamCrowded { .. }
            | Self::Internal(_) => None,
        }
    }

    /// Whether the upstream is to blame: what the breaker counts and a stale answer may stand in for.
    pub fn is_upstream_failure(&self) -> bool {
        self.verdict() == Some(false)
    }
}

/// Whole seconds, rounded up, so that nobody comes back too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
