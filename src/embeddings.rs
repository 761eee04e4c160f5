//! Embeddings, one input at a time: what a call asks for, and how answers are taken apart and put together.
//!
//! Nobody here reads an embedding. Its text, numbers or base64, goes from one answer into the other as it was written, so
//! that a client gets to the bit what its own call would have brought.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::fingerprint::{Fingerprint, digest};
use crate::json::raw::Members;
use crate::metering::tokens::count::count_text;

pub(crate) use amount::shares;
pub(crate) use answer::{Answer, Piece, put_together};

mod amount;
mod answer;

/// A call for embeddings, of which the inputs are known. All else in it is kept as it is written.
#[derive(Debug, Clone)]
pub struct Embeddings {
    body: Bytes,
    model: Arc<str>,
    kind: Kind,
    /// As they are written in the body.
    inputs: Vec<Bytes>,
    /// Where they stand in it, brackets and all.
    place: Range<usize>,
    /// The digest of all other fields.
    fields: Fingerprint,
}

/// What inputs are. No call has both: not all providers take that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Texts.
    Texts,
    /// Lists of the numbers of tokens.
    Tokens,
}

impl Embeddings {
    /// Reads a body that is valid JSON. `None` where it is anything but what providers take: whoever is asked for that may
    /// say so.
    pub fn read(body: &Bytes, model: Arc<str>) -> Option<Self> {
        let members = Members::of(body)?;
        let input = members.get("input")?;
        if members.repeated().is_some() {
            return None;
        }
        let (kind, texts) = inputs(input)?;
        let mut others: Vec<_> = members.iter().filter(|(key, _)| *key != "input").collect();
        others.sort_unstable();
        let mut fields = Vec::new();
        for part in others.into_iter().flat_map(|(key, value)| [key, value]) {
            fields.extend((part.len() as u64).to_le_bytes());
            fields.extend(part.as_bytes());
        }
        Some(Self {
            inputs: texts
                .into_iter()
                .map(|text| body.slice_ref(text.as_bytes()))
                .collect(),
            place: place_in(body, input.as_bytes()),
            fields: digest(&fields),
            body: body.clone(),
            model,
            kind,
        })
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The model as the client named it.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// What its inputs are.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Texts => "texts",
            Kind::Tokens => "tokens",
        }
    }

    /// Its inputs, at least one, as they are written.
    pub fn inputs(&self) -> &[Bytes] {
        &self.inputs
    }

    /// The digest of all fields but the inputs: of equal ones in equal words the same.
    pub fn fields(&self) -> Fingerprint {
        self.fields
    }

    /// What an input means among those of its kind, however it is written.
    pub fn meaning(&self, input: &[u8]) -> Vec<u8> {
        match self.kind {
            Kind::Texts => text_of(input).unwrap_or_default().into_bytes(),
            Kind::Tokens => {
                let tokens = tokens_of(input).unwrap_or_default().into_iter();
                tokens.flat_map(u64::to_le_bytes).collect()
            }
        }
    }

    /// How many tokens an input has, as its model counts them where that is known.
    pub fn tokens(&self, input: &[u8]) -> u64 {
        match self.kind {
            Kind::Texts => count_text(&self.model, &text_of(input).unwrap_or_default()).tokens,
            Kind::Tokens => tokens_of(input).map_or(0, |tokens| tokens.len() as u64),
        }
    }

    /// The same call for these inputs, which are of the same kind.
    #[must_use]
    pub fn asking(&self, inputs: Vec<Bytes>) -> Self {
        let length = inputs.iter().map(|input| input.len() + 1).sum::<usize>() + 1;
        let (before, after) = (&self.body[..self.place.start], &self.body[self.place.end..]);
        let mut body = Vec::with_capacity(before.len() + length + after.len());
        body.extend_from_slice(before);
        body.push(b'[');
        for (at, input) in inputs.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(input);
        }
        body.push(b']');
        let place = before.len()..body.len();
        body.extend_from_slice(after);
        Self {
            body: body.into(),
            model: Arc::clone(&self.model),
            kind: self.kind,
            inputs,
            place,
            fields: self.fields,
        }
    }
}

