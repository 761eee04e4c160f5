//! What flows through the stack: one client request, read once, cheap to clone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;

use crate::compressor::Level;
use crate::embeddings::Embeddings;
use crate::fingerprint::{Fingerprint, Scope};
use crate::json::Json;
use crate::metering::account::Account;
use crate::telemetry::{Span, Trace};
use crate::tuning::learn::Outcome;

pub use again::Again;
pub(crate) use aside::{LONG, aside};
pub use cache_control::{CacheControl, Verdict};
pub use chat::{Chat, Edit, Edited, Saved};
pub use marking::{Marking, Place};
pub use timings::{Stage, Timings};

mod again;
mod aside;
mod cache_control;
mod chat;
mod marking;
mod timings;

/// A client's request on its way through the stack.
#[derive(Clone)]
pub struct ProxyRequest {
    shared: Arc<Shared>,
    /// Which socket the next attempt takes; this, their number and a limit is all that may differ between two attempts.
    pub socket: Socket,
    /// How many attempts there were before the next one.
    pub resends: u32,
    /// Another limit of tokens than the one that the proxy put in: what was cut off at that is asked for again.
    pub max_tokens: Option<u32>,
    /// When its answer must be there: the client's deadline, or a later one where no client waits.
    pub deadline: Instant,
    /// Where it is in its trace, if it is in one: what works on it next begins its span there.
    pub trace: Option<Trace>,
}

/// Where an attempt gets its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// Out of the pool where one is idle.
    Pooled,
    /// A new one, because a pooled one turned out dead.
    Fresh,
}

/// The form in which an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One JSON object.
    Whole,
    /// Server-sent events.
    Stream {
        /// Whether the client asked for a last event with the usage.
        include_usage: bool,
    },
}

/// The endpoint that a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/create`
    Create,
    /// `/create/chat`
    CreateChat,
    /// `/create/batch`: one of the requests in it.
    CreateBatch,
    /// `/v1/chat/completions`
    ChatCompletions,
    /// Any other below `/v1`.
    Forwarded,
}

impl Route {
    /// Those whose requests are chat completions.
    pub const ALL: [Self; 4] = [
        Self::Create,
        Self::CreateChat,
        Self::CreateBatch,
        Self::ChatCompletions,
    ];

    /// Its path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "/create",
            Self::CreateChat => "/create/chat",
            Self::CreateBatch => "/create/batch",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Forwarded => "/v1/*",
        }
    }
}

/// What the edge knows of a request before the stack sees it.
#[derive(Clone)]
pub struct Parts {
    /// The method upstream.
    pub method: Method,
    /// Path and query below `upstream.base_url`, with the leading slash.
    pub path: Box<str>,
    /// The headers that may go upstream.
    pub headers: HeaderMap,
    /// The client's own credential, where it may go upstream.
    pub authorization: Option<HeaderValue>,
    /// Who shares answers with this caller.
    pub scope: Scope,
    /// What the client demands of the cache, and what the operator does in its place.
    pub cache_control: CacheControl,
    /// How long an answer to it is fresh.
    pub ttl: Duration,
    /// The compression level that the client asks for.
    pub level: Option<Level>,
    /// The endpoint that the client called.
    pub route: Route,
    /// When the client will have waited long enough.
    pub deadline: Instant,
    /// What pays for the calls upstream.
    pub account: Arc<Account>,
    /// Whether streams are asked for their usage where their clients do not: the books need it.
    pub asks_for_usage: bool,
    /// Whether a prompt is refused that is surely longer than its model reads.
    pub refuses_overflow: bool,
}

/// The body.
pub enum Content {
    /// A chat completion: compressed, cached, shared.
    Chat(Box<Chat>),
    /// A call for embeddings: its inputs are cached one by one, and go together with those of others.
    Embeddings(Box<Embeddings>),
    /// Anything else, forwarded as it is.
    Opaque {
        /// The bytes.
        body: Bytes,
        /// The model it names, for the breaker.
        model: Option<Arc<str>>,
        /// Whether it asks for an answer piece by piece.
        wants_stream: bool,
    },
}

