//! The stack before a provider of embeddings that does as it is told: no socket, and a clock that the tests move.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;
use tower::util::service_fn;

use crate::chat::usage_of;
use crate::config::Config;
use crate::embeddings::Embeddings;
use crate::fingerprint::Scope;
use crate::layers::ReplyResult;
use crate::metering::Metrics;
use crate::metering::account::{Account, Row};
use crate::metering::tokens::count::count_text;
use crate::reply::{Head, Provenance, Reply, Whole};
use crate::request::{CacheControl, Content, Parts, ProxyRequest, Route};
use crate::stack::{self, Stack};

/// A model whose vocabulary and price are known: 20 nano-dollars a token.
pub(in crate::layers) const MODEL: &str = "text-embedding-3-small";

/// How long the provider takes.
pub(in crate::layers) const CALL: Duration = Duration::from_millis(200);

pub(in crate::layers) struct House {
    config: Config,
    pub(in crate::layers) stack: Stack,
    calls: Arc<Mutex<Vec<Bytes>>>,
    ended: Arc<Mutex<usize>>,
}

/// A call in the making.
#[derive(Clone)]
pub(in crate::layers) struct Ask {
    pub(in crate::layers) body: String,
    pub(in crate::layers) headers: Vec<(&'static str, &'static str)>,
    pub(in crate::layers) scope: Scope,
    pub(in crate::layers) credential: Option<&'static str>,
}

/// What a caller got.
pub(in crate::layers) struct Got {
    pub(in crate::layers) status: u16,
    pub(in crate::layers) body: Bytes,
    pub(in crate::layers) provenance: Provenance,
    pub(in crate::layers) row: Row,
}

/// A call for this input.
pub(in crate::layers) fn ask(input: &Value) -> Ask {
    ask_for(&json!({"model": MODEL, "input": input}))
}

pub(in crate::layers) fn ask_for(body: &Value) -> Ask {
    Ask {
        body: body.to_string(),
        headers: Vec::new(),
        scope: Scope::Anonymous,
        credential: None,
    }
}

/// The answer to a call, as a careful provider gives it: its embeddings in no order, their numbers oddly spelled.
pub(in crate::layers) fn embed(body: &Value) -> Reply {
    let inputs = match &body["input"] {
        Value::Array(items) if !items[0].is_u64() => items.clone(),
        one => vec![one.clone()],
    };
    let element = |(index, input): (usize, &Value)| {
        let sum: u32 = input.to_string().bytes().map(u32::from).sum();
        format!(
            "{{ \"object\":\"embedding\", \"index\":{index}, \"embedding\":[{sum}.10,-1E-07] }}"
        )
    };
    let mut data: Vec<_> = inputs.iter().enumerate().map(element).collect();
    data.reverse();
    let tokens: u64 = inputs.iter().map(tokens_of).sum();
    let model = body["model"].as_str().unwrap();
    answer(format!(
        "{{\"object\": \"list\", \"data\": [{}], \"model\": \"{model}-2\", \
         \"usage\": {{\"prompt_tokens\": {tokens}, \"total_tokens\": {tokens}}}, \"id\": null}}",
        data.join(", ")
    ))
}

fn tokens_of(input: &Value) -> u64 {
    match input {
        Value::String(text) => count_text(MODEL, text).tokens,
        list => list.as_array().unwrap().len() as u64,
    }
}

/// A good answer with this body.
pub(in crate::layers) fn answer(body: impl Into<Bytes>) -> Reply {
    status(200, body)
}

pub(in crate::layers) fn status(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    Reply::Whole(Whole {
        head: Head {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            provenance: Provenance::Bypass { stored: false },
        },
        body: body.into(),
        answer: None,
    })
}

/// Counts the calls that nobody waited for.
struct Ended(Arc<Mutex<usize>>, bool);

impl Drop for Ended {
    fn drop(&mut self) {
        *self.0.lock() += usize::from(!self.1);
    }
}

impl House {
    /// A stack with these settings before a provider that answers as this function says.
    pub(in crate::layers) fn new(
        settings: &str,
        provider: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::before(settings, move |body| Ok(provider(body)))
    }

