//! What flows through the stack: one client request, read once, cheap to clone.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;

use crate::compressor::{Level, Memo, Plan, Recall, Saving};
use crate::fingerprint::{self, Fingerprint, Scope};
use crate::json::{Json, Node};
use crate::metering::account::{self, Account};

pub(crate) use aside::{LONG, aside};
pub use cache_control::{CacheControl, Verdict};
pub use timings::{Stage, Timings};

mod aside;
mod cache_control;
mod timings;

/// A client's request on its way through the stack.
#[derive(Clone)]
pub struct ProxyRequest {
    shared: Arc<Shared>,
    /// Which socket the next attempt takes; the one thing that may differ between two attempts.
    pub socket: Socket,
    /// When its answer must be there: the client's deadline, or a later one where no client waits.
    pub deadline: Instant,
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
    /// `/v1/chat/completions`
    ChatCompletions,
    /// Any other below `/v1`.
    Forwarded,
}

impl Route {
    /// Those whose requests are chat completions.
    pub const ALL: [Self; 3] = [Self::Create, Self::CreateChat, Self::ChatCompletions];

    /// Its path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "/create",
            Self::CreateChat => "/create/chat",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Forwarded => "/v1/*",
        }
    }
}

/// What the edge knows of a request before the stack sees it.
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
}

/// The body.
pub enum Content {
    /// A chat completion: compressed, cached, shared.
    Chat(Box<Chat>),
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

/// A validated chat-completion request.
pub struct Chat {
    original: Json,
    model: Arc<str>,
    /// Whom the client attributes it to.
    user: Option<Arc<str>>,
    shape: Shape,
    /// Fields that the proxy put in, which are not part of the request's identity.
    injected: &'static [&'static str],
    edit: OnceLock<Edit>,
    edited: OnceLock<Option<Edited>>,
    saved: OnceLock<Saved>,
    alias: OnceLock<Fingerprint>,
    question: OnceLock<Fingerprint>,
    /// Which of several answers to one question it gets.
    variant: OnceLock<u32>,
}

/// How a request's text is to be edited.
#[derive(Clone)]
pub struct Edit {
    /// Who is compressed how.
    pub plan: Plan,
    /// What became of texts that came before, where that may be kept, and whose texts these are.
    pub memo: Option<(Arc<Memo>, [u8; 32])>,
    /// Does it.
    pub apply: fn(&Json, &Plan, Option<Recall<'_>>) -> Option<Edited>,
}

/// A request's text after compression.
pub struct Edited {
    /// What goes upstream.
    pub json: Json,
    /// How much is gone.
    pub saved: Saved,
}

/// What compression took out of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Characters of text before compression.
    pub chars_before: u64,
    /// Characters taken out.
    pub chars: u64,
    /// `o200k_base` tokens taken out.
    pub tokens: u64,
    /// The same by rule and kind of content.
    pub savings: Arc<[Saving]>,
}

struct Shared {
    parts: Parts,
    content: Content,
    timings: Timings,
}

impl Chat {
    /// A chat request from validated JSON. `injected` names the fields that the proxy added itself.
    pub fn new(original: Json, injected: &'static [&'static str]) -> Self {
        let root = original.root();
        let model = root
            .get("model")
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into();
        let include_usage = root
            .get("stream_options")
            .and_then(|options| options.get("include_usage"))
            .and_then(Node::as_bool)
            .unwrap_or(false);
        let shape = match root.get("stream").and_then(Node::as_bool) {
            Some(true) => Shape::Stream { include_usage },
            _ => Shape::Whole,
        };
        Self {
            user: root
                .get("user")
                .and_then(Node::as_str)
                .filter(|user| !user.is_empty())
                .map(|user| account::clip(user).into()),
            original,
            model,
            shape,
            injected,
            edit: OnceLock::new(),
            edited: OnceLock::new(),
            saved: OnceLock::new(),
            alias: OnceLock::new(),
            question: OnceLock::new(),
            variant: OnceLock::new(),
        }
    }

    /// The form in which the client wants its answer.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The model as the client named it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whom the client attributes it to; as much of the name as is kept.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Its sampling temperature; where it names none, that of `OpenAI`'s API.
    pub fn temperature(&self) -> f64 {
        let own = self.original.root().get("temperature");
        own.and_then(Node::as_f64).unwrap_or(1.0)
    }

    /// Whether it is for a stream and does not say whether that is to end with its usage.
    fn leaves_usage_open(&self) -> bool {
        matches!(self.shape, Shape::Stream { .. })
            && self.original.root().get("stream_options").is_none()
    }

    /// The fields that the proxy put in.
    pub fn injected(&self) -> &'static [&'static str] {
        self.injected
    }
}

