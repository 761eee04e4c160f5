//! Decides which words are accepted for levels, roles, endpoints and kinds of answers.

use std::time::Duration;

use crate::chat::Quality;
use crate::compressor::{Level, Role};
use crate::config::units;
use crate::request::Route;

/// A compression level.
pub(in crate::config) fn level(text: &str) -> Result<Level, String> {
    text.parse()
        .map_err(|_| "expected off, safe, balanced or aggressive".to_owned())
}

/// An endpoint and its compression level, as in `/create=safe`.
pub(in crate::config) fn route_level(text: &str) -> Result<(Route, Level), String> {
    let (route, word) = route_and(text, "a level such as \"/create=safe\"")?;
    Ok((route, level(word)?))
}

/// An endpoint and how long its answers are fresh, as in `/create=10m`.
pub(in crate::config) fn route_ttl(text: &str) -> Result<(Route, Duration), String> {
    let (route, word) = route_and(text, "a time such as \"/create=10m\"")?;
    let ttl = units::duration(word).map_err(|accepted| format!("expected {accepted}"))?;
    Ok((route, ttl))
}

/// An endpoint and the word after its `=`.
fn route_and<'t>(text: &'t str, what: &str) -> Result<(Route, &'t str), String> {
    let expected = || {
        let routes = Route::ALL.map(Route::as_str).join(", ");
        format!("expected an endpoint and {what}, the endpoint being one of {routes}")
    };
    let (route, word) = text.split_once('=').ok_or_else(expected)?;
    let route = Route::ALL
        .into_iter()
        .find(|known| known.as_str() == route.trim())
        .ok_or_else(expected)?;
    Ok((route, word.trim()))
}

/// A kind of answer that may be kept.
pub(in crate::config) fn quality(text: &str) -> Result<Quality, String> {
    let known = Quality::ADMISSIBLE
        .into_iter()
        .find(|kind| kind.as_str() == text);
    known.ok_or_else(|| {
        let names = Quality::ADMISSIBLE.map(Quality::as_str).join(", ");
        format!("expected kinds of answers: {names}")
    })
}

/// A role, with or without a compression level of its own, as in `tool=aggressive`.
pub(in crate::config) fn role_level(text: &str) -> Result<(Role, Option<Level>), String> {
    let (role, word) = match text.split_once('=') {
        Some((role, word)) => (role.trim(), Some(word.trim())),
        None => (text.trim(), None),
    };
    let role = role.parse().map_err(|_| {
        "expected system, user, tool or assistant, with or without a level as in \"tool=safe\""
            .to_owned()
    })?;
    Ok((role, word.map(level).transpose()?))
}
