//! What flows back: a reply that is whole or arrives as a stream, with the story of where it came from.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, StatusCode};

use crate::chat::{Quality, Usage};
use crate::error::ProxyError;

/// An upstream's reply, or one that a layer made from an earlier one.
///
/// `Whole` can be cloned and `Stream` cannot: the compiler asks every layer "and a stream?".
pub enum Reply {
    /// All of it is here.
    Whole(Whole),
    /// Its head is here, its body on the way.
    Stream(Streaming),
}

/// A complete reply.
#[derive(Debug, Clone)]
pub struct Whole {
    /// Status, headers, provenance.
    pub head: Head,
    /// The body.
    pub body: Bytes,
    /// What a good chat completion is worth; `None` for all else.
    pub answer: Option<Worth>,
}

/// A reply whose body is on the way.
pub struct Streaming {
    /// Status, headers, provenance.
    pub head: Head,
    /// What the chunks are.
    pub kind: StreamKind,
    /// The body. Its last item is [`Frame::End`]; a stream that ends without one was cut.
    pub frames: Frames,
}

/// What a stream's chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// The data of one chat-completion event each, without `[DONE]`.
    Events,
    /// Pieces of a body that the proxy does not look into.
    Raw,
}

/// The body of a [`Streaming`].
pub type Frames = Pin<Box<dyn Stream<Item = Result<Frame, ProxyError>> + Send>>;

/// One step of a stream.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The next piece.
    Chunk(Bytes),
    /// The stream ended well.
    End(Ending),
}

/// What is known of a stream once it has ended well.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// What a chat completion was worth.
    pub worth: Option<Worth>,
    /// The whole answer, where somebody has put it together already: once for all who share the stream.
    pub whole: Option<Bytes>,
}

/// What a complete chat answer cost, and of which kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worth {
    /// Tokens, as reported or estimated.
    pub usage: Usage,
    /// What kind of answer it is. Of a stream, whose chunks do not tell, it is [`Quality::Stop`] until the
    /// answer is put together.
    pub quality: Quality,
}

/// Status line and headers, and how they came about.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// End-to-end headers only.
    pub headers: HeaderMap,
    /// Where the reply came from.
    pub provenance: Provenance,
}

/// Where a reply came from, for `X-Cache`, `Cache-Status`, `Age` and the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// From the upstream, for this caller, after the cache had no answer.
    Miss {
        /// Whether the answer is in the cache now.
        stored: bool,
    },
    /// From the upstream, past a cache that was not asked.
    Bypass {
        /// Whether the answer is in the cache now.
        stored: bool,
    },
    /// From the cache.
    Hit {
        /// Since when it is there.
        age: Duration,
        /// How long it stays fresh.
        ttl: Duration,
        /// Which part of the cache had it.
        tier: Tier,
    },
    /// From the cache, past its life.
    Stale {
        /// Since when it is there.
        age: Duration,
        /// How long its life is over.
        expired_for: Duration,
        /// Why it is given all the same.
        excuse: Excuse,
    },
    /// From a call that another caller had begun.
    Coalesced {
        /// Whether that caller is another instance's.
        across: bool,
    },
}

/// A part of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// This process's own memory.
    Memory,
    /// What the instances share.
    Redis,
}

/// Why an answer is given past its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// The upstream failed; with its status, where it answered at all (RFC 5861 section 4).
    Error(Option<StatusCode>),
    /// The upstream is not asked at present.
    CircuitOpen,
    /// A new one is on its way, behind this one (RFC 5861 section 3).
    Revalidating,
    /// The client said that it may be (`max-stale`).
    Accepted,
}

impl Reply {
    /// Status, headers, provenance.
    pub fn head(&self) -> &Head {
        match self {
            Self::Whole(whole) => &whole.head,
            Self::Stream(stream) => &stream.head,
        }
    }

    /// The same, to change.
    pub fn head_mut(&mut self) -> &mut Head {
        match self {
            Self::Whole(whole) => &mut whole.head,
            Self::Stream(stream) => &mut stream.head,
        }
    }
}

impl Provenance {
    /// The word in `X-Cache`.
    pub fn x_cache(self) -> &'static str {
        match self {
            Self::Miss { .. } => "MISS",
            Self::Bypass { .. } => "BYPASS",
            Self::Hit { .. } => "HIT",
            Self::Stale { .. } => "STALE",
            Self::Coalesced { .. } => "COALESCED",
        }
    }

    /// The value of `Cache-Status` (RFC 9211).
    pub fn cache_status(self) -> String {
        match self {
            Self::Miss { stored: false } => "pegasus-nest; fwd=miss".into(),
            Self::Miss { stored: true } => "pegasus-nest; fwd=miss; stored".into(),
            Self::Bypass { stored: false } => "pegasus-nest; fwd=bypass".into(),
            Self::Bypass { stored: true } => "pegasus-nest; fwd=bypass; stored".into(),
            Self::Hit {
                ttl,
                tier: Tier::Memory,
                ..
            } => format!("pegasus-nest; hit; ttl={}", ttl.as_secs()),
            Self::Hit {
                ttl,
                tier: Tier::Redis,
                ..
            } => format!("pegasus-nest; hit; ttl={}; detail=redis", ttl.as_secs()),
            Self::Stale {
                expired_for,
                excuse,
                ..
            } => {
                let (how, detail) = match excuse {
                    Excuse::Error(Some(status)) => (
                        format!("fwd=stale; fwd-status={}", status.as_u16()),
                        "stale-if-error",
                    ),
                    Excuse::Error(None) => ("fwd=stale".to_owned(), "stale-if-error"),
                    Excuse::CircuitOpen => ("fwd=stale".to_owned(), "circuit-open"),
                    Excuse::Revalidating => ("hit".to_owned(), "stale-while-revalidate"),
                    Excuse::Accepted => ("hit".to_owned(), "max-stale"),
                };
                let late = expired_for.as_secs();
                let sign = if late > 0 { "-" } else { "" };
                format!("pegasus-nest; {how}; ttl={sign}{late}; detail={detail}")
            }
            Self::Coalesced { across: false } => "pegasus-nest; fwd=miss; collapsed".into(),
            Self::Coalesced { across: true } => {
                "pegasus-nest; fwd=miss; collapsed; detail=redis".into()
            }
        }
    }

    /// The value of `Age`, for answers from the cache.
    pub fn age(self) -> Option<Duration> {
        match self {
            Self::Hit { age, .. } | Self::Stale { age, .. } => Some(age),
            _ => None,
        }
    }

    /// Whether this caller cost an upstream call of its own.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Miss { .. } | Self::Bypass { .. })
    }
}
