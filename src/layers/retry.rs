//! Repeats an attempt that failed for a passing reason, within the request's deadline and a budget over
//! all requests.
//!
//! Retries multiply a load that is already too much for the upstream. Three bounds keep that in check:
//! the attempts of one call, the call's deadline, and the budget, which lets retries be only a share of
//! all calls however many of them fail. A reply is judged by its head, so a stream that has begun is
//! never repeated.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt as _};
use tracing::field::display;

use super::{ReplyFuture, ReplyResult};
use crate::config;
use crate::error::{ProxyError, Slow};
use crate::metering::Metrics;
use crate::reply::Reply;
use crate::request::{ProxyRequest, Socket};
use crate::telemetry;

use budget::Budget;

mod budget;

/// Makes [`Retry`] services that share one budget.
#[derive(Clone)]
pub struct RetryLayer {
    policy: Policy,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
}

/// Sends a request upstream, again if need be.
#[derive(Clone)]
pub struct Retry<S> {
    inner: S,
    policy: Policy,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
}

/// What is left for retries. Cheap to clone.
#[derive(Clone)]
pub struct Reserve(Arc<Budget>);

/// When to repeat, and after how long.
#[derive(Debug, Clone, Copy)]
struct Policy {
    max_attempts: u32,
    base_delay: Duration,
    max_delay: Duration,
}

/// What becomes of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The caller gets it.
    Final,
    /// A pooled socket was dead: at once again on a new one, which cannot be dead in that way. No work of
    /// the upstream's is repeated, so this is no retry, as long as the upstream is well.
    Reconnect,
    /// Again, not before this time has passed.
    Again { at_least: Duration },
}

// === impl RetryLayer ===

impl RetryLayer {
    /// Retries as configured.
    pub fn new(config: &config::Retry, metrics: Arc<Metrics>) -> Self {
        let policy = Policy {
            max_attempts: config.max_attempts,
            base_delay: config.base_delay,
            max_delay: config.max_delay,
        };
        Self {
            policy,
            budget: Arc::new(Budget::new(config.budget)),
            metrics,
        }
    }

    /// What is left for retries.
    pub fn reserve(&self) -> Reserve {
        Reserve(Arc::clone(&self.budget))
    }
}

// === impl Reserve ===

impl Reserve {
    /// Whether calls have hardly been repeated lately.
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry {
            inner,
            policy: self.policy,
            budget: Arc::clone(&self.budget),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

// === impl Retry ===

impl<S> Service<ProxyRequest> for Retry<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        // The clone has not been polled ready; the service that was goes with this call.
        let clone = self.inner.clone();
        let ready = Retry {
            inner: std::mem::replace(&mut self.inner, clone),
            policy: self.policy,
            budget: Arc::clone(&self.budget),
            metrics: Arc::clone(&self.metrics),
        };
        Box::pin(ready.run(request))
    }
}

impl<S> Retry<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
{
    async fn run(self, mut request: ProxyRequest) -> ReplyResult {
        let span = (request.trace.as_ref()).and_then(|trace| trace.begin_call(&request));
        if let Some(span) = &span {
            request.trace = Some(span.here().clone());
        }
        let result = self.attempt(request).await;
        if let (Some(span), Ok(reply)) = (&span, &result) {
            span.judge(reply.head().status);
        }
        telemetry::carry(span, result)
    }

    async fn attempt(mut self, mut request: ProxyRequest) -> ReplyResult {
        self.budget.deposit();
        let deadline = request.deadline;
        let mut attempt = 1;
        loop {
            let result = self.inner.ready().await?.call(request.clone()).await;
            self.budget.note(healthy(&result), request.socket);
            match judge(&request, &result) {
                Verdict::Final => return result,
                Verdict::Reconnect => {
                    if !self.budget.reconnect() {
                        return result;
                    }
                    self.metrics.reconnects.add(1);
                    request.socket = Socket::Fresh;
                    request.resends += 1;
                }
                Verdict::Again { at_least } => {
                    if attempt >= self.policy.max_attempts {
                        return result;
                    }
                    let delay = self.policy.backoff(attempt, fastrand::f64()).max(at_least);
                    // Waiting past the deadline would only turn the upstream's own words into a timeout.
                    if Instant::now() + delay >= deadline || !self.budget.withdraw() {
                        return result;
                    }
                    drop(result);
                    self.metrics.retries.add(1);
                    let trace_id = request.trace.as_ref().map(|trace| display(trace.id()));
                    tracing::debug!(attempt, delay_ms = delay.as_millis(), trace_id, "retrying");
                    sleep(delay).await;
                    attempt += 1;
                    request.resends += 1;
                }
            }
        }
    }
}

/// What an attempt says about the upstream. A dead socket says nothing: it may have been idle for too long.
fn healthy(result: &ReplyResult) -> Option<bool> {
    match result {
        Ok(reply) => Some(!reply.head().status.is_server_error()),
        Err(ProxyError::DeadSocket(_)) => None,
        Err(error) => error.verdict(),
    }
}

fn judge(request: &ProxyRequest, result: &ReplyResult) -> Verdict {
    let again = Verdict::Again {
        at_least: Duration::ZERO,
    };
    match result {
        Ok(reply) => {
            let head = reply.head();
            let passing = match head.status {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => true,
                StatusCode::REQUEST_TIMEOUT
                | StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT => request.is_repeatable(),
                _ => false,
            };
            if passing {
                let at_least = retry_after(&head.headers, SystemTime::now()).unwrap_or_default();
                Verdict::Again { at_least }
            } else {
                Verdict::Final
            }
        }
        Err(ProxyError::Unreachable(_) | ProxyError::Timeout(Slow::Connect)) => again,
        Err(ProxyError::DeadSocket(_))
            if request.is_repeatable() && request.socket == Socket::Pooled =>
        {
            Verdict::Reconnect
        }
        Err(ProxyError::DeadSocket(_) | ProxyError::ConnectionLost(_))
            if request.is_repeatable() =>
        {
            again
        }
        Err(_) => Verdict::Final,
    }
}

/// How long the upstream asks us to stay away: seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean "very long", not "now".
        return Some(Duration::from_secs(
            value.parse::<u32>().unwrap_or(u32::MAX).into(),
        ));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

// === impl Policy ===

impl Policy {
    /// Full jitter: anything between nothing and the exponential bound. `random` lies in 0..1.
    fn backoff(&self, attempt: u32, random: f64) -> Duration {
        let factor = 2_u32.saturating_pow(attempt - 1);
        self.base_delay
            .saturating_mul(factor)
            .min(self.max_delay)
            .mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound_and_jitters_down_to_nothing() {
        let policy = Policy {
            max_attempts: 9,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
        };
        let longest: Vec<_> = (1..=6)
            .map(|attempt| policy.backoff(attempt, 1.0).as_secs())
            .collect();
        assert_eq!(longest, [1, 2, 4, 8, 10, 10]);
        assert_eq!(policy.backoff(3, 0.0), Duration::ZERO);
        assert_eq!(policy.backoff(80, 1.0), Duration::from_secs(10));
    }

    #[test]
    fn retry_after_in_all_its_spellings() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            of("Wed, 21 Oct 2026 07:28:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(
            of("99999999999999999999"),
            Some(Duration::from_secs(u32::MAX.into()))
        );
        assert_eq!([of("soon"), of("-1"), of("")], [None, None, None]);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
