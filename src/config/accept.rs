//! Decides which texts are accepted for addresses, headers, origins, tokens and filters.

use http::{HeaderName, HeaderValue, Uri, header, uri::Authority};
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

pub(super) use choices::{level, quality, role_level, route_level, route_ttl};
pub(super) use collector::{collector_header, otlp_endpoint, service_name};
pub(super) use places::{ledger, namespace, snapshot};

mod choices;
mod collector;
mod places;

const BASE_URL: &str = "expected a URL such as \"https://openrouter.ai/api/v1\"";
const ORIGIN: &str =
    "expected an origin such as \"https://app.example.com\" (scheme, host and port alone)";

/// Headers that are the proxy's own business, whatever the operator wishes to pass on.
const NEVER_FORWARDED: [HeaderName; 14] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::COOKIE,
    header::SET_COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::ACCEPT_ENCODING,
    header::EXPECT,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The upstream's address without its trailing slash.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let url = plain_url(text, BASE_URL, "upstream.api_key")?;
    if let Some(base) = url.strip_suffix("/chat/completions") {
        return Err(format!(
            "expected the part before /chat/completions: {base:?}"
        ));
    }
    Ok(url.to_owned())
}

/// A URL of HTTP with a host, and nothing beside it but a path: without its trailing slash. `keys` is where secrets go.
fn plain_url<'t>(text: &'t str, expected: &str, keys: &str) -> Result<&'t str, String> {
    if text.contains('#') {
        return Err(format!("{expected}, without a fragment"));
    }
    let uri: Uri = text.parse().map_err(|_| expected.to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("{expected}, beginning with http:// or https://"));
    }
    let authority = uri.authority().ok_or_else(|| expected.to_owned())?;
    if authority.as_str().contains('@') {
        return Err(format!(
            "{expected}, without a user name: the key goes to {keys}"
        ));
    }
    if uri.query().is_some() {
        return Err(format!("{expected}, without a query"));
    }
    if !is_host_and_port(authority) {
        return Err(format!(
            "{expected}, with a host and, if any, a port from 1 to 65535"
        ));
    }
    Ok(text.trim_end_matches('/'))
}

/// Whether a host is there, and what follows it is a port.
fn is_host_and_port(authority: &Authority) -> bool {
    let port = authority
        .as_str()
        .strip_prefix(authority.host())
        .unwrap_or_default();
    let has_port = authority.port_u16().is_some_and(|port| port > 0);
    !authority.host().is_empty() && (port.is_empty() || has_port)
}

/// An origin as browsers send it: lower case, without the scheme's usual port.
pub(super) fn origin(text: &str) -> Result<HeaderValue, String> {
    if text == "*" {
        return Err(
            "expected the origins by name: with \"*\" the pages of any site could spend \
                    the upstream's money"
                .to_owned(),
        );
    }
    let refused = || ORIGIN.to_owned();
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://").ok_or_else(refused)?;
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err(refused()),
    };
    let authority: Authority = authority.parse().map_err(|_| refused())?;
    if authority.as_str().contains(['@', '*']) || !is_host_and_port(&authority) {
        return Err(refused());
    }
    let authority = authority.as_str();
    let authority = authority.strip_suffix(usual).unwrap_or(authority);
    HeaderValue::try_from(format!("{scheme}://{authority}")).map_err(|_| refused())
}

/// The name of a client header that may go to the upstream.
pub(super) fn forwarded_header(text: &str) -> Result<HeaderName, String> {
    // The star is a legal character of header names, but who writes it means a wildcard.
    let name = HeaderName::try_from(text)
        .ok()
        .filter(|name| !name.as_str().contains('*'));
    let name = name.ok_or("expected whole header names such as \"x-tenant\"")?;
    if NEVER_FORWARDED.contains(&name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
    {
        return Err(
            "expected another header: credentials, cookies and those about the connection \
                    are never passed on"
                .to_owned(),
        );
    }
    Ok(name)
}

/// A token or key that can stand after "Bearer ".
pub(super) fn token(text: &str) -> Result<SecretString, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "expected visible ASCII characters without blanks (the token alone, without \
                    \"Bearer\")"
                .to_owned(),
        );
    }
    Ok(SecretString::from(text))
}

/// A log filter.
pub(super) fn filter(text: &str) -> Result<String, String> {
    const LEVELS: &str = "off, error, warn, info, debug or trace";
    let accepted = || format!("expected {LEVELS}, also per module (\"info,hyper=debug\")");
    if text.is_empty() || EnvFilter::try_new(text).is_err() {
        return Err(accepted());
    }
    // A misspelt level reads as the name of a module, which would silence everything else.
    let is_level = |part: &str| {
        part.is_empty()
            || LEVELS
                .split([',', ' '])
                .any(|level| part.eq_ignore_ascii_case(level))
    };
    if !text.contains('[')
        && text
            .split(',')
            .any(|part| !part.contains('=') && !is_level(part.trim()))
    {
        return Err(accepted());
    }
    Ok(text.to_owned())
}

/// The name of a model.
pub(super) fn model(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("expected a model's name such as \"anthropic/claude-sonnet-4\"".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_lose_their_slash_and_nothing_else() {
        for (text, url) in [
            (
                "https://openrouter.ai/api/v1",
                "https://openrouter.ai/api/v1",
            ),
            (
                "https://openrouter.ai/api/v1/",
                "https://openrouter.ai/api/v1",
            ),
            ("http://127.0.0.1:9/", "http://127.0.0.1:9"),
            ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ] {
            assert_eq!(base_url(text).as_deref(), Ok(url), "{text}");
        }
        for text in [
            "",
            "openrouter.ai/api/v1",
            "/api/v1",
            "ftp://host/v1",
            "https://",
            "https:///v1",
            "https://user:pass@host/v1",
            "https://host/v1?key=1",
            "https://host/v1#part",
            "https://host:99999/v1",
            "https://host:/v1",
            "https://ho st/v1",
            "https://host/v1/chat/completions",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for (text, value) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(origin(text).unwrap(), value, "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://*.a",
            "file://a",
            "https://a:x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_never_forwarded() {
        assert_eq!(forwarded_header("X-Tenant").unwrap(), "x-tenant");
        for text in [
            "",
            "x y",
            "x-*",
            "Cookie",
            "Authorization",
            "keep-alive",
            "host",
        ] {
            assert!(forwarded_header(text).is_err(), "{text}");
        }
    }

    #[test]
    fn misspelt_levels_are_refused() {
        for text in [
            "info",
            "INFO",
            "off",
            "info,hyper=debug",
            "pegasus_nest[span]=trace",
        ] {
            assert_eq!(filter(text).as_deref(), Ok(text));
        }
        for text in ["", "verbose", "info,hyper", "hyper=loud", "a=b=c"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tokens_are_visible_ascii() {
        assert!(token("sk-or-v1-~!").is_ok());
        for text in ["", "Bearer x", "schlüssel", "a\nb"] {
            assert!(token(text).is_err(), "{text:?}");
        }
    }
}
