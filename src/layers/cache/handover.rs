//! What a flight brought that is no answer for the cache, as it is told to those who wait for it on other instances:
//! a reply that is not kept, or the failure that all who share a flight share.
//!
//! The beginning of the SHA-256 of all that follows, a line of JSON, and the body.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::chat::{self, Usage};
use crate::error::{ProxyError, Slow};
use crate::layers::ReplyResult;
use crate::reply::{Head, Provenance, Reply, Whole, Worth};

/// A longer body (bytes) is not handed over: those who wait ask for themselves.
const MAX_BODY: usize = 256 * 1024;
const CHECKSUM: usize = 8;

/// What is told beside the body.
#[derive(Serialize, Deserialize)]
enum Told {
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        usage: Option<Usage>,
    },
    Unreachable(Box<str>),
    DeadSocket(Box<str>),
    ConnectionLost(Box<str>),
    InvalidAnswer(Box<str>),
    Reported(Box<str>),
    TooSlow(Timeout),
}

/// Which of the timeouts ran out.
#[derive(Serialize, Deserialize)]
enum Timeout {
    Total,
    Silence { millis: u64 },
    Connect,
}

/// A reply in the form in which it travels; nothing where it must not or cannot.
pub(super) fn reply(whole: &Whole) -> Vec<u8> {
    let Head {
        status, headers, ..
    } = &whole.head;
    // Whose credential was refused is its caller's affair.
    let is_personal = matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if is_personal || whole.body.len() > MAX_BODY {
        return Vec::new();
    }
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let told = Told::Reply {
        status: status.as_u16(),
        headers: headers.collect(),
        usage: whole.answer.as_ref().map(|worth| worth.usage),
    };
    pack(&told, &whole.body)
}

/// A failure in the form in which it travels; nothing where it is this instance's alone, so that others try.
pub(super) fn failure(error: &ProxyError) -> Vec<u8> {
    let told = match error {
        ProxyError::Unreachable(detail) => Told::Unreachable((**detail).into()),
        ProxyError::DeadSocket(detail) => Told::DeadSocket((**detail).into()),
        ProxyError::ConnectionLost(detail) => Told::ConnectionLost((**detail).into()),
        ProxyError::InvalidAnswer(detail) => Told::InvalidAnswer((**detail).into()),
        ProxyError::Reported(detail) => Told::Reported((**detail).into()),
        ProxyError::Timeout(slow) => Told::TooSlow(match slow {
            Slow::Total => Timeout::Total,
            Slow::Silence(silence) => Timeout::Silence {
                millis: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
            },
            Slow::Connect => Timeout::Connect,
        }),
        ProxyError::Rejected(_)
        | ProxyError::OnlyIfCached
        | ProxyError::CircuitOpen { .. }
        | ProxyError::Overloaded { .. }
        | ProxyError::QuotaExceeded { .. }
        | ProxyError::BudgetExceeded(_)
        | ProxyError::BodiesFull
        | ProxyError::SocketsBusy { .. }
        | ProxyError::UpstreamCrowded { .. }
        | ProxyError::AnswerTooLarge(_)
        | ProxyError::StreamTooLong(_)
        | ProxyError::Credentials(_)
        | ProxyError::Internal(_) => return Vec::new(),
    };
    pack(&told, b"")
}

/// What was handed over; `None` if it is not whole.
pub(super) fn take(brought: &[u8]) -> Option<ReplyResult> {
    let (sum, covered) = brought.split_at_checked(CHECKSUM)?;
    if sum != checksum(covered) {
        return None;
    }
    let end = memchr::memchr(b'\n', covered)?;
    let body = &covered[end + 1..];
    Some(match serde_json::from_slice(&covered[..end]).ok()? {
        Told::Reply {
            status,
            headers,
            usage,
        } => Ok(Reply::Whole(whole(status, &headers, usage, body)?)),
        Told::Unreachable(detail) => Err(ProxyError::Unreachable(detail.into())),
        Told::DeadSocket(detail) => Err(ProxyError::DeadSocket(detail.into())),
        Told::ConnectionLost(detail) => Err(ProxyError::ConnectionLost(detail.into())),
        Told::InvalidAnswer(detail) => Err(ProxyError::InvalidAnswer(detail.into())),
        Told::Reported(detail) => Err(ProxyError::Reported(detail.into())),
        Told::TooSlow(timeout) => Err(ProxyError::Timeout(match timeout {
            Timeout::Total => Slow::Total,
            Timeout::Silence { millis } => Slow::Silence(Duration::from_millis(millis)),
            Timeout::Connect => Slow::Connect,
        })),
    })
}