struct Shared {
    parts: Parts,
    content: Content,
    timings: Timings,
    owner: OnceLock<Fingerprint>,
}

impl ProxyRequest {
    /// Puts a request together.
    pub fn new(parts: Parts, content: Content) -> Self {
        let deadline = parts.deadline;
        let shared = Shared {
            parts,
            content,
            timings: Timings::default(),
            owner: OnceLock::new(),
        };
        Self {
            shared: Arc::new(shared),
            socket: Socket::Pooled,
            resends: 0,
            max_tokens: None,
            deadline,
            trace: None,
        }
    }

    /// Begins the span of a layer that the request is in from now on; none where it is not traced.
    pub(crate) fn enter(&mut self, layer: &'static str) -> Option<Span> {
        let span = self.trace.as_ref()?.begin(layer)?;
        self.trace = Some(span.here().clone());
        Some(span)
    }

    /// Method, path, headers, scope, deadline.
    pub fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    /// The name of those who share answers with its caller.
    pub fn owner(&self) -> Fingerprint {
        *self
            .shared
            .owner
            .get_or_init(|| self.parts().scope.digest())
    }

    /// The chat completion, if it is one.
    pub fn chat(&self) -> Option<&Chat> {
        match &self.shared.content {
            Content::Chat(chat) => Some(chat),
            Content::Embeddings(_) | Content::Opaque { .. } => None,
        }
    }

    /// The call for embeddings, if it is one.
    pub fn embeddings(&self) -> Option<&Embeddings> {
        match &self.shared.content {
            Content::Embeddings(embeddings) => Some(embeddings),
            Content::Chat(_) | Content::Opaque { .. } => None,
        }
    }

    /// The same with other inputs, paid by this account.
    #[must_use]
    pub fn with_embeddings(&self, embeddings: Embeddings, account: Arc<Account>) -> Self {
        let parts = Parts {
            account,
            ..self.parts().clone()
        };
        Self {
            deadline: self.deadline,
            trace: self.trace.clone(),
            ..Self::new(parts, Content::Embeddings(Box::new(embeddings)))
        }
    }

    /// Whether answers to its like are kept.
    pub fn is_looked_up(&self) -> bool {
        let can_be = self.chat().is_some() || self.embeddings().is_some();
        can_be && !self.parts().cache_control.is_bypass()
    }

    /// The model, where the body names one.
    pub fn model(&self) -> Option<&str> {
        match &self.shared.content {
            Content::Chat(chat) => Some(&chat.model),
            Content::Embeddings(embeddings) => Some(embeddings.model()),
            Content::Opaque { model, .. } => model.as_deref(),
        }
    }

    /// The same to keep.
    pub fn model_name(&self) -> Option<Arc<str>> {
        match &self.shared.content {
            Content::Chat(chat) => Some(Arc::clone(&chat.model)),
            Content::Embeddings(embeddings) => Some(Arc::clone(embeddings.model())),
            Content::Opaque { model, .. } => model.clone(),
        }
    }

    /// Whether the client asks for an answer piece by piece.
    pub fn wants_stream(&self) -> bool {
        match &self.shared.content {
            Content::Chat(chat) => matches!(chat.shape(), Shape::Stream { .. }),
            Content::Embeddings(_) => false,
            Content::Opaque { wants_stream, .. } => *wants_stream,
        }
    }

    /// How long the stages took.
    pub fn timings(&self) -> &Timings {
        &self.shared.timings
    }

    /// Has the text edited before it is sent, but only once somebody needs it: a repeat that its alias
    /// leads to the cache never pays for it. The first call decides.
    pub fn edit_by(&self, edit: Edit) {
        if let Some(chat) = self.chat() {
            let _ = chat.edit.set(edit);
        }
    }

    /// The JSON that goes upstream.
    pub fn outgoing(&self) -> Option<&Json> {
        Some(self.chat()?.outgoing(self.timings()))
    }

