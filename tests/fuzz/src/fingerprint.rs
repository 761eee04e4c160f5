//! One body in two spellings has one fingerprint, a body that was changed another, and of any two bodies
//! they are equal exactly if the bodies mean the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use http::HeaderMap;
use pegasus_nest::fingerprint::{Fingerprint, Scope, alias, fingerprint};
use pegasus_nest::json::{Json, Member, Node, Text};

use super::choices;

const PATH: &str = "/chat/completions";
/// Fields that choose how the answer is wrapped, not what it is.
const SHAPE: [&str; 2] = ["stream", "stream_options"];

/// The first byte chooses what is changed, the second how it is spelled anew; a NUL stands between two bodies.
pub fn holds(input: &[u8]) {
    let ([place, spelling], bodies) = choices(input);
    let mut bodies = bodies.splitn(2, |&byte| byte == 0);
    let (one, two) = (bodies.next().unwrap_or_default(), bodies.next());
    let one_read = Json::parse(Bytes::copy_from_slice(one));
    if let Ok(json) = &one_read {
        another_spelling_is_the_same(json, spelling);
        another_meaning_is_another(json.root(), place);
    }
    let Some(two) = two else {
        return;
    };
    assert_eq!(alias_of(one, b"") == alias_of(two, b""), one == two);
    assert_ne!(alias_of(one, two), alias_of(&[one, two].concat(), b"\0"));
    if let (Ok(one), Ok(two)) = (one_read, Json::parse(Bytes::copy_from_slice(two))) {
        let (one, two) = (one.root(), two.root());
        assert_eq!(of(one) == of(two), meaning(one, true) == meaning(two, true));
    }
}

fn of(root: &Node) -> Fingerprint {
    fingerprint(None, Scope::Global, PATH, &HeaderMap::new(), root, &[])
}

fn alias_of(body: &[u8], edit: &[u8]) -> Fingerprint {
    alias(
        None,
        Scope::Global,
        PATH,
        &HeaderMap::new(),
        edit,
        &[],
        body,
    )
}

fn another_spelling_is_the_same(json: &Json, spelling: usize) {
    let expected = of(json.root());
    assert_eq!(Fingerprint::from_hex(&expected.to_string()), Some(expected));
    let mut text = String::new();
    spell(json.root(), spelling, &mut text);
    let again = Json::parse(text.clone().into());
    assert_eq!(
        again.map(|json| of(json.root())).ok(),
        Some(expected),
        "{text}"
    );
    // Who asks, where and for which answer makes it another.
    let headers = HeaderMap::from_iter([(
        http::header::ACCEPT_LANGUAGE,
        http::HeaderValue::from_static("de"),
    )]);
    let root = json.root();
    let others = [
        fingerprint(None, Scope::Anonymous, PATH, &HeaderMap::new(), root, &[]),
        fingerprint(
            None,
            Scope::of(Some(json.text())),
            PATH,
            &HeaderMap::new(),
            root,
            &[],
        ),
        fingerprint(
            None,
            Scope::Global,
            "/chat/completions?",
            &HeaderMap::new(),
            root,
            &[],
        ),
        fingerprint(None, Scope::Global, PATH, &headers, root, &[]),
        expected.variant(1),
        expected.variant(2),
        alias_of(json.text(), b""),
    ];
    for (at, other) in others.iter().enumerate() {
        assert!(*other != expected && !others[..at].contains(other), "{at}");
    }
}

/// Writes a value with its keys in another order, other escapes and other white space.
fn spell(node: &Node, spelling: usize, out: &mut String) {
    let blank = [" ", "", "\n", "\t \r"][spelling % 4];
    out.push_str(blank);
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(digits) => out.push_str(digits),
        Node::String(text) => spell_text(&text.value, spelling, out),
        Node::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                spell(item, spelling / 2 + at, out);
            }
            out.push(']');
        }
        Node::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if spelling.is_multiple_of(2) {
                members.reverse();
            } else if !members.is_empty() {
                let middle = spelling % members.len();
                members.rotate_left(middle);
            }
            out.push('{');
            for (at, Member { key, value }) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                spell_text(key, spelling + at, out);
                out.push_str(blank);
                out.push(':');
                spell(value, spelling / 2 + at, out);
            }
            out.push('}');
        }
    }
    out.push_str(blank);
}