/// The same JSON object with a wish for the usage at the end of the stream.
fn with_usage(json: &Bytes) -> Bytes {
    const WISH: &[u8] = b",\"stream_options\":{\"include_usage\":true}}";
    let Some(object) = json.trim_ascii_end().strip_suffix(b"}") else {
        return json.clone();
    };
    [object, WISH].concat().into()
}

impl ProxyRequest {
    /// Puts a request together.
    pub fn new(parts: Parts, content: Content) -> Self {
        let deadline = parts.deadline;
        let shared = Shared {
            parts,
            content,
            timings: Timings::default(),
        };
        Self {
            shared: Arc::new(shared),
            socket: Socket::Pooled,
            deadline,
        }
    }

    /// Method, path, headers, scope, deadline.
    pub fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    /// The chat completion, if it is one.
    pub fn chat(&self) -> Option<&Chat> {
        match &self.shared.content {
            Content::Chat(chat) => Some(chat),
            Content::Opaque { .. } => None,
        }
    }

    /// The model, where the body names one.
    pub fn model(&self) -> Option<&str> {
        match &self.shared.content {
            Content::Chat(chat) => Some(&chat.model),
            Content::Opaque { model, .. } => model.as_deref(),
        }
    }

    /// The same to keep.
    pub fn model_name(&self) -> Option<Arc<str>> {
        match &self.shared.content {
            Content::Chat(chat) => Some(Arc::clone(&chat.model)),
            Content::Opaque { model, .. } => model.clone(),
        }
    }

    /// Whether the client asks for an answer piece by piece.
    pub fn wants_stream(&self) -> bool {
        match &self.shared.content {
            Content::Chat(chat) => matches!(chat.shape, Shape::Stream { .. }),
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
        let chat = self.chat()?;
        let edited = chat.edited.get_or_init(|| {
            let edit = chat.edit.get()?;
            let known = edit.memo.as_ref().map(|(memo, owner)| memo.of(*owner));
            let begun = Instant::now();
            let is_long = chat.original.text().len() >= LONG;
            let edited = aside(is_long, || (edit.apply)(&chat.original, &edit.plan, known));
            self.shared.timings.add(Stage::Compress, begun.elapsed());
            if let Some(edited) = &edited {
                let _ = chat.saved.set(edited.saved.clone());
            }
            edited
        });
        Some(
            edited
                .as_ref()
                .map_or(&chat.original, |edited| &edited.json),
        )
    }

    /// The bytes that go upstream: those of the client where nothing changed them.
    pub fn body(&self) -> Bytes {
        match &self.shared.content {
            Content::Opaque { body, .. } => body.clone(),
            Content::Chat(chat) => {
                let json = self.outgoing().unwrap_or(&chat.original);
                if self.parts().asks_for_usage && chat.leaves_usage_open() {
                    with_usage(json.text())
                } else {
                    json.text().clone()
                }
            }
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
        let chat = self.chat()?;
        let json = self.outgoing()?;
        let Parts {
            scope,
            path,
            headers,
            ..
        } = self.parts();
        Some(*chat.question.get_or_init(|| {
            fingerprint::fingerprint(*scope, path, headers, json.root(), chat.injected)
        }))
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
        let chat = self.chat()?;
        let Parts {
            scope,
            path,
            headers,
            ..
        } = self.parts();
        Some(*chat.alias.get_or_init(|| {
            let plan = chat.edit.get().map(|edit| edit.plan).unwrap_or_default();
            let body = chat.original.text();
            fingerprint::alias(
                *scope,
                path,
                headers.iter(),
                &plan.name(),
                chat.injected,
                body,
            )
        }))
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