fn whole(
    status: u16,
    told: &[(String, String)],
    usage: Option<Usage>,
    body: &[u8],
) -> Option<Whole> {
    let body = Bytes::copy_from_slice(body);
    let mut headers = HeaderMap::new();
    for (name, value) in told {
        headers.append(
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value).ok()?,
        );
    }
    let answer = match usage {
        None => None,
        Some(usage) => {
            let answer = chat::read_answer(&body).ok()?;
            Some(Worth {
                usage,
                served: answer.model,
                quality: answer.quality,
            })
        }
    };
    let head = Head {
        status: StatusCode::from_u16(status).ok()?,
        headers,
        provenance: Provenance::Coalesced { across: true },
    };
    Some(Whole { head, body, answer })
}

fn pack(told: &Told, body: &[u8]) -> Vec<u8> {
    let Ok(told) = serde_json::to_vec(told) else {
        return Vec::new();
    };
    let covered = [&told[..], b"\n", body].concat();
    [&checksum(&covered)[..], &covered].concat()
}

fn checksum(covered: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&Sha256::digest(covered)[..CHECKSUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(status: StatusCode, body: impl Into<Bytes>, answer: Option<Worth>) -> Whole {
        let mut headers = HeaderMap::new();
        headers.append("retry-after", HeaderValue::from_static("7"));
        headers.append("x-two", HeaderValue::from_static("1"));
        headers.append("x-two", HeaderValue::from_static("2"));
        Whole {
            head: Head {
                status,
                headers,
                provenance: Provenance::Miss { stored: false },
            },
            body: body.into(),
            answer,
        }
    }

    #[test]
    fn replies_are_handed_over_as_they_are() {
        let body =
            r#"{"model":"m-2","choices":[{"message":{"content":"cut"},"finish_reason":"length"}]}"#;
        let cut = Worth {
            usage: Usage::estimated(3, 8),
            served: Some("m-2".into()),
            quality: chat::Quality::Length,
        };
        for (status, answer) in [
            (StatusCode::TOO_MANY_REQUESTS, None),
            (StatusCode::OK, Some(cut)),
        ] {
            let whole = made(status, body, answer);
            let Some(Ok(Reply::Whole(taken))) = take(&reply(&whole)) else {
                panic!("{status} was not handed over");
            };
            assert_eq!(taken.head.status, whole.head.status);
            assert_eq!(taken.head.headers, whole.head.headers);
            assert_eq!(taken.body, whole.body);
            assert_eq!(taken.answer, whole.answer);
            assert_eq!(
                taken.head.provenance,
                Provenance::Coalesced { across: true }
            );
        }
    }

    #[test]
    fn what_is_personal_or_long_is_not_handed_over() {
        assert!(reply(&made(StatusCode::UNAUTHORIZED, "x", None)).is_empty());
        assert!(reply(&made(StatusCode::FORBIDDEN, "x", None)).is_empty());
        let long = vec![b'x'; MAX_BODY + 1];
        assert!(reply(&made(StatusCode::BAD_GATEWAY, long, None)).is_empty());
    }

    #[test]
    fn failures_of_the_upstream_are_handed_over_and_no_others() {
        let shared = [
            ProxyError::Unreachable("a".into()),
            ProxyError::DeadSocket("b".into()),
            ProxyError::ConnectionLost("c".into()),
            ProxyError::InvalidAnswer("d".into()),
            ProxyError::Reported("e".into()),
            ProxyError::Timeout(Slow::Total),
            ProxyError::Timeout(Slow::Connect),
            ProxyError::Timeout(Slow::Silence(Duration::from_secs(2))),
        ];
        for error in shared {
            assert!(error.is_upstream_failure());
            let Some(Err(taken)) = take(&failure(&error)) else {
                panic!("{error} was not handed over");
            };
            assert_eq!(taken.to_string(), error.to_string());
        }
        let own = ProxyError::SocketsBusy {
            limit: 1,
            retry_after: Duration::ZERO,
        };
        for error in [own, ProxyError::Internal("x"), ProxyError::OnlyIfCached] {
            assert!(failure(&error).is_empty() && !error.is_upstream_failure());
        }
    }

    #[test]
    fn what_is_not_whole_is_not_taken() {
        let good = failure(&ProxyError::Timeout(Slow::Total));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(take(&bad).is_none() && take(&good[..at]).is_none(), "{at}");
        }
    }
}