/// The inputs that a value is.
fn inputs(value: &str) -> Option<(Kind, Vec<&str>)> {
    let one = |kind| Some((kind, vec![value]));
    if value.starts_with('"') {
        return text_of(value.as_bytes()).and_then(|_| one(Kind::Texts));
    }
    let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
    let items: Vec<_> = items.into_iter().map(RawValue::get).collect();
    let kind = match items.first()?.as_bytes().first()? {
        b'"' => Kind::Texts,
        b'[' => Kind::Tokens,
        _ => return tokens_of(value.as_bytes()).and_then(|_| one(Kind::Tokens)),
    };
    let all_are = items.iter().all(|item| match kind {
        Kind::Texts => text_of(item.as_bytes()).is_some(),
        Kind::Tokens => tokens_of(item.as_bytes()).is_some(),
    });
    all_are.then_some((kind, items))
}

/// A text that is not empty: no provider takes one that is.
fn text_of(input: &[u8]) -> Option<String> {
    let text: String = serde_json::from_slice(input).ok()?;
    (!text.is_empty()).then_some(text)
}

fn tokens_of(input: &[u8]) -> Option<Vec<u64>> {
    let tokens: Vec<u64> = serde_json::from_slice(input).ok()?;
    (!tokens.is_empty()).then_some(tokens)
}

/// Where a part of a text stands in it.
fn place_in(text: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Embeddings> {
        let model = "text-embedding-3-small".into();
        Embeddings::read(&Bytes::copy_from_slice(body.as_bytes()), model)
    }

    #[test]
    fn inputs_are_found_in_all_their_forms() {
        for (input, kind, expected) in [
            (r#""a""#, Kind::Texts, &[r#""a""#][..]),
            (
                r#"[ "a" , "\u0062" ]"#,
                Kind::Texts,
                &[r#""a""#, r#""\u0062""#],
            ),
            ("[1, 2]", Kind::Tokens, &["[1, 2]"]),
            ("[[1],[2,3]]", Kind::Tokens, &["[1]", "[2,3]"]),
        ] {
            let ask = read(&format!("{{\"model\":\"m\",\"input\": {input} }}")).unwrap();
            assert_eq!(
                (ask.kind, ask.inputs().len()),
                (kind, expected.len()),
                "{input}"
            );
            assert!(
                ask.inputs()
                    .iter()
                    .zip(expected)
                    .all(|(one, other)| one == other)
            );
        }
        for input in [
            "\"\"",
            "[]",
            "7",
            "null",
            "{}",
            "[1.5]",
            "[-1]",
            "[\"a\",[1]]",
            "[[1],\"a\"]",
            "[\"a\",\"\"]",
            "[[]]",
            "[\"a\",null]",
            "\"\\ud83d\"",
        ] {
            assert!(read(&format!("{{\"input\":{input}}}")).is_none(), "{input}");
        }
        for body in [
            "[]",
            "{}",
            r#"{"input":"a","input":"b"}"#,
            r#"{"input":"a","x":1,"x":1}"#,
        ] {
            assert!(read(body).is_none(), "{body}");
        }
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let ask = read(r#"{"input":["b","\u0062"],"x":1,"a":[1, 2]}"#).unwrap();
        let [one, other] = ask.inputs() else { panic!() };
        assert_eq!(ask.meaning(one), ask.meaning(other));
        let tokens = read(r#"{"a":[1, 2],"input":[[1,2],[ 1 , 2 ],[1]],"x":1}"#).unwrap();
        let all: Vec<_> = tokens
            .inputs()
            .iter()
            .map(|input| tokens.meaning(input))
            .collect();
        assert_eq!((all[0] == all[1], all[0] == all[2]), (true, false));
        assert_eq!(ask.fields(), tokens.fields(), "in another order");
        assert_ne!(
            ask.fields(),
            read(r#"{"input":"b","x":1.0,"a":[1, 2]}"#)
                .unwrap()
                .fields()
        );
        assert_eq!(tokens.tokens(b"[1,2,3]"), 3);
        assert_eq!(ask.tokens(br#""a bird""#), 2);
    }

    #[test]
    fn only_the_inputs_of_a_call_change() {
        let ask = read(r#"{ "model" : "m", "input":"a" , "user":"\u0075" }"#).unwrap();
        let more = ask.asking(vec![
            Bytes::from_static(b"\"b\""),
            Bytes::from_static(b"\"c\""),
        ]);
        assert_eq!(
            more.body(),
            r#"{ "model" : "m", "input":["b","c"] , "user":"\u0075" }"#
        );
        let again = more.asking(ask.inputs().to_vec());
        assert_eq!(
            again.body(),
            r#"{ "model" : "m", "input":["a"] , "user":"\u0075" }"#
        );
        let read = Embeddings::read(again.body(), "m".into()).unwrap();
        assert_eq!((read.fields(), read.place), (ask.fields(), again.place));
    }
}
