//! Watches how long answers are whose limit the proxy has set, and asks once more for one that was cut off at it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::{ReplyFuture, ReplyResult};
use crate::chat::{self, Quality};
use crate::error::ProxyError;
use crate::reply::{Frame, Frames, Reply, StreamKind, Whole, Worth};
use crate::request::{Chat, ProxyRequest};
use crate::tuning::limits::{Given, Limits};

/// Makes [`AnswerLimit`] services that share the limits.
#[derive(Clone)]
pub struct AnswerLimitLayer {
    limits: Limits,
}

/// Sees to it that a limit of the proxy's costs no answer its end.
#[derive(Clone)]
pub struct AnswerLimit<S> {
    inner: S,
    limits: Limits,
}

/// A stream whose length is noted at its end.
struct Measured {
    frames: Frames,
    limits: Limits,
    model: Arc<str>,
    given: Given,
    /// The last chunks: one of them tells how it ended.
    last: VecDeque<Bytes>,
}

/// Of the time that is left a second answer may take so much.
const SPARE: f64 = 0.8;
/// With less room than so many times that of the first, it would be cut off as well.
const LEAST_ROOM: f64 = 1.5;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What comes behind the end of the text is at most the usage, and whatever a provider adds to that.
const LAST: usize = 3;

// === impl AnswerLimitLayer ===

impl AnswerLimitLayer {
    /// These limits are watched and kept.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl<S> Layer<S> for AnswerLimitLayer {
    type Service = AnswerLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerLimit {
            inner,
            limits: self.limits.clone(),
        }
    }
}

// === impl AnswerLimit ===

impl<S> Service<ProxyRequest> for AnswerLimit<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        let given = request.chat().and_then(Chat::limit);
        let (Some(given), Some(model)) = (given, request.model_name()) else {
            return Box::pin(self.inner.call(request));
        };
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let limits = self.limits.clone();
        Box::pin(async move {
            let (begun, again) = (Instant::now(), ready.clone());
            let first = ready.oneshot(request.clone()).await?;
            let Reply::Whole(whole) = first else {
                return Ok(measure(first, limits, model, given));
            };
            let Some(worth) = &whole.answer else {
                return Ok(Reply::Whole(whole));
            };
            let Some(is_cut) = is_cut(worth, &whole.body) else {
                return Ok(Reply::Whole(whole));
            };
            limits.note(&model, given, worth.usage.completion_tokens, is_cut);
            let left = request.deadline.saturating_duration_since(Instant::now());
            let room = limits.more_room(given).filter(|_| is_cut);
            let set = limits.configured(given.size);
            let room =
                room.and_then(|room| fitting(room, given.tokens, set, begun.elapsed(), left));
            // With the same key the upstream would only say the same again.
            let is_new = !request.parts().headers.contains_key(IDEMPOTENCY_KEY);
            let Some(room) = room.filter(|_| is_new) else {
                return Ok(Reply::Whole(whole));
            };
            let mut longer = request;
            longer.max_tokens = Some(room);
            let second = again.oneshot(longer).await;
            Ok(better(second, whole))
        })
    }
}

/// As much of this room as can be filled in the time that is left, at the speed of the first answer and with some to
/// spare; `None` where that is not worth a second call. All that is `set`, where less was given, is never made less: it
/// would have been asked for in the first place, and what does not fit into the time then did not then.
fn fitting(room: u32, given: u32, set: u32, took: Duration, left: Duration) -> Option<u32> {
    let speed = f64::from(given) / took.as_secs_f64().max(0.001);
    let possible = speed * left.as_secs_f64() * SPARE;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is saturated"
    )]
    let possible = possible as u32;
    if set > given {
        return (possible > given).then_some(room.min(possible).max(set));
    }
    let room = room.min(possible);
    (f64::from(room) >= f64::from(given) * LEAST_ROOM).then_some(room)
}

fn is_good(worth: &Worth) -> bool {
    matches!(
        worth.quality,
        Quality::Stop | Quality::ToolCalls | Quality::Length
    )
}

/// The second answer where it is a good one, else the first: half of one is better than none.
fn better(second: ReplyResult, first: Whole) -> Reply {
    match second {
        Ok(Reply::Whole(second)) if second.answer.as_ref().is_some_and(is_good) => {
            Reply::Whole(second)
        }
        _ => Reply::Whole(first),
    }
}

fn measure(reply: Reply, limits: Limits, model: Arc<str>, given: Given) -> Reply {
    match reply {
        Reply::Stream(mut stream) if stream.kind == StreamKind::Events => {
            stream.frames = Box::pin(Measured {
                frames: stream.frames,
                limits,
                model,
                given,
                last: VecDeque::with_capacity(LAST),
            });
            Reply::Stream(stream)
        }
        reply => reply,
    }
}

