//! What flows back: a reply that is whole or arrives as a stream, with the story of where it came from.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode};

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Worth {
    /// Tokens, as reported or estimated.
    pub usage: Usage,
    /// The model that answered, if it says so.
    pub served: Option<Arc<str>>,
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

/// A header's value in memory of its own: as it was read it keeps all of the buffer that its head came in, which a stream
/// would hold for as long as it lasts.
pub(crate) fn detached(value: &HeaderValue) -> HeaderValue {
    let copied = HeaderValue::from_bytes(value.as_bytes());
    copied.map_or_else(
        |_| value.clone(),
        |mut copy| {
            copy.set_sensitive(value.is_sensitive());
            copy
        },
    )
}

impl Head {
    /// The same, which keeps nothing in memory but itself.
    pub(crate) fn detach(mut self) -> Self {
        for value in self.headers.values_mut() {
            *value = detached(value);
        }
        self
    }
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

impl From<Usage> for Worth {
    /// A finished answer of which no more is known.
    fn from(usage: Usage) -> Self {
        Self {
            usage,
            ..Self::default()
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

    /// How long an answer out of the cache will be fresh; `None` where it came from elsewhere.
    pub fn fresh_for(self) -> Option<Duration> {
        match self {
            Self::Hit { ttl, .. } => Some(ttl),
            Self::Stale { .. } => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// Writes the value of `Cache-Status` (RFC 9211).
    pub fn write_cache_status(self, to: &mut impl fmt::Write) -> fmt::Result {
        let mut digits = itoa::Buffer::new();
        to.write_str("pegasus-nest; ")?;
        match self {
            Self::Miss { stored } | Self::Bypass { stored } => {
                let is_miss = matches!(self, Self::Miss { .. });
                to.write_str(if is_miss { "fwd=miss" } else { "fwd=bypass" })?;
                to.write_str(if stored { "; stored" } else { "" })
            }
            Self::Hit { ttl, tier, .. } => {
                to.write_str("hit; ttl=")?;
                to.write_str(digits.format(ttl.as_secs()))?;
                to.write_str(if tier == Tier::Redis {
                    "; detail=redis"
                } else {
                    ""
                })
            }
            Self::Stale {
                expired_for,
                excuse,
                ..
            } => {
                let (how, detail) = match excuse {
                    Excuse::Error(_) => ("fwd=stale", "stale-if-error"),
                    Excuse::CircuitOpen => ("fwd=stale", "circuit-open"),
                    Excuse::Revalidating => ("hit", "stale-while-revalidate"),
                    Excuse::Accepted => ("hit", "max-stale"),
                };
                to.write_str(how)?;
                if let Excuse::Error(Some(status)) = excuse {
                    write!(to, "; fwd-status={}", status.as_u16())?;
                }
                let late = expired_for.as_secs();
                let sign = if late > 0 { "-" } else { "" };
                write!(to, "; ttl={sign}{late}; detail={detail}")
            }
            Self::Coalesced { across } => {
                to.write_str("fwd=miss; collapsed")?;
                to.write_str(if across { "; detail=redis" } else { "" })
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
