//! Asks the upstream for its prices, where it is one that tells them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use super::Metrics;
use super::prices::Fetched;
use crate::config::Config;
use crate::error::ProxyError;
use crate::fingerprint::Scope;
use crate::reply::Reply;
use crate::request::{CacheControl, Content, Parts, ProxyRequest, Route};
use crate::stack::{Service, Stack};

/// How long fetched prices stand.
const LIFE: Duration = Duration::from_hours(24);
/// How long to wait after a failure; it doubles with each, up to [`LIFE`].
const PATIENCE: Duration = Duration::from_mins(1);
/// Whose list of models has prices, and can be had without a key.
const OFFERS: &str = "openrouter.ai";

/// Fetches prices now and every day, for ever.
pub fn keep_prices(config: &Config, stack: &Stack) -> impl Future<Output = Infallible> + use<> {
    let is_wanted = config.metering.fetch_prices && is_openrouter(&config.upstream.base_url);
    let timeout = config.upstream.total_timeout;
    let (service, metrics) = (stack.service.clone(), Arc::clone(&stack.metrics));
    async move {
        if !is_wanted {
            return std::future::pending().await;
        }
        let mut patience = PATIENCE;
        loop {
            let rest = match fetch(service.clone(), timeout).await {
                Ok(fetched) => {
                    tracing::info!(models = fetched.len(), "prices fetched from the upstream");
                    learn(&metrics, &fetched);
                    patience = PATIENCE;
                    LIFE
                }
                Err(error) => {
                    tracing::warn!(%error, "the upstream's prices cannot be fetched; those at hand are used");
                    let rest = patience;
                    patience = (patience * 2).min(LIFE);
                    rest
                }
            };
            sleep(rest).await;
        }
    }
}

fn learn(metrics: &Metrics, fetched: &Fetched) {
    metrics.learn_prices(fetched);
}

/// Whether the upstream at this URL is `OpenRouter`.
pub(crate) fn is_openrouter(base_url: &str) -> bool {
    let host = base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest);
    let host = host
        .split(['/', ':'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    host == OFFERS
        || host
            .strip_suffix(OFFERS)
            .is_some_and(|rest| rest.ends_with('.'))
}

async fn fetch(service: Service, timeout: Duration) -> Result<Fetched, ProxyError> {
    let parts = Parts {
        method: Method::GET,
        path: "/models".into(),
        headers: HeaderMap::new(),
        authorization: None,
        scope: Scope::Global,
        cache_control: CacheControl::default(),
        ttl: Duration::ZERO,
        level: None,
        route: Route::Forwarded,
        deadline: Instant::now() + timeout,
        account: Arc::default(),
        asks_for_usage: false,
        refuses_overflow: false,
    };
    let content = Content::Opaque {
        body: Bytes::new(),
        model: None,
        wants_stream: false,
    };
    match service.oneshot(ProxyRequest::new(parts, content)).await? {
        Reply::Whole(whole) if whole.head.status == StatusCode::OK => {
            let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
            Fetched::from_models_json(&whole.body, &today)
                .map_err(|error| ProxyError::InvalidAnswer(error.to_string().into()))
        }
        reply => Err(ProxyError::InvalidAnswer(
            format!("it answers {} to GET /models", reply.head().status).into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;
    use crate::chat::Usage;
    use crate::reply::{Head, Provenance, Whole};
    use crate::stack;

    /// Fails at first, and is asked again; then once a day.
    #[tokio::test(start_paused = true)]
    async fn prices_are_fetched_until_they_are_there_and_daily_from_then_on() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let leaf = service_fn(move |request: ProxyRequest| {
            assert_eq!(
                (&request.parts().method, &*request.parts().path),
                (&Method::GET, "/models")
            );
            let call = counted.fetch_add(1, Ordering::SeqCst);
            let (status, body) = if call < 2 {
                (StatusCode::FORBIDDEN, "{}")
            } else {
                (
                    StatusCode::OK,
                    r#"{"data":[{"id":"new/model","pricing":{"prompt":"0.000003","completion":"0.000005"}}]}"#,
                )
            };
            let whole = Whole {
                head: Head {
                    status,
                    headers: HeaderMap::new(),
                    provenance: Provenance::Bypass { stored: false },
                },
                body: body.into(),
                answer: None,
            };
            async move { Ok::<_, ProxyError>(Reply::Whole(whole)) }
        });
        let config = Config::default();
        let stack = stack::over(&config, Arc::default(), leaf);
        let keep = keep_prices(&config, &stack);
        let usage = Usage {
            prompt_tokens: 2,
            completion_tokens: 1,
            ..Usage::default()
        };
        assert_eq!(stack.metrics.price("new/model", None, usage), None);
        let _ = timeout(3 * PATIENCE + Duration::from_hours(49), keep).await;
        assert_eq!(stack.metrics.price("new/model", None, usage), Some(11_000));
        assert_eq!(calls.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn only_those_are_asked_that_tell_prices() {
        for (url, offers_them) in [
            ("https://openrouter.ai/api/v1", true),
            ("https://EU.openrouter.ai:443/api/v1", true),
            ("https://openrouter.ai.example.com/v1", false),
            ("https://notopenrouter.ai/v1", false),
            ("http://127.0.0.1:1/v1", false),
        ] {
            assert_eq!(is_openrouter(url), offers_them, "{url}");
        }
    }
}