/// Whether an answer was cut off at its limit; `None` where something else ended it, which says nothing of the limit.
fn is_cut(worth: &Worth, body: &[u8]) -> Option<bool> {
    match worth.quality {
        Quality::Stop | Quality::ToolCalls => Some(false),
        Quality::Length => Some(true),
        // A model that thinks may come to its limit before it has said anything.
        Quality::Empty => chat::ended_cut_off(body).then_some(true),
        _ => None,
    }
}

// === impl Measured ===

impl Stream for Measured {
    type Item = Result<Frame, ProxyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.frames.poll_next_unpin(cx));
        match &item {
            Some(Ok(Frame::Chunk(chunk))) => {
                if self.last.len() == LAST {
                    self.last.pop_front();
                }
                let chunk = chunk.clone();
                self.last.push_back(chunk);
            }
            Some(Ok(Frame::End(ending))) => {
                if let Some(worth) = &ending.worth {
                    let tokens = worth.usage.completion_tokens;
                    let is_cut = self.last.iter().any(|chunk| chat::ended_cut_off(chunk));
                    self.limits.note(&self.model, self.given, tokens, is_cut);
                }
            }
            Some(Err(_)) | None => {}
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::stream;
    use http::{HeaderMap, Method, StatusCode};
    use parking_lot::Mutex;
    use tokio::time::advance;
    use tower::util::service_fn;

    use super::*;
    use crate::chat::{Usage, read_answer};
    use crate::config::{Config, TuningMode};
    use crate::fingerprint::Scope;
    use crate::json::Json;
    use crate::reply::{Ending, Head, Provenance, Streaming};
    use crate::request::{CacheControl, Content, Parts, Route};
    use crate::tuning::journal::Journal;
    use crate::tuning::limits::Size;
    use crate::tuning::{Optimizer, Times};

    /// A request as `/create` makes it.
    pub(crate) fn request(chat: Chat) -> ProxyRequest {
        let parts = Parts {
            method: Method::POST,
            path: "/chat/completions".into(),
            headers: HeaderMap::new(),
            authorization: None,
            scope: Scope::Anonymous,
            cache_control: CacheControl::default(),
            ttl: Duration::from_hours(1),
            level: None,
            route: Route::Create,
            deadline: Instant::now() + Duration::from_secs(30),
            account: Arc::default(),
            asks_for_usage: false,
            refuses_overflow: false,
        };
        ProxyRequest::new(parts, Content::Chat(Box::new(chat)))
    }

    fn limited(given: Option<Given>) -> ProxyRequest {
        let body = r#"{"model":"m","messages":[],"max_tokens":2000}"#;
        let chat = Chat::new(Json::parse(body.into()).unwrap(), &["max_tokens"]);
        request(chat.with_limit(given))
    }

    const GIVEN: Option<Given> = Some(Given {
        size: Size::Simple,
        tokens: 2_000,
    });

    fn head() -> Head {
        Head {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            provenance: Provenance::Miss { stored: false },
        }
    }

    fn answer(text: &str, reason: &str) -> Reply {
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"{reason}"}}]}}"#
        );
        let quality = read_answer(body.as_bytes()).unwrap().quality;
        let answer = Some(Worth {
            usage: Usage::default(),
            served: None,
            quality,
        });
        Reply::Whole(Whole {
            head: head(),
            body: body.into(),
            answer,
        })
    }

    /// Asks a model whose answer needs 3,000 tokens and takes so many seconds: what it was asked, and the answer.
    async fn ask(
        mode: TuningMode,
        request: ProxyRequest,
        seconds: u64,
        text: &'static str,
    ) -> (Vec<String>, String) {
        let mut config = Config::default();
        config.tuning.mode = mode;
        let times = Times::new(&config.cache);
        let optimizer = Optimizer::new(&config, None, &times, &Journal::default()).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let leaf = service_fn(move |request: ProxyRequest| {
            let body = String::from_utf8(request.body().to_vec()).unwrap();
            seen.lock().push(body);
            let is_enough = request.max_tokens.is_some_and(|tokens| tokens >= 3_000);
            async move {
                advance(Duration::from_secs(seconds)).await;
                Ok::<_, ProxyError>(if is_enough {
                    answer("all of it", "stop")
                } else {
                    answer(text, "length")
                })
            }
        });
        let service = AnswerLimitLayer::new(optimizer.limits().clone()).layer(leaf);
        let Reply::Whole(whole) = service.oneshot(request).await.unwrap() else {
            panic!("it is whole");
        };
        let asked = std::mem::take(&mut *asked.lock());
        (asked, String::from_utf8(whole.body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_our_limit_cut_off_is_asked_for_once_more() {
        for cut in ["half", ""] {
            let (asked, answer) = ask(TuningMode::Act, limited(GIVEN), 1, cut).await;
            assert_eq!(asked.len(), 2);
            assert!(asked[0].ends_with(r#""max_tokens":2000}"#));
            assert!(asked[1].ends_with(r#""max_tokens":8000}"#));
            assert!(answer.contains("all of it"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_else_is_asked_for_twice() {
        let theirs = limited(None);
        for (mode, request, seconds) in [
            (TuningMode::Observe, limited(GIVEN), 1),
            (TuningMode::Act, theirs, 1),
            // There is no time for it.
            (TuningMode::Act, limited(GIVEN), 13),
        ] {
            let (asked, answer) = ask(mode, request, seconds, "half").await;
            assert_eq!(asked.len(), 1, "{mode:?}");
            assert!(answer.contains("half"));
        }
        let mut parts = limited(GIVEN).parts().clone();
        parts.headers.insert(IDEMPOTENCY_KEY, "k".parse().unwrap());
        let body = r#"{"model":"m","messages":[],"max_tokens":2000}"#;
        let chat = Chat::new(Json::parse(body.into()).unwrap(), &["max_tokens"]);
        let content = Content::Chat(Box::new(chat.with_limit(GIVEN)));
        let once = ProxyRequest::new(parts, content);
        assert_eq!(ask(TuningMode::Act, once, 1, "half").await.0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_call_that_fails_costs_nobody_the_first_answer() {
        let Reply::Whole(first) = answer("half", "length") else {
            panic!("it is whole");
        };
        let body = first.body.clone();
        let filtered = answer("", "content_filter");
        for second in [Err(ProxyError::Internal("x")), Ok(filtered)] {
            let Reply::Whole(whole) = better(second, first.clone()) else {
                panic!("it is whole");
            };
            assert_eq!(whole.body, body);
        }
    }

    #[test]
    fn the_room_fits_into_the_time_that_is_left() {
        let secs = Duration::from_secs;
        for (took, left, room) in [
            (1, 29, Some(8_000)),
            (10, 20, Some(3_200)),
            (11, 19, None),
            (29, 1, None),
        ] {
            let set = 2_000;
            assert_eq!(fitting(8_000, 2_000, set, secs(took), secs(left)), room);
        }
        // Of a limit that was lowered all that is set, however slow the model is, unless nothing can come of it.
        for (took, left, room) in [
            (1, 29, Some(2_000)),
            (4, 26, Some(2_000)),
            (14, 16, None),
            (20, 10, None),
        ] {
            assert_eq!(fitting(2_000, 256, 2_000, secs(took), secs(left)), room);
        }
        assert_eq!(fitting(8_000, 1_000, 2_000, secs(5), secs(25)), Some(4_000));
    }

    #[tokio::test(start_paused = true)]
    async fn the_ends_of_streams_are_seen() {
        let mut config = Config::default();
        config.tuning.mode = TuningMode::Observe;
        let times = Times::new(&config.cache);
        let journal = Journal::default();
        let optimizer = Optimizer::new(&config, None, &times, &journal).unwrap();
        let limits = optimizer.limits();
        for n in 0..400 {
            let end = if n % 10 == 0 { "length" } else { "stop" };
            let chunks = [
                r#"{"choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#.to_owned(),
                format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{end}"}}]}}"#),
                r#"{"choices":[],"usage":{}}"#.to_owned(),
            ];
            let ending = Ending {
                worth: Some(Worth::default()),
                whole: None,
            };
            let frames = chunks.map(|chunk| Ok(Frame::Chunk(chunk.into())));
            let frames = frames.into_iter().chain([Ok(Frame::End(ending))]);
            let reply = Reply::Stream(Streaming {
                head: head(),
                kind: StreamKind::Events,
                frames: Box::pin(stream::iter(frames)),
            });
            let given = GIVEN.unwrap();
            let Reply::Stream(stream) = measure(reply, limits.clone(), "m".into(), given) else {
                panic!("it is a stream");
            };
            assert_eq!(stream.frames.count().await, 4);
        }
        limits.look(&journal, Instant::now());
        let newest = &journal.entries()[0].decision;
        assert!(
            newest.evidence.contains("10.0 % were cut off"),
            "{newest:?}"
        );
    }
}
