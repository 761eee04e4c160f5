//! The two cache layers around a scripted upstream, on a clock that the tests move: no socket, no waiting.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::{advance, sleep};
use tower::ServiceBuilder;
use tower::util::{option_layer, service_fn};

use super::*;
use crate::chat::{self, Quality, Usage};
use crate::config::Config;
use crate::fingerprint::Scope;
use crate::json::Json;
use crate::layers::dedup::{DedupLayer, Flights};
use crate::reply::{Frame, Head, Whole, Worth};
use crate::request::{CacheControl, Chat, Content, Parts, Route};
use crate::stack;
use crate::store::{Filter, Limits, Memory};

use upstream::{Act, Upstream};

mod clock;
mod directives;
mod failures;
mod freshness;
mod refreshes;
mod upstream;
mod variants;

/// The cache, with dedup where the settings have it, before an upstream that does as it is told.
struct House {
    config: Config,
    store: Store,
    metrics: Arc<Metrics>,
    upstream: Upstream,
    service: stack::Service,
}

/// A request in the making.
#[derive(Clone)]
struct Ask {
    route: Route,
    control: &'static str,
    body: Value,
}

/// What a caller gets: the answer's text, or what came instead of one; and `Cache-Status`, less the cache's name.
type Got = (String, String);

fn got(text: &str, status: &str) -> Got {
    (text.to_owned(), status.to_owned())
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

// === impl Ask ===

impl Ask {
    /// One question, for a whole answer.
    fn new() -> Self {
        Self::about("q")
    }

    fn about(prompt: &str) -> Self {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": prompt}]});
        Self {
            route: Route::ChatCompletions,
            control: "",
            body,
        }
    }

    fn streaming(mut self, streams: bool) -> Self {
        self.body["stream"] = streams.into();
        self
    }

    fn control(self, control: &'static str) -> Self {
        Self { control, ..self }
    }

    fn on(self, route: Route) -> Self {
        Self { route, ..self }
    }

    fn at_temperature(mut self, temperature: f64) -> Self {
        self.body["temperature"] = temperature.into();
        self
    }
}

// === impl House ===

impl House {
    fn new(settings: &str) -> Self {
        let config = match Config::from_toml(settings) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        };
        let store = Store::new(Memory::new(Limits::from(&config.cache)), None, None);
        let metrics = Arc::new(Metrics::default());
        let upstream = Upstream::new();
        let flights = config.dedup.enabled.then(Flights::default);
        let leaf = upstream.clone();
        let service = ServiceBuilder::new()
            .layer(CacheLayer::new(
                &config,
                Some(store.clone()),
                Arc::clone(&metrics),
            ))
            .layer(option_layer(flights.map(DedupLayer::new)))
            .layer(RecordLayer::new(
                store.clone(),
                config.cache.admit,
                false,
                Arc::clone(&metrics),
            ))
            .service(service_fn(move |request| leaf.clone().call(request)));
        Self {
            config,
            store,
            metrics,
            upstream,
            service: stack::Service::new(service),
        }
    }

    /// The request as the edge makes it.
    fn request(&self, ask: &Ask) -> ProxyRequest {
        let json = Json::parse(ask.body.to_string().into()).unwrap();
        let chat = Chat::new(json, &[]);
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, ask.control.parse().unwrap());
        let mut cache_control = CacheControl::from_headers(&headers);
        cache_control.no_store |= !self.config.cache.takes(ask.route, &chat);
        let parts = Parts {
            method: Method::POST,
            path: "/chat/completions".into(),
            headers: HeaderMap::new(),
            authorization: None,
            scope: Scope::Anonymous,
            cache_control,
            ttl: self.config.cache.ttl_of(ask.route),
            level: None,
            route: ask.route,
            deadline: Instant::now() + self.config.upstream.total_timeout,
            account: Arc::default(),
            asks_for_usage: false,
            refuses_overflow: false,
        };
        ProxyRequest::new(parts, Content::Chat(Box::new(chat)))
    }

    /// Asks, and reads all that comes.
    async fn ask(&self, ask: &Ask) -> Got {
        let reply = self.service.clone().oneshot(self.request(ask)).await;
        match reply {
            Ok(reply) => read(reply).await,
            Err(error) => got(error.code(), ""),
        }
    }

    /// So many callers ask the same at once.
    async fn ask_at_once(&self, callers: usize, ask: &Ask) -> Vec<Got> {
        join_all((0..callers).map(|_| self.ask(ask))).await
    }

    /// Waits until nothing moves any more but time, of which this takes a millisecond.
    async fn settle(&self) {
        // A paused clock goes on by itself only when every task waits for it.
        sleep(Duration::from_millis(1)).await;
    }

    fn calls(&self) -> usize {
        self.upstream.calls().len()
    }
}

/// All of a reply.
async fn read(reply: Reply) -> Got {
    let head = reply.head().clone();
    let text = match reply {
        Reply::Whole(whole) if whole.answer.is_some() => text_of(&whole.body),
        Reply::Whole(whole) => whole.head.status.as_u16().to_string(),
        Reply::Stream(mut stream) => {
            let mut chunks = Vec::new();
            loop {
                match stream.frames.next().await {
                    Some(Ok(Frame::Chunk(chunk))) => chunks.push(chunk),
                    Some(Ok(Frame::End(_))) => {
                        break text_of(&chat::whole_of(&chunks, Usage::default()).unwrap());
                    }
                    Some(Err(_)) | None => break "cut".to_owned(),
                }
            }
        }
    };
    let mut status = String::new();
    head.provenance.write_cache_status(&mut status).unwrap();
    let status = status.strip_prefix("pegasus-nest; ").unwrap();
    (text, status.to_owned())
}

fn text_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    let text = &body["choices"][0]["message"]["content"];
    text.as_str().unwrap().to_owned()
}
