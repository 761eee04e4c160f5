//! What `/create/batch` accepts: requests, and whether their answers come as a stream.

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;

use super::super::form::{malformed, parse_error};
use crate::error::ProxyError;
use crate::json::Json;
use crate::json::raw::{Members, kind};

/// The most requests that come at once.
pub(in super::super) const MOST: usize = 256;

/// A batch that has been read, but not the requests in it.
pub(super) struct Order {
    /// Their texts.
    pub(super) requests: Vec<Bytes>,
    /// Whether each answer is to come when it is ready.
    pub(super) streams: bool,
    /// Fields beside them that mean nothing here.
    pub(super) ignored: Vec<String>,
}

impl Order {
    /// Reads a body. What is in its requests, they answer for themselves.
    pub(super) fn read(body: &Bytes) -> Result<Self, ProxyError> {
        Json::check(body).map_err(|error| parse_error(&error))?;
        let text = std::str::from_utf8(body).unwrap_or_default().trim();
        if !text.starts_with('{') {
            let kind = kind(text);
            return Err(malformed(
                "",
                format!("the body must be {EXAMPLE}, not {kind}"),
            ));
        }
        let members = Members::of(body).ok_or_else(|| {
            let message = "a key of the body holds half of a character; send whole ones";
            ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", message)
        })?;
        if let Some(key) = members.repeated() {
            let message = format!("the key {key:?} appears twice in one object; send it once");
            return Err(ProxyError::reject(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                message,
            ));
        }
        let streams = match members.given("stream") {
            None => false,
            Some(value) => value.parse().map_err(|_| {
                let message = format!("stream must be a boolean, not {}", kind(value));
                malformed("stream", message)
            })?,
        };
        let ignored = members.iter().map(|(key, _)| key);
        let ignored = ignored.filter(|key| !["requests", "stream"].contains(key));
        Ok(Self {
            requests: requests(body, members.given("requests"))?,
            streams,
            ignored: ignored.map(str::to_owned).collect(),
        })
    }
}

const EXAMPLE: &str = "an object such as {\"requests\": [{\"prompt\": \"what to answer\"}]}";

fn requests(body: &Bytes, value: Option<&str>) -> Result<Vec<Bytes>, ProxyError> {
    let wrong = |message| malformed("requests", message);
    let Some(value) = value else {
        return Err(wrong(format!("requests is missing: send {EXAMPLE}")));
    };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) else {
        let kind = kind(value);
        return Err(wrong(format!(
            "requests must be an array of objects such as {{\"prompt\": \"what to answer\"}}, not {kind}"
        )));
    };
    match items.len() {
        1..=MOST => {
            let texts = items
                .iter()
                .map(|item| body.slice_ref(item.get().as_bytes()));
            Ok(texts.collect())
        }
        0 => Err(wrong(format!("requests is empty; send from 1 to {MOST}"))),
        count => Err(wrong(format!(
            "{count} requests are too many; send at most {MOST} at once"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Order, String> {
        Order::read(&Bytes::copy_from_slice(body.as_bytes())).map_err(|error| {
            assert_eq!(error.status(), 400);
            error.to_string()
        })
    }

    #[test]
    fn requests_are_taken_as_they_are_written() {
        let order = read(r#" {"odd":1,"requests":[ {"a" : 1.0}, 7 ],"stream":true} "#).unwrap();
        assert_eq!(order.requests, [&br#"{"a" : 1.0}"#[..], b"7"]);
        assert_eq!(
            (order.streams, order.ignored),
            (true, vec!["odd".to_owned()])
        );
        let order = read(r#"{"requests":[null],"stream":null}"#).unwrap();
        assert!(!order.streams && order.ignored.is_empty());
        // Half a character is the affair of the request that it is in.
        assert!(read(r#"{"requests":[{"prompt":"\ud83d"}]}"#).is_ok());
    }

    #[test]
    fn what_is_no_batch_is_told_what_one_is() {
        let many = format!("{{\"requests\":[{}{{}}]}}", "{},".repeat(MOST));
        for (body, said) in [
            ("{", "EOF"),
            ("[{}]", "an object such as {\"requests\""),
            ("\"x\"", "not a string"),
            ("{}", "requests is missing"),
            (r#"{"requests":null}"#, "requests is missing"),
            (r#"{"requests":{}}"#, "array of objects"),
            (r#"{"requests":"x"}"#, "not a string"),
            (r#"{"requests":[]}"#, "from 1 to 256"),
            (&many, "257 requests are too many; send at most 256"),
            (
                r#"{"requests":[{}],"stream":"yes"}"#,
                "must be a boolean, not a string",
            ),
            (r#"{"requests":[{}],"requests":[{}]}"#, "twice"),
            (r#"{"requests":[{}],"\ud83d":1}"#, "half of a character"),
        ] {
            let error = read(body).err().unwrap_or_default();
            assert!(error.contains(said), "{body:.60}: {error}");
        }
        assert_eq!(
            read(&many.replacen("{},", "", 1)).unwrap().requests.len(),
            MOST
        );
    }
}
