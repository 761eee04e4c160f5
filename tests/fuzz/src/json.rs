//! The reader of bodies accepts what `serde_json` accepts and reads the same in it, but for what it refuses
//! on purpose; its places are right; and what the endpoints make of a body is again a good one.

use std::ops::Range;

use bytes::Bytes;
use pegasus_nest::json::{Json, Node, ParseError};
use serde::de::IgnoredAny;

use super::edge;
use super::tree::Tree;

/// As many values as the reader takes.
const MAX_VALUES: usize = 250_000;

/// All of the input is the body.
pub fn holds(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let read = Json::parse(body.clone());
    agrees_with_serde(input, &read);
    check_agrees(input, read.as_ref().err());
    if let Ok(json) = &read {
        assert_eq!(json.text(), &body);
        places_are_right(json);
    }
    edge::holds(&body, read.as_ref().ok());
}

fn agrees_with_serde(input: &[u8], read: &Result<Json, ParseError>) {
    match (read, serde_json::from_slice::<Tree>(input)) {
        (Ok(json), Ok(tree)) => {
            assert_eq!(Tree::of(json.root()).as_ref(), Some(&tree));
            assert!(!tree.repeats_a_key() && tree.values() <= MAX_VALUES);
        }
        // Numbers are kept as written, however large.
        (Ok(_), Err(error)) => assert!(error.to_string().contains("out of range"), "{error}"),
        (Err(ParseError::DuplicateKey(_)), Ok(tree)) => assert!(tree.repeats_a_key()),
        (Err(ParseError::TooMany), Ok(tree)) => assert!(tree.values() > MAX_VALUES),
        (Err(error), Ok(tree)) => panic!("{error}, but there is {tree:?}"),
        (Err(_), Err(_)) => {}
    }
}

/// The quick check asks less than the reader, and no less than the grammar.
fn check_agrees(input: &[u8], error: Option<&ParseError>) {
    let grammar = std::str::from_utf8(input)
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match (Json::check(input), error) {
        (Ok(()), None | Some(ParseError::DuplicateKey(_) | ParseError::TooMany)) => {
            assert!(grammar);
        }
        (Ok(()), Some(error)) => {
            // Halves of surrogate pairs are within the grammar.
            assert!(grammar && matches!(error, ParseError::Syntax(_)), "{error}");
            assert!(serde_json::from_slice::<Tree>(input).is_err());
        }
        (Err(ParseError::TooDeep), Some(_)) => assert!(grammar),
        (Err(checked), Some(error)) => assert!(!grammar && checked == *error),
        (Err(checked), None) => panic!("read, though {checked}"),
    }
}

/// Every string stands where the tree says, so that it can be replaced and nothing else changes.
fn places_are_right(json: &Json) {
    let mut texts = Vec::new();
    collect(json.root(), &mut texts);
    for (span, value) in &texts {
        let there = serde_json::from_slice::<String>(&json.text()[span.clone()]);
        assert_eq!(there.ok().as_ref(), Some(value));
    }
    assert!(
        texts
            .windows(2)
            .all(|pair| pair[0].0.end <= pair[1].0.start)
    );

    assert_eq!(json.replace(Vec::new()).text(), json.text());
    // Escapes may be spelled another way, the meaning is the same; after that, not a byte changes.
    let respelled = replaced(json, &texts);
    assert_eq!(Tree::of(respelled.root()), Tree::of(json.root()));
    let mut again = Vec::new();
    collect(respelled.root(), &mut again);
    assert_eq!(replaced(&respelled, &again).text(), respelled.text());

    let marked: Vec<_> = texts
        .iter()
        .map(|(at, text)| (at.clone(), format!("\"{text}\\\n")))
        .collect();
    let marked = replaced(json, &marked);
    let (mut others, mut kept) = (Vec::new(), Vec::new());
    collect(marked.root(), &mut others);
    kept.extend(
        others
            .iter()
            .map(|(_, text)| text[1..text.len() - 2].to_owned()),
    );
    assert!(kept.iter().eq(texts.iter().map(|(_, text)| text)));
}

fn replaced(json: &Json, edits: &[(Range<usize>, String)]) -> Json {
    let replaced = json.replace(edits.to_vec());
    // The tree is moved and not read again: it must be what reading would give.
    match Json::parse(replaced.text().clone()) {
        Ok(read) => assert_eq!(read.root(), replaced.root()),
        Err(error) => panic!("with strings replaced: {error}"),
    }
    replaced
}

fn collect(node: &Node, texts: &mut Vec<(Range<usize>, String)>) {
    match node {
        Node::String(text) => texts.push((text.span.clone(), text.value.to_string())),
        Node::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Node::Object(members) => {
            for member in members {
                collect(&member.value, texts);
            }
        }
        _ => {}
    }
}
