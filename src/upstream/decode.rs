//! A response's body, decompressed piece by piece where it is compressed.
//!
//! The client library's own decompression ends at the end of a gzip member and drops what follows it in the same
//! packet: an answer of two members, which RFC 1952 allows, was cut and looked complete.

use std::io;
use std::mem::replace;

use async_compression::tokio::bufread::{GzipDecoder, ZlibDecoder};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue, header};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use tokio_util::io::StreamReader;

use super::failure::classify;
use crate::error::ProxyError;

/// What an answer may be compressed with.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// How much is decompressed at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// A body on its way.
pub(super) enum Body {
    /// As it comes, whatever it is.
    Plain(reqwest::Response),
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
type Source = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

impl Body {
    /// The body of a response; of its headers, those that say how it is compressed are no longer true of what is
    /// read here, and go.
    pub(super) fn of(mut response: reqwest::Response) -> (Self, HeaderMap) {
        let mut headers = std::mem::take(response.headers_mut());
        let Some(encoding) = Encoding::of(&headers) else {
            return (Self::Plain(response), headers);
        };
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        let bytes = response.bytes_stream().map_err(io::Error::other);
        let source = StreamReader::new(Box::pin(bytes) as BoxStream<'static, _>);
        (Self::Compressed(encoding, source), headers)
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
        // Made where it is filled: a stream that is not compressed would hold one while it waits for its next event.
        let mut piece = BytesMut::new();
        let read = match self {
            Self::Plain(response) => {
                return response.chunk().await.map_err(|error| classify(&error));
            }
            Self::Gzip(decoder) => {
                piece.reserve(PIECE);
                decoder.read_buf(&mut piece).await
            }
            Self::Deflate(decoder) => {
                piece.reserve(PIECE);
                decoder.read_buf(&mut piece).await
            }
            Self::Compressed(..) | Self::Ended => return Ok(None),
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
    cause.map_or_else(undecodable, classify)
}

fn undecodable() -> ProxyError {
    ProxyError::InvalidAnswer("its body could not be decompressed".into())
}
