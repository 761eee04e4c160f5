//! `/openapi.json`, made of what stands beside the handlers, and `/docs`, the same for people.

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::{Html, IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::dialect::{Fault, OpenAiError, failure};

use super::page::protect;
use super::{Edge, create, routes};
use crate::chat;
use crate::config::Config;

pub(super) use failures::{Forwarded, Guarded, Open, Prompted};

mod failures;
mod page;

/// What the document says of the whole API; the operations come with their routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pegasus Nest",
        description = "A reverse proxy for LLM APIs: every request is compressed, answered from the cache if it can be, \
            shared with identical ones in flight, guarded by a circuit breaker, and sent upstream with retries.\n\n\
            Errors have a machine-readable `code`. Where client tokens are set, everything that takes a token asks for \
            one; without them, the client's own credential goes upstream.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "completions", description = "Ask a model."),
        (name = "savings", description = "What was asked, cost and saved."),
        (name = "operations", description = "For operators, load balancers and monitors."),
        (name = "pages", description = "For people."),
    ),
    components(schemas(Fault<'static>, OpenAiError<'static>)),
)]
pub(super) struct Outline;

/// The document and its page, each made when it is first asked for.
#[derive(Default)]
pub(super) struct Document {
    json: OnceLock<Bytes>,
    page: OnceLock<Bytes>,
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "pages", operation_id = "openapi",
    responses(
        (status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json"),
        Guarded,
    ))]
pub(super) async fn openapi(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    if let Err(error) = edge.shared.guard.caller(&headers) {
        return failure(&error);
    }
    let content_type = HeaderValue::from_static("application/json");
    let body = edge.shared.document.json(&edge.shared.config);
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// This document for people
///
/// Without a script and without a request to anybody else.
#[utoipa::path(get, path = "/docs", tag = "pages", operation_id = "docs",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        Guarded,
    ))]
pub(super) async fn docs(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    if let Err(error) = edge.shared.guard.caller(&headers) {
        return failure(&error);
    }
    let mut response = Html(edge.shared.document.page(&edge.shared.config)).into_response();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    protect(response.headers_mut(), policy);
    response
}

/// How that page looks
#[utoipa::path(get, path = "/docs/style.css", tag = "pages", operation_id = "docs_style",
    responses(
        (status = 200, description = "Its style sheet.", body = String, content_type = "text/css"),
        Open,
    ))]
