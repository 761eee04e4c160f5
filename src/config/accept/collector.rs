//! Decides what is accepted about the collector of traces.

use http::{HeaderName, HeaderValue, header};

use super::plain_url;

const ENDPOINT: &str = "expected the URL of a collector such as \"http://collector:4318\"";
const HEADER: &str = "expected headers such as \"authorization=Bearer …\"";

/// Where a collector takes traces, below its base URL.
const TRACES: &str = "/v1/traces";

/// Headers that say what is sent and how, which is not the operator's to say.
const OURS: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::EXPECT,
];

/// The URL that traces are posted to; empty is none.
pub(in crate::config) fn otlp_endpoint(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = plain_url(text, ENDPOINT, "telemetry.headers")?;
    let path = if url.ends_with(TRACES) { "" } else { TRACES };
    Ok(Some(format!("{url}{path}")))
}

/// The name of a service.
pub(in crate::config) fn service_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 || text.contains(char::is_control) {
        return Err(
            "expected a name of 1 to 255 bytes such as \"pegasus-nest\", on one line".to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// A header for the collector. What is said of a bad one must not repeat it.
pub(in crate::config) fn collector_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{HEADER}, with a = between name and value"))?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| {
        format!("{HEADER}, with a name of letters, digits and hyphens before the =")
    })?;
    if OURS.contains(&name) {
        return Err(format!(
            "{HEADER}, but none of that name: {name} is set as OTLP wants it"
        ));
    }
    let value = value.trim();
    let mut value = HeaderValue::from_str(value)
        .ok()
        .filter(|value| value.to_str().is_ok_and(|text| !text.is_empty()))
        .ok_or_else(|| format!("{HEADER}, with visible ASCII characters as the value of {name}"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_collectors_url_or_right_where_it_says() {
        for (text, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://a.b/otlp", "https://a.b/otlp/v1/traces"),
            ("https://a.b/x/v1/traces", "https://a.b/x/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(otlp_endpoint(text).unwrap().as_deref(), Some(url), "{text}");
        }
        assert_eq!(otlp_endpoint(""), Ok(None));
        for text in [
            "collector:4318",
            "grpc://collector:4317",
            "http://",
            "http://user:pass@collector:4318",
            "http://collector:4318?key=1",
            "http://collector:4318#a",
            "http://collector:99999",
        ] {
            let error = otlp_endpoint(text).unwrap_err();
            assert!(error.contains("http://collector:4318"), "{text}: {error}");
        }
    }

    #[test]
    fn headers_have_a_name_and_a_value_that_nobody_sees() {
        let (name, value) = collector_header("Authorization = Basic dXNlcjprZXk=").unwrap();
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("authorization", &b"Basic dXNlcjprZXk="[..])
        );
        assert!(value.is_sensitive());
        for text in [
            "",
            "secret",
            "=secret",
            "na me=secret",
            "x=",
            "x= ",
            "x=sec\u{7}ret",
            "x=secr\u{e9}t",
            "content-type=secret",
            "Host=secret",
        ] {
            let error = collector_header(text).unwrap_err();
            assert!(!error.contains("secr"), "{text}: {error}");
        }
    }

    #[test]
    fn services_have_a_name_on_one_line() {
        assert!(service_name("nest 1").is_ok());
        for text in ["", "a\nb", &"x".repeat(256)] {
            assert!(service_name(text).is_err());
        }
    }
}