    /// The bytes that go upstream: those of the client where nothing changed them.
    pub fn body(&self) -> Bytes {
        match &self.shared.content {
            Content::Opaque { body, .. } => body.clone(),
            Content::Embeddings(embeddings) => embeddings.body().clone(),
            Content::Chat(chat) => {
                let json = chat.outgoing(self.timings());
                let text = match self.marking() {
                    Some(marking) => marking.apply(json.text()),
                    None => json.text().clone(),
                };
                let body = if self.asks_for_usage() {
                    chat::with_usage(json.root(), text)
                } else {
                    text
                };
                match self.max_tokens {
                    Some(tokens) => chat::with_max_tokens(&body, tokens),
                    None => body,
                }
            }
        }
    }

    /// Has what goes upstream marked for the provider's own prompt cache. The first call decides: all attempts send the
    /// same.
    pub fn mark(&self, choose: impl FnOnce(&Json) -> Option<Marking>) {
        if let Some(chat) = self.chat() {
            let json = chat.outgoing(self.timings());
            let _ = chat.marking.get_or_init(|| choose(json));
        }
    }

    /// How what goes upstream is marked, if it is.
    pub fn marking(&self) -> Option<&Marking> {
        let marking = self.chat()?.marking.get()?.as_ref()?;
        marking.is_on().then_some(marking)
    }

    /// Whether the proxy asks for the usage of its stream, which its client did not.
    pub fn asks_for_usage(&self) -> bool {
        self.parts().asks_for_usage && self.chat().is_some_and(Chat::leaves_usage_open)
    }

    /// Tells whoever learns from it what it came to, and what a thousand tokens more of its prompt would have cost, in
    /// nano-dollars.
    pub(crate) fn tell(&self, outcome: Outcome, price: impl FnOnce() -> u64) {
        if let Some(chat) = self.chat() {
            chat.tell(&self.parts().account, outcome, price);
        }
    }

    /// What compression saved, as far as known by now.
    pub fn saved(&self) -> Saved {
        self.chat()
            .and_then(|chat| chat.saved.get())
            .cloned()
            .unwrap_or_default()
    }

    /// Tells what compression saved when the same bytes came before.
    pub fn remember_saved(&self, saved: Saved) {
        if let Some(chat) = self.chat() {
            let _ = chat.saved.set(saved);
        }
    }

    /// The identity of what goes upstream.
    pub fn question(&self) -> Option<Fingerprint> {
        Some(self.chat()?.question(self.parts(), self.timings()))
    }

    /// The identity of the answer that it gets: of the question, and of the variant that was dealt to it.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        Some(self.question()?.variant(self.variant()))
    }

    /// Says which of several answers to its question it gets. The first call decides.
    pub fn deal(&self, variant: u32) {
        if let Some(chat) = self.chat() {
            let _ = chat.variant.set(variant);
        }
    }

    /// Which of several answers to its question it gets.
    pub fn variant(&self) -> u32 {
        let dealt = self.chat().and_then(|chat| chat.variant.get());
        dealt.copied().unwrap_or(0)
    }

    /// Takes the identity of what came in from whoever has worked it out already.
    pub fn remember_alias(&self, alias: Fingerprint) {
        if let Some(chat) = self.chat() {
            let _ = chat.alias.set(alias);
        }
    }

    /// The identity of what came in, which costs one hash and no compression.
    pub fn alias(&self) -> Option<Fingerprint> {
        Some(self.chat()?.alias(self.parts()))
    }

    /// The identity of what came in by which to remember what it came to.
    pub fn kept_alias(&self) -> Option<Fingerprint> {
        Some(self.chat()?.kept_alias(self.parts()))
    }

    /// Whether the upstream may see this request twice without harm: questions, and the methods that
    /// RFC 9110 section 9.2.2 calls idempotent.
    pub fn is_repeatable(&self) -> bool {
        let Parts { method, path, .. } = self.parts();
        let path = path.split('?').next().unwrap_or_default();
        self.chat().is_some()
            || method.is_idempotent()
            || matches!(
                path,
                "/embeddings" | "/completions" | "/moderations" | "/chat/completions"
            )
    }
}
