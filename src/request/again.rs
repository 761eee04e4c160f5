//! A request in the form in which it can be made again, long after its client has gone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::{CacheControl, Chat, Content, Edit, Parts, ProxyRequest, Route};
use crate::compressor::Level;
use crate::fingerprint::{Fingerprint, Scope};
use crate::json::{Json, ParseError};
use crate::metering::account::{Account, Payer};
use crate::tuning::limits::Given;

/// A longer body (bytes) is not kept to be sent again.
const MAX_BODY: usize = 256 * 1024;
/// What is kept beside bodies and headers, at about (bytes).
const OVERHEAD: usize = 512;
/// What belongs to one call: with the same key the upstream would give the old answer, and what is asked again is no part of
/// the trace in which it was asked first.
const OF_ONE_CALL: [&str; 3] = ["idempotency-key", "traceparent", "tracestate"];

/// A chat completion that can be asked for again in the name of the client who did. It holds what that client showed, and
/// its text: it is never logged, and goes when the answers of its scope are cleared.
pub struct Again {
    path: Box<str>,
    headers: HeaderMap,
    authorization: Option<HeaderValue>,
    scope: Scope,
    ttl: Duration,
    level: Option<Level>,
    route: Route,
    asks_for_usage: bool,
    refuses_overflow: bool,
    text: Bytes,
    injected: &'static [&'static str],
    limit: Option<Given>,
    edit: Option<Edit>,
    payer: Payer,
    owner: Fingerprint,
    model: Arc<str>,
}

impl Again {
    /// What it takes to make a request again; `None` of one that is not to be made again: another thing than a chat
    /// completion, one that is not to be kept, or one that all share and that its client would pay for.
    pub fn of(request: &ProxyRequest) -> Option<Self> {
        let (parts, chat) = (request.parts(), request.chat()?);
        let is_anothers = parts.scope == Scope::Global && parts.authorization.is_some();
        let text = chat.original.text();
        if parts.cache_control.is_bypass() || is_anothers || text.len() > MAX_BODY {
            return None;
        }
        let edit = chat.edit.get().cloned();
        let headers = parts.headers.iter();
        let headers = headers.filter(|(name, _)| !OF_ONE_CALL.contains(&name.as_str()));
        let copy = |(name, value): (&HeaderName, &HeaderValue)| (name.clone(), own(value));
        Some(Self {
            path: parts.path.clone(),
            headers: headers.map(copy).collect(),
            authorization: parts.authorization.as_ref().map(own),
            scope: parts.scope,
            ttl: parts.ttl,
            level: parts.level,
            route: parts.route,
            asks_for_usage: parts.asks_for_usage,
            refuses_overflow: parts.refuses_overflow,
            text: Bytes::copy_from_slice(text),
            injected: chat.injected(),
            limit: chat.limit(),
            edit: edit.map(|edit| Edit {
                trace: None,
                // Nobody asks again: that the answer is fetched anew says nothing of the one before.
                may_be_heard: false,
                ..edit
            }),
            payer: parts.account.payer(),
            owner: request.owner(),
            model: Arc::clone(&chat.model),
        })
    }

    /// The request, which this account pays for, and whose answer is to be fresh for so long.
    pub fn request(
        &self,
        account: Arc<Account>,
        min_fresh: Duration,
        deadline: Instant,
    ) -> Result<ProxyRequest, ParseError> {
        let chat = Chat::new(Json::parse(self.text.clone())?, self.injected).with_limit(self.limit);
        let parts = Parts {
            method: Method::POST,
            path: self.path.clone(),
            headers: self.headers.clone(),
            authorization: self.authorization.clone(),
            scope: self.scope,
            cache_control: CacheControl {
                min_fresh: Some(min_fresh),
                ..CacheControl::default()
            },
            ttl: self.ttl,
            level: self.level,
            route: self.route,
            deadline,
            account,
            asks_for_usage: self.asks_for_usage,
            refuses_overflow: self.refuses_overflow,
        };
        let request = ProxyRequest::new(parts, Content::Chat(Box::new(chat)));
        if let Some(edit) = &self.edit {
            request.edit_by(edit.clone());
        }
        Ok(request)
    }

    /// Who pays for it.
    pub fn payer(&self) -> &Payer {
        &self.payer
    }

    /// The endpoint that its client called.
    pub fn route(&self) -> Route {
        self.route
    }

    /// The model that is asked.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The name of those who share its answer.
    pub fn owner(&self) -> Fingerprint {
        self.owner
    }

    /// How long its answer is fresh.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// What it takes of memory, in bytes.
    pub fn weight(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
        OVERHEAD + self.text.len() + self.path.len() + headers.sum::<usize>()
    }
}

/// The same value in memory of its own: it came as a part of the buffer that its request was read into.
fn own(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compressor::Plan;
    use crate::tuning::limits::Size;

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_again_with_all_but_what_belonged_to_the_first_call_and_in_memory_of_its_own()
     {
        let read = Bytes::from(
            br#"{"model":"m","messages":[],"max_tokens":7}Bearer mine some-agent"#.to_vec(),
        );
        let value = |span| HeaderValue::from_maybe_shared(read.slice(span)).unwrap();
        let mut authorization = value(42..53);
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", value(54..64));
        for name in OF_ONE_CALL {
            headers.insert(name, HeaderValue::from_static("a"));
        }
        let given = Given {
            size: Size::Simple,
            tokens: 7,
        };
        let json = Json::parse(read.slice(..42)).unwrap();
        let chat = Chat::new(json, &["max_tokens"]).with_limit(Some(given));
        let parts = Parts {
            method: Method::POST,
            path: "/chat/completions".into(),
            headers,
            authorization: Some(authorization),
            scope: Scope::Anonymous,
            cache_control: CacheControl::default(),
            ttl: Duration::from_secs(1),
            level: None,
            route: Route::ChatCompletions,
            deadline: Instant::now(),
            account: Arc::default(),
            asks_for_usage: false,
            refuses_overflow: false,
        };
        let request = ProxyRequest::new(parts, Content::Chat(Box::new(chat)));
        request.edit_by(Edit {
            plan: Plan::default(),
            memo: None,
            learning: None,
            is_wished: false,
            may_be_heard: true,
            trace: None,
            apply: |_, _, _| None,
        });
        let (again, body) = (Again::of(&request).unwrap(), request.body());
        let again = again.request(Arc::default(), Duration::ZERO, Instant::now());
        let again = again.unwrap();
        assert_eq!(again.body(), body);
        drop((request, body));
        assert!(read.is_unique());
        let parts = again.parts();
        assert_eq!(parts.headers.len(), 1);
        assert_eq!(parts.headers["user-agent"], "some-agent");
        let shown = parts.authorization.as_ref().unwrap();
        assert!(shown == "Bearer mine" && shown.is_sensitive());
        let chat = again.chat().unwrap();
        assert_eq!(chat.limit(), Some(given));
        assert!(!chat.edit.get().unwrap().may_be_heard);
    }
}
