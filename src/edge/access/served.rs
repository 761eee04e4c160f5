//! What the span of a request says at its end.

use super::{Notes, Story};
use crate::metering::account::Row;
use crate::request::Route;
use crate::telemetry::{Trace, method_name};

/// The paths that have one route each; others are below `/v1`, or unknown.
const PATHS: [&str; 17] = [
    Route::ChatCompletions.as_str(),
    Route::Create.as_str(),
    Route::CreateChat.as_str(),
    Route::CreateBatch.as_str(),
    "/api/usage",
    "/api/usage/savings",
    "/api/tuning",
    "/api/tuning/freeze",
    "/api/tuning/reset",
    "/api/events",
    "/api/optimization-stats",
    "/api/clear-cache",
    "/",
    "/dashboard",
    "/docs",
    "/docs/style.css",
    "/openapi.json",
];

/// The route of a path; none: there is no such route, or its requests leave no span.
fn route(path: &str) -> Option<&'static str> {
    let known = PATHS.into_iter().find(|known| *known == path);
    let forwarded = || {
        path.starts_with("/v1/")
            .then_some(Route::Forwarded.as_str())
    };
    known.or_else(forwarded)
}

/// Says all that is known of a request when it is over.
pub(super) fn tell(
    span: &Trace,
    story: &Story,
    notes: &Notes,
    status: Option<u16>,
    complete: bool,
) {
    if !span.is_recorded() {
        return;
    }
    // The requests in a batch came in its own.
    if !story.is_part {
        tell_head(span, story);
    }
    span.set(
        "pegasus.request_id",
        story.id.to_str().unwrap_or_default().to_owned(),
    );
    if let Some(client) = &notes.client {
        span.set("pegasus.client", client.to_string());
    }
    if let Some(cache) = notes.cache {
        span.set("pegasus.cache.status", cache.to_ascii_lowercase());
    }
    if let Some(saved) = notes.tokens_saved {
        span.set_number("pegasus.tokens_saved", saved);
    }
    story.account.note(|row| tell_row(span, row, complete));
    if let Some(status) = status {
        span.set_number("http.response.status_code", status.into());
    }
    if !complete {
        span.set("pegasus.aborted", true);
    }
    // What a client did wrong is no failure of its server.
    let is_clients = status.is_some_and(|status| (400..500).contains(&status));
    match &notes.error {
        Some((code, _)) if is_clients => span.set("pegasus.error", *code),
        Some((code, _)) => span.fail(*code),
        None => {
            if let Some(status) = status.filter(|status| *status >= 500) {
                span.fail(status.to_string());
            }
        }
    }
}

fn tell_head(span: &Trace, story: &Story) {
    let (method, route) = (method_name(&story.method), route(&story.path));
    match route {
        Some(route) => {
            span.rename(format!("{method} {route}"));
            span.set("http.route", route);
        }
        None => span.rename(method),
    }
    span.set("http.request.method", method);
    span.set("url.scheme", "http");
    span.set("url.path", story.path.to_string());
}

/// What stands in the books: tokens aside, which the spans of calls have, so that sums count them once.
fn tell_row(span: &Trace, row: &Row, is_complete: bool) {
    let asks_a_model = row.endpoint.is_some_and(|route| route != Route::Forwarded);
    if asks_a_model {
        span.set("gen_ai.operation.name", "chat");
    }
    if let Some(model) = &row.model {
        span.set_name("gen_ai.request.model", model);
    }
    if let Some(served) = &row.served {
        span.set_name("gen_ai.response.model", served);
    }
    if row.endpoint.is_some() {
        span.set_number("pegasus.attempts", row.attempts.into());
        // What a call costs that its client left is known when that has ended, too.
        if is_complete {
            span.set_number("pegasus.cost_nano_usd", row.cost);
        }
        span.set_number("pegasus.saved_nano_usd", row.saved.total());
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_routine;
    use super::*;

    #[test]
    fn every_route_is_known_or_leaves_no_span() {
        let (_, document) = crate::edge::routes().split_for_parts();
        for path in document.paths.paths.keys() {
            let known = route(path);
            let is_expected = known.is_some_and(|known| known == path || known == "/v1/*");
            assert!(is_routine(path) || is_expected, "{path}: {known:?}");
        }
        assert_eq!(route("/v1/models"), Some("/v1/*"));
        assert_eq!(route("/wp-login.php"), None);
    }
}