    /// The same before one that need not answer.
    pub(in crate::layers) fn before(
        settings: &str,
        provider: impl Fn(&Value) -> ReplyResult + Send + Sync + 'static,
    ) -> Self {
        let settings = format!("retry.max_attempts = 1\n{settings}");
        let config = Config::from_toml(&settings).unwrap();
        let metrics = Arc::new(Metrics::new(config.metering.prices.clone()));
        let (calls, ended) = (
            Arc::<Mutex<Vec<Bytes>>>::default(),
            Arc::<Mutex<usize>>::default(),
        );
        let (provider, counter, books) =
            (Arc::new(provider), Arc::clone(&ended), Arc::clone(&metrics));
        let sent = Arc::clone(&calls);
        let leaf = service_fn(move |request: ProxyRequest| {
            let body = request.body();
            sent.lock().push(body.clone());
            let (provider, books, counter) = (
                Arc::clone(&provider),
                Arc::clone(&books),
                Arc::clone(&counter),
            );
            async move {
                let mut ended = Ended(counter, false);
                request.parts().account.attempted();
                sleep(CALL).await;
                ended.1 = true;
                let result = provider(&serde_json::from_slice(&body).unwrap());
                if let Ok(Reply::Whole(whole)) = &result
                    && whole.head.status == StatusCode::OK
                    && let Some((usage, model)) = usage_of(&whole.body)
                {
                    let _ = books.answered(&request, usage, model.as_ref());
                }
                result
            }
        });
        Self {
            stack: stack::over(&config, metrics, leaf),
            config,
            calls,
            ended,
        }
    }

    /// What was asked of the provider so far.
    pub(in crate::layers) fn calls(&self) -> Vec<Value> {
        let calls = self.calls.lock();
        calls
            .iter()
            .map(|body| serde_json::from_slice(body).unwrap())
            .collect()
    }

    /// The same to the letter.
    pub(in crate::layers) fn bodies(&self) -> Vec<Bytes> {
        self.calls.lock().clone()
    }

    /// Calls that were ended before they were answered.
    pub(in crate::layers) fn ended(&self) -> usize {
        *self.ended.lock()
    }

    pub(in crate::layers) async fn send(&self, ask: &Ask) -> Result<Got, crate::error::ProxyError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &ask.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let cache_control = CacheControl::from_headers(&headers);
        headers.remove(header::CACHE_CONTROL);
        let account: Arc<Account> = Arc::default();
        let parts = Parts {
            method: Method::POST,
            path: "/embeddings".into(),
            headers,
            authorization: ask.credential.map(HeaderValue::from_static),
            scope: ask.scope,
            cache_control,
            ttl: self.config.cache.ttl,
            level: None,
            route: Route::Forwarded,
            deadline: Instant::now() + self.config.upstream.total_timeout,
            account: Arc::clone(&account),
            asks_for_usage: false,
            refuses_overflow: false,
        };
        let body = Bytes::copy_from_slice(ask.body.as_bytes());
        let json: Value = serde_json::from_slice(&body).unwrap();
        let model = json["model"].as_str().unwrap().into();
        let embeddings = Embeddings::read(&body, model).unwrap();
        let request = ProxyRequest::new(parts, Content::Embeddings(Box::new(embeddings)));
        let reply = self.stack.service.clone().oneshot(request).await?;
        let Reply::Whole(whole) = reply else {
            panic!("a stream");
        };
        let mut row = Row::default();
        account.note(|known| row = known.clone());
        Ok(Got {
            status: whole.head.status.as_u16(),
            body: whole.body,
            provenance: whole.head.provenance,
            row,
        })
    }

    /// Sends a call that is answered.
    pub(in crate::layers) async fn get(&self, ask: &Ask) -> Got {
        self.send(ask).await.unwrap()
    }
}

/// What a call gets that is made by itself.
pub(in crate::layers) fn own(ask: &Ask) -> Value {
    let Reply::Whole(whole) = embed(&serde_json::from_str(&ask.body).unwrap()) else {
        panic!("no answer");
    };
    sorted(&whole.body)
}

/// An answer with its embeddings in their order.
pub(in crate::layers) fn sorted(body: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(body).unwrap();
    let data = answer["data"].as_array_mut().unwrap();
    data.sort_by_key(|element| element["index"].as_u64());
    answer
}
