//! What the simulated model answers to a request that it cannot serve, in the shape of
//! `OpenAI`'s API.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error with its status; `param` is the field of the request at fault.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self {
            status,
            message: message.into(),
            param: Some(param),
            code: Some("invalid_value"),
        }
    }

    pub(super) fn not_json(problem: &str) -> Self {
        let message = format!("The body is not a JSON object: {problem}.");
        Self {
            status: StatusCode::BAD_REQUEST,
            message,
            param: None,
            code: Some("invalid_json"),
        }
    }

    pub(super) fn unknown_url(method: &Method, path: &str) -> Self {
        let message = format!(
            "The simulated model has no {method} {path}: it serves chat/completions, embeddings \
             and models."
        );
        Self {
            status: StatusCode::NOT_FOUND,
            message,
            param: None,
            code: Some("unknown_url"),
        }
    }

    pub(super) fn wrong_method(method: &Method, path: &str) -> Self {
        let message = format!("{path} does not take {method}.");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self {
            status,
            message,
            param: None,
            code: Some("method_not_allowed"),
        }
    }

    pub(super) fn no_model(id: &str) -> Self {
        let message = format!("The simulated model does not list '{id}', though it answers to it.");
        let status = StatusCode::NOT_FOUND;
        Self {
            status,
            message,
            param: Some("model"),
            code: Some("model_not_found"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({
            "message": self.message,
            "type": "invalid_request_error",
            "param": self.param,
            "code": self.code,
        });
        (self.status, Json(json!({"error": error}))).into_response()
    }
}
