//! A call that panics fails its callers and nobody else (P32).

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower::util::service_fn;

use super::*;
use crate::fingerprint::Scope;
use crate::json::Json;
use crate::reply::{self, Ending, Frame, StreamKind};
use crate::request::{CacheControl, Chat, Content, Parts, Route};

fn request() -> ProxyRequest {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "q"}]});
    let chat = Chat::new(Json::parse(body.to_string().into()).unwrap(), &[]);
    let parts = Parts {
        method: Method::POST,
        path: "/chat/completions".into(),
        headers: HeaderMap::new(),
        authorization: None,
        scope: Scope::Anonymous,
        cache_control: CacheControl::default(),
        ttl: Duration::from_hours(1),
        level: None,
        route: Route::ChatCompletions,
        deadline: Instant::now() + Duration::from_secs(30),
        account: std::sync::Arc::default(),
        asks_for_usage: false,
        refuses_overflow: false,
    };
    ProxyRequest::new(parts, Content::Chat(Box::new(chat)))
}

fn streaming(
    frames: impl stream::Stream<Item = Result<Frame, ProxyError>> + Send + 'static,
) -> Reply {
    let head = reply::Head {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        provenance: Provenance::Miss { stored: false },
    };
    Reply::Stream(Streaming {
        head,
        kind: StreamKind::Events,
        frames: Box::pin(frames),
    })
}

fn good() -> Reply {
    streaming(stream::iter([
        Ok(Frame::Chunk(Bytes::from_static(b"{}"))),
        Ok(Frame::End(Ending::default())),
    ]))
}

fn is_internal<T>(result: &Result<T, ProxyError>) -> bool {
    matches!(result, Err(ProxyError::Internal(_)))
}

/// Asks eight at once, twice: all of the first time share a failure, all of the second a good answer.
async fn check(flights: Flights, first: fn() -> ReplyResult, begins: bool) {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let service = ServiceBuilder::new()
        .layer(DedupLayer::new(flights.clone()))
        .service(service_fn(move |_| {
            let n = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                // Everybody is to be on board.
                tokio::task::yield_now().await;
                if n == 0 { first() } else { Ok(good()) }
            }
        }));
    let ask = async || {
        let frames = match service.clone().oneshot(request()).await? {
            Reply::Stream(stream) => stream.frames.collect::<Vec<_>>().await,
            Reply::Whole(_) => Vec::new(),
        };
        Ok::<_, ProxyError>(frames)
    };
    for got in join_all((0..8).map(|_| ask())).await {
        if begins {
            let frames = got.unwrap();
            assert!(
                frames[0].is_ok() && is_internal(frames.last().unwrap()),
                "{frames:?}"
            );
        } else {
            assert!(is_internal(&got), "{got:?}");
        }
    }
    assert!(flights.is_empty(), "the key is free");
    for got in join_all((0..8).map(|_| ask())).await {
        let frames = got.unwrap();
        assert!(
            matches!(frames.last(), Some(Ok(Frame::End(_)))),
            "{frames:?}"
        );
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn p32_a_panic_before_the_answer_reaches_every_caller_as_an_error() {
    check(Flights::default(), || panic!("seeded"), false).await;
}

#[tokio::test]
async fn p32_a_panic_amid_a_stream_breaks_it_for_every_caller() {
    let first = || {
        let frames = stream::iter(0..2).map(|n| match n {
            0 => Ok(Frame::Chunk(Bytes::from_static(b"{}"))),
            _ => panic!("seeded"),
        });
        Ok(streaming(frames))
    };
    check(Flights::default(), first, true).await;
}
