//! The two ways in which the proxy speaks of errors: OpenAI's on `/v1`, its own elsewhere.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::outgoing::Answer;
use crate::error::ProxyError;

/// Whose clients are talking to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `/create`, `/api`, `/health` and the page.
    Native,
    /// `/v1`
    OpenAi,
}

/// An error on its way out. It becomes a body where the request's path and id are known, and is logged there,
/// once.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) error: ProxyError,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Fault<'a> {
    #[schema(example = false)]
    success: bool,
    /// What is wrong and what would be right.
    error: String,
    /// The same for machines.
    code: &'static str,
    request_id: &'a str,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    param: Option<&'a str>,
}

/// What went wrong, as OpenAI tells it.
#[derive(Serialize, ToSchema)]
pub(super) struct OpenAiError<'a> {
    error: Told<'a>,
}

/// The error itself.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenAiErrorBody)]
struct Told<'a> {
    /// What is wrong and what would be right.
    message: String,
    #[serde(rename = "type")]
    #[schema(example = "invalid_request_error")]
    kind: &'static str,
    code: &'static str,
    /// The field that is wrong.
    #[schema(required)]
    param: Option<&'a str>,
    request_id: &'a str,
}

impl<'a> Fault<'a> {
    /// What a client of the proxy's own endpoints is told of an error.
    pub(super) fn of(error: &'a ProxyError, request_id: &'a str) -> Self {
        Self {
            success: false,
            error: error.to_string(),
            code: error.code(),
            request_id,
            param: error.param(),
        }
    }
}

impl Dialect {
    /// The dialect of a path.
    pub(super) fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") {
            Self::OpenAi
        } else {
            Self::Native
        }
    }

    /// What an error looks like as JSON.
    pub(super) fn describe(self, error: &ProxyError, request_id: &str) -> Value {
        let (message, code) = (error.to_string(), error.code());
        match self {
            Self::Native => json!(Fault::of(error, request_id)),
            Self::OpenAi => json!(OpenAiError {
                error: Told {
                    message,
                    kind: openai_type(error.status()),
                    code,
                    param: error.param(),
                    request_id,
                }
            }),
        }
    }
}

/// The response to a failure, whose body is still to come.
pub(super) fn failure(error: &ProxyError) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = error.status();
    response.extensions_mut().insert(Failed {
        error: error.clone(),
    });
    response
}

impl Failed {
    /// Gives the response its body and the headers that its status asks for.
    pub(super) fn render(&self, dialect: Dialect, response: &mut Answer, request_id: &str) {
        let body = dialect.describe(&self.error, request_id).to_string();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        if let Some(Ok(value)) = self.error.retry_after().map(HeaderValue::try_from) {
            headers.insert(header::RETRY_AFTER, value);
        }
        match self.error.status() {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What is left of the body will not be read, so nothing after it can be.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        *response.body_mut() = Bytes::from(body).into();
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}
