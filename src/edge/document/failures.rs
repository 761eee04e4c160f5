//! The errors that operations document, told as the proxy tells them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::{Content, Ref, RefOr, Response};

use super::refer;
use crate::edge::dialect::Dialect;
use crate::error::{Allowance, ProxyError, Slow};

/// Errors of what asks for no token.
pub(in crate::edge) struct Open;
/// Errors of what asks for a token.
pub(in crate::edge) struct Guarded;
/// Errors of prompts to our own endpoints.
pub(in crate::edge) struct Prompted;
/// Errors of what goes upstream in OpenAI's protocol.
pub(in crate::edge) struct Forwarded;

const OPEN: [u16; 4] = [400, 403, 500, 501];
const GUARDED: [u16; 5] = [400, 401, 403, 500, 501];
const PROMPTED: [u16; 13] = [
    400, 401, 403, 408, 413, 415, 422, 429, 500, 501, 502, 503, 504,
];
const FORWARDED: [u16; 13] = [
    400, 401, 403, 408, 413, 414, 415, 429, 500, 501, 502, 503, 504,
];
/// What upstreams may answer themselves.
const UPSTREAM: [(&str, &str); 2] = [
    ("4XX", "The upstream's own refusal, as it came."),
    ("5XX", "The upstream's own error, as it came."),
];

impl IntoResponses for Open {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(Dialect::Native, &OPEN)
    }
}

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(Dialect::Native, &GUARDED)
    }
}

impl IntoResponses for Prompted {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(Dialect::Native, &PROMPTED)
    }
}

impl IntoResponses for Forwarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = responses(Dialect::OpenAi, &FORWARDED);
        for (status, description) in UPSTREAM {
            let mut response = Response::new(description);
            response
                .content
                .insert("*/*".into(), RefOr::T(Content::default()));
            responses.insert(status.to_owned(), RefOr::T(response));
        }
        responses
    }
}

fn responses(dialect: Dialect, statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let refer = |status: &u16| {
        let place = Ref::from_response_name(name(dialect, *status));
        (status.to_string(), RefOr::Ref(place))
    };
    statuses.iter().map(refer).collect()
}

fn name(dialect: Dialect, status: u16) -> String {
    match dialect {
        Dialect::Native => format!("Error{status}"),
        Dialect::OpenAi => format!("OpenAiError{status}"),
    }
}

/// All of them, to be referred to.
pub(super) fn all() -> Value {
    let native = PROMPTED.map(|status| (Dialect::Native, status));
    let openai = FORWARDED.map(|status| (Dialect::OpenAi, status));
    let describe = |(dialect, status)| (name(dialect, status), describe(dialect, status));
    Value::Object(native.into_iter().chain(openai).map(describe).collect())
}

fn describe(dialect: Dialect, status: u16) -> Value {
    let schema = match dialect {
        Dialect::Native => json!({"$ref": "#/components/schemas/Error"}),
        // Or what the upstream says itself.
        Dialect::OpenAi => json!({"anyOf": [{"$ref": "#/components/schemas/OpenAiError"}, {}]}),
    };
    let examples = examples().into_iter();
    let examples = examples.filter(|error| error.status().as_u16() == status);
    let examples = examples.map(|error| {
        let body = dialect.describe(&error, "019ac1f2-7d3e-7c41-9a55-0c6f6a1b2c3d");
        (error.code().to_owned(), json!({"value": body}))
    });
    let headers: &[&str] = match status {
        401 => &["X-Request-Id", "WWW-Authenticate"],
        429 | 503 => &["X-Request-Id", "Retry-After"],
        _ => &["X-Request-Id"],
    };
    let mut response = json!({
        "description": means(status),
        "headers": refer(headers),
        "content": {"application/json": {
            "schema": schema,
            "examples": Value::Object(examples.collect()),
        }},
    });
    if dialect == Dialect::OpenAi {
        response["content"]["*/*"] = json!({});
    }
    response
}

/// What a status says, whatever its code.
fn means(status: u16) -> &'static str {
    match status {
        400 => "The request is malformed or invalid; `param` names the field where it is one.",
        401 => "A token is missing or not known.",
        403 => "This token, or this page, may not do that.",
        408 => "The body did not arrive in time.",
        413 => "The body is too large.",
        414 => "The URL is too long.",
        415 => "The body is no JSON, or it is compressed.",
        422 => "The body can be read, and asks for what cannot be.",
        429 => "A limit was reached: the client's own, or the upstream's.",
        500 => "The proxy failed.",
        501 => "The body is sent in a transfer coding that is not known here.",
        502 => "The upstream is broken or cannot be reached.",
        503 => "Too much is going on, or the upstream's circuit is open.",
        _ => "The upstream was too slow, or only-if-cached found nothing stored.",
    }
}

/// One of each kind.
fn examples() -> Vec<ProxyError> {
    let reject = |status: u16, code, message: &str| {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        ProxyError::reject(status, code, message)
    };
    let retry_after = Duration::from_secs(30);
    vec![
        ProxyError::reject_field(
            StatusCode::BAD_REQUEST,
            "temperature",
            "temperature must be a number, not a string",
        ),
        reject(
            400,
            "invalid_json",
            "expected `,` or `}` at line 1 column 12",
        ),
        reject(
            400,
            "invalid_header",
            "X-Pegasus-Compression must be off, safe, balanced or aggressive",
        ),
        reject(
            401,
            "unauthorized",
            "this proxy asks for a token: send Authorization: Bearer with a client token of this proxy",
        ),
        reject(
            403,
            "forbidden",
            "without auth.admin_token this answers the proxy's own machine (loopback) alone",
        ),
        reject(
            403,
            "cross_origin",
            "pages of other origins may not call this proxy; add theirs to server.cors_origins",
        ),
        reject(
            408,
            "request_timeout",
            "the body did not arrive within 30s; send it faster",
        ),
        reject(
            413,
            "body_too_large",
            "the body is larger than server.max_body_bytes = 10485760; send less",
        ),
        reject(
            414,
            "uri_too_long",
            "path and query are longer than 16384 bytes",
        ),
        reject(
            415,
            "unsupported_media_type",
            "the body must be JSON: send Content-Type: application/json",
        ),
        ProxyError::reject_field(
            StatusCode::UNPROCESSABLE_ENTITY,
            "temperature",
            "temperature must lie between 0 and 2",
        ),
        ProxyError::QuotaExceeded {
            client: "alice".into(),
            what: Allowance::RequestsPerMinute,
            limit: 60,
            retry_after,
        },
        ProxyError::Internal("an unexpected defect; the operator's log has its place"),
        reject(
            501,
            "unsupported_transfer_encoding",
            "of the transfer codings only chunked is known here",
        ),
        ProxyError::Unreachable("connection refused".into()),
        ProxyError::InvalidAnswer("it is no chat completion".into()),
        ProxyError::Credentials(StatusCode::UNAUTHORIZED),
        ProxyError::CircuitOpen {
            model: Arc::from("openai/gpt-4o-mini"),
            retry_after,
        },
        ProxyError::Overloaded {
            limit: 1024,
            retry_after: Duration::from_secs(1),
        },
        ProxyError::OnlyIfCached,
        ProxyError::Timeout(Slow::Total),
    ]
}
