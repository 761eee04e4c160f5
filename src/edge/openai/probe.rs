//! Looks at a body that is passed on as it is, without keeping any of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::validate::MAX_MODEL_CHARS;
use crate::json::{Json, ParseError};

/// What a body that is passed on as it is tells of itself, if it is an object.
#[derive(Default)]
pub(super) struct Probe {
    pub(super) model: Option<Arc<str>>,
    pub(super) stream: bool,
}

impl Probe {
    /// Fails if the body is no JSON, or none that anybody reads; whatever else it is, it is the upstream's to judge.
    pub(super) fn read(body: &[u8]) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            model: Option<&'a RawValue>,
            #[serde(borrow)]
            stream: Option<&'a RawValue>,
        }
        Json::check(body)?;
        let Ok(fields) = serde_json::from_slice::<Fields<'_>>(body) else {
            return Ok(Self::default());
        };
        let model = fields.model.map(RawValue::get);
        Ok(Self {
            model: model
                .and_then(|model| serde_json::from_str::<String>(model).ok())
                .filter(|model| is_name(model))
                .map(Arc::from),
            stream: fields.stream.is_some_and(|stream| stream.get() == "true"),
        })
    }
}

/// Whether this can be the name of a model. Figures are kept by it, so it is no longer than those of chat completions.
fn is_name(model: &str) -> bool {
    model.chars().nth(MAX_MODEL_CHARS).is_none() && !model.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_minds_nothing_else() {
        let of = |body: &str| {
            Probe::read(body.as_bytes())
                .map(|p| (p.model, p.stream))
                .ok()
        };
        assert_eq!(
            of(r#"{"model":"m","stream":true}"#),
            Some((Some("m".into()), true))
        );
        assert_eq!(of(r#"{"model":5,"stream":"yes"}"#), Some((None, false)));
        assert_eq!(of(r#"{"model":"a","model":"b"}"#), Some((None, false)));
        assert_eq!(of("[1]"), Some((None, false)));
        let long = format!("{{\"model\":\"{}\"}}", "m".repeat(257));
        assert_eq!(of(&long), Some((None, false)));
        assert_eq!(of("{"), None);
        assert!(Probe::read(b"{\"input\":\"\xff\"}").is_err());
        assert!(Probe::read(("[".repeat(200) + &"]".repeat(200)).as_bytes()).is_err());
    }
}