pub(super) async fn style() -> Response {
    let content_type = HeaderValue::from_static("text/css; charset=utf-8");
    let body = include_str!("document/style.css");
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

// === impl Document ===

impl Document {
    fn json(&self, config: &Config) -> Bytes {
        let made = self.json.get_or_init(|| build(config).to_string().into());
        made.clone()
    }

    fn page(&self, config: &Config) -> Bytes {
        let made = self
            .page
            .get_or_init(|| page::render(&build(config)).into());
        made.clone()
    }
}

/// The whole document.
fn build(config: &Config) -> Value {
    // Nothing in it can fail to be written.
    let mut document = serde_json::to_value(routes().into_openapi()).unwrap_or_default();
    let components = &mut document["components"];
    let schemas = create::describe(config)
        .into_iter()
        .chain([("ChatCompletionRequest", chat::validate::describe())]);
    for (name, schema) in schemas {
        components["schemas"][name] = schema;
    }
    components["responses"] = failures::all();
    components["headers"] = headers();
    components["securitySchemes"] = json!({"token": {
        "type": "http", "scheme": "bearer",
        "description": "A client token of this proxy, or its admin token, where they are set; else the credential for the upstream.",
    }});
    // An empty choice: whether a token has to be shown is for the settings to say.
    document["security"] = json!([{}, {"token": []}]);
    if let Some(paths) = document["paths"].as_object_mut() {
        finish(paths);
    }
    document
}

/// What holds of many operations alike.
fn finish(paths: &mut Map<String, Value>) {
    // The router's way of saying "and all below it".
    if let Some(rest) = paths.remove("/v1/{*path}") {
        paths.insert("/v1/{path}".to_owned(), rest);
    }
    for item in paths.values_mut().filter_map(Value::as_object_mut) {
        let has_many = item.len() > 1;
        for (method, operation) in item.iter_mut() {
            if has_many && let Some(id) = operation["operationId"].as_str() {
                operation["operationId"] = format!("{id}_{method}").into();
            }
            let is_completion = operation["tags"] == json!(["completions"]);
            let is_batch = operation["operationId"] == "create_batch";
            // With nothing said it freezes.
            let may_be_empty = has_many || operation["operationId"] == "tuning_freeze";
            let is_read = method == "get";
            let Some(operation) = operation.as_object_mut() else {
                continue;
            };
            if is_read {
                operation.remove("requestBody");
            }
            if let Some(body) = operation.get_mut("requestBody") {
                body["required"] = (!may_be_empty).into();
            }
            let parameters = operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                // It may be missing, but not null.
                if let Some(types) = parameter["schema"]["type"].as_array_mut() {
                    types.retain(|name| name != "null");
                }
            }
            let responses = operation
                .get_mut("responses")
                .and_then(Value::as_object_mut);
            let Some(responses) = responses else { continue };
            let is_open = !responses.contains_key("401");
            for (status, response) in responses.iter_mut() {
                if let Some(events) = response.pointer_mut("/content/text~1event-stream") {
                    // Readers disagree on what a schema is about: the whole stream or an event.
                    *events = json!({});
                }
                if response.get("$ref").is_none() {
                    let is_answer = is_completion && status.starts_with('2');
                    response["headers"] = refer(match is_answer {
                        true if is_batch => &BATCH,
                        true => &ANSWER,
                        false => &ANSWER[..1],
                    });
                }
            }
            if is_open {
                operation.insert("security".to_owned(), json!([]));
            }
        }
    }
}

/// What answers say in their headers; the first of them, all do.
const ANSWER: [&str; 6] = [
    "X-Request-Id",
    "X-Cache",
    "Cache-Status",
    "Age",
    "X-Pegasus-Tokens-Saved",
    "Server-Timing",
];

/// What those to many requests say.
const BATCH: [&str; 3] = ["X-Request-Id", "X-Pegasus-Tokens-Saved", "Server-Timing"];

/// These headers, by reference.
fn refer(names: &[&str]) -> Value {
    let refer = |name: &&str| {
        let place = format!("#/components/headers/{name}");
        ((*name).to_owned(), json!({"$ref": place}))
    };
    Value::Object(names.iter().map(refer).collect())
}

/// The headers of the proxy's own.
fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The request's id: the client's own where it is fit for one, or a new one. It is in the log.",
            "required": true, "schema": {"type": "string"},
        },
        "X-Cache": {
            "description": "Where the answer came from.", "required": true,
            "schema": {"type": "string", "enum": ["HIT", "MISS", "STALE", "COALESCED", "BYPASS"]},
        },
        "Cache-Status": {
            "description": "The same, as RFC 9211 has it.", "required": true,
            "schema": {"type": "string"}, "example": "pegasus-nest; hit; ttl=3541",
        },
        "Age": {
            "description": "For how many seconds the answer had been stored.", "schema": {"type": "integer", "minimum": 0},
        },
        "X-Pegasus-Tokens-Saved": {
            "description": "Tokens that were saved; of a stream, those that its beginning knows of.", "required": true,
            "schema": {"type": "integer", "minimum": 0},
        },
        "Server-Timing": {
            "description": "What took how long, in milliseconds.", "required": true, "schema": {"type": "string"},
            "example": "compress;dur=0.310, cache;dur=0.040, upstream;dur=812.002, total;dur=813.100",
        },
        "Retry-After": {
            "description": "When to come back: seconds, or the upstream's own date.", "schema": {"type": "string"}, "example": "1",
        },
        "WWW-Authenticate": {
            "description": "How to show a token.", "required": true, "schema": {"type": "string"}, "example": "Bearer",
        },
    })
}
