//! A response's body, decompressed piece by piece where it is compressed.
//!
//! reqwest's own decompression ends at the end of a gzip member and drops what follows it in the same
//! packet: an answer of two members, which RFC 1952 allows, was cut and looked complete.

use std::future::poll_fn;
use std::io;
use std::mem::replace;

use async_compression::tokio::bufread::{GzipDecoder, ZlibDecoder};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use tokio_util::io::StreamReader;

use super::client::Arriving;
use crate::error::ProxyError;

/// What an answer may be compressed with.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// How much is decompressed at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// A body on its way.
pub(super) enum Body {
    /// As it comes, whatever it is.
    Plain(Arriving),
    /// Compressed, and not a byte of it read.
    Compressed(Encoding, Source),
    /// Compressed with gzip, in one member or in several.
    Gzip(GzipDecoder<Source>),
    /// Compressed in the zlib format, which HTTP calls deflate (RFC 9110 section 8.4.1.2).
    Deflate(ZlibDecoder<Source>),
    /// Over.
    Ended,
}

/// The encodings that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
}

/// The bytes as they come.
type Source = StreamReader<Arriving, Bytes>;

impl Body {
    /// The body of a response with these headers; those that say how it is compressed are no longer true of what is
    /// read here, and go.
    pub(super) fn of(arriving: Arriving, headers: &mut HeaderMap) -> Self {
        let Some(encoding) = Encoding::of(headers) else {
            return Self::Plain(arriving);
        };
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        Self::Compressed(encoding, StreamReader::new(arriving))
    }

    /// The next piece; `None` after the last.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ProxyError> {
        if let Self::Compressed(encoding, source) = self {
            // No bytes at all are no beginning of a compressed body: answers to HEAD have none.
            let is_empty = source.fill_buf().await.map_err(|e| failed(&e))?.is_empty();
            let encoding = *encoding;
            let begun = match replace(self, Self::Ended) {
                Self::Compressed(_, source) if !is_empty => match encoding {
                    Encoding::Gzip => {
                        let mut decoder = GzipDecoder::new(source);
                        decoder.multiple_members(true);
                        Self::Gzip(decoder)
                    }
                    Encoding::Deflate => Self::Deflate(ZlibDecoder::new(source)),
                },
                _ => Self::Ended,
            };
            *self = begun;
        }
        if let Self::Plain(arriving) = self {
            return poll_fn(|cx| arriving.poll_chunk(cx)).await.transpose();
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = match self {
            Self::Gzip(decoder) => decoder.read_buf(&mut piece).await,
            Self::Deflate(decoder) => decoder.read_buf(&mut piece).await,
            Self::Plain(_) | Self::Compressed(..) | Self::Ended => return Ok(None),
        };
        if read.map_err(|error| failed(&error))? > 0 {
            return Ok(Some(piece.freeze()));
        }
        if let Self::Deflate(decoder) = self {
            let rest = decoder.get_mut().fill_buf().await;
            if !rest.map_err(|error| failed(&error))?.is_empty() {
                return Err(undecodable());
            }
        }
        *self = Self::Ended;
        Ok(None)
    }
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(header::CONTENT_ENCODING).iter();
        let name = all.next()?.as_bytes().trim_ascii().to_ascii_lowercase();
        // Twice compressed is a riddle that nobody sets; it passes with its name.
        match (&name[..], all.next()) {
            (b"gzip" | b"x-gzip", None) => Some(Self::Gzip),
            (b"deflate", None) => Some(Self::Deflate),
            _ => None,
        }
    }
}

/// What a failed read means: the connection's failure travels inside.
fn failed(error: &io::Error) -> ProxyError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause.cloned().unwrap_or_else(undecodable)
}

fn undecodable() -> ProxyError {
    ProxyError::InvalidAnswer("its body could not be decompressed".into())
}