fn spell_text(text: &str, spelling: usize, out: &mut String) {
    out.push('"');
    let mut units = [0; 2];
    for (at, letter) in text.chars().enumerate() {
        if letter < ' ' || matches!(letter, '"' | '\\') || (at + spelling).is_multiple_of(3) {
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(letter);
        }
    }
    out.push('"');
}

fn another_meaning_is_another(root: &Node, place: usize) {
    let mut changed = root.clone();
    let mut left = place % values(root);
    change(&mut changed, &mut left, place);
    let same = meaning(&changed, true) == meaning(root, true);
    assert_eq!(of(&changed) == of(root), same);
    // Only below the two fields of the top can a change mean nothing.
    let shaped = SHAPE
        .iter()
        .any(|field| root.get(field) != changed.get(field));
    assert!(shaped || !same, "nothing has changed in {root:?}");
}

fn values(node: &Node) -> usize {
    1 + match node {
        Node::Array(items) => items.iter().map(values).sum(),
        Node::Object(members) => members.iter().map(|member| values(&member.value)).sum(),
        _ => 0,
    }
}

/// Changes the value that is as many values away as is left, to what some readers would take for the same.
fn change(node: &mut Node, left: &mut usize, how: usize) -> bool {
    if *left > 0 {
        *left -= 1;
        return match node {
            Node::Array(items) => items.iter_mut().any(|item| change(item, left, how)),
            Node::Object(members) => members
                .iter_mut()
                .any(|member| change(&mut member.value, left, how)),
            _ => false,
        };
    }
    *node = match std::mem::replace(node, Node::Null) {
        Node::Null => Node::Bool(false),
        Node::Bool(value) => text(if value { "true" } else { "false" }),
        Node::Number(digits) if how.is_multiple_of(2) => text(&digits),
        Node::Number(digits) => Node::Number(format!("{digits}0").into()),
        Node::String(mut text) => {
            text.value = format!("{} ", text.value).into();
            Node::String(text)
        }
        Node::Array(mut items) => {
            if how.is_multiple_of(2) || items.pop().is_none() {
                items.push(Node::Null);
            }
            Node::Array(items)
        }
        Node::Object(mut members) => {
            let known = |key: &str| members.iter().any(|member| &*member.key == key);
            let mut key = "null".to_owned();
            while known(&key) {
                key.push('_');
            }
            if how.is_multiple_of(2) || members.pop().is_none() {
                members.push(Member {
                    key: key.into(),
                    value: Node::Null,
                });
            }
            Node::Object(members)
        }
    };
    true
}

fn text(value: &str) -> Node {
    Node::String(Text {
        value: value.into(),
        span: 0..0,
    })
}

/// What a body means.
#[derive(Debug, PartialEq)]
enum Meaning<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(&'a str),
    Array(Vec<Meaning<'a>>),
    Object(BTreeMap<&'a str, Meaning<'a>>),
}

fn meaning(node: &Node, is_top: bool) -> Meaning<'_> {
    match node {
        Node::Null => Meaning::Null,
        Node::Bool(value) => Meaning::Bool(*value),
        Node::Number(digits) => Meaning::Number(digits),
        Node::String(text) => Meaning::String(&text.value),
        Node::Array(items) => {
            Meaning::Array(items.iter().map(|item| meaning(item, false)).collect())
        }
        Node::Object(members) => {
            let members = members
                .iter()
                .filter(|member| !is_top || !SHAPE.contains(&&*member.key));
            Meaning::Object(
                members
                    .map(|member| (&*member.key, meaning(&member.value, false)))
                    .collect(),
            )
        }
    }
}
