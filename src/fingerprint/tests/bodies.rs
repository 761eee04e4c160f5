//! Random chat bodies, as what they mean.

use std::collections::BTreeMap;

use fastrand::Rng;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::SHAPE_FIELDS;

/// A JSON value: what the fingerprint is to see of it. Written apart from the tree that the proxy reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    /// As it is spelled.
    Number(String),
    String(String),
    Array(Vec<Tree>),
    Object(Fields),
}

/// The members of an object, whose order means nothing.
pub(super) type Fields = BTreeMap<String, Tree>;

/// Where a value stands: which child of the root, which child of that one, and so on; objects count by key.
pub(super) type Path = Vec<usize>;

/// Keys as clients use them, so that nested ones meet those with a meaning at the top, and odd ones.
const KEYS: [&str; 14] = [
    "role",
    "content",
    "stream",
    "stream_options",
    "max_tokens",
    "seed",
    "a",
    "A",
    "b",
    "",
    " ",
    "é",
    "\"",
    "a\\b",
];
const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "1",
    "1.0",
    "1.00",
    "1e0",
    "1E0",
    "1E+0",
    "10e-1",
    "0.1",
    "100",
    "1e2",
    "-1.5e-7",
    "1e308",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901",
    "0.30000000000000004",
];
const CHARS: [char; 26] = [
    'a',
    'b',
    'A',
    'z',
    '0',
    '1',
    '.',
    ',',
    ':',
    '{',
    ']',
    ' ',
    '\t',
    '\n',
    '"',
    '\\',
    '/',
    '\u{0}',
    '\u{7f}',
    'é',
    '\u{301}',
    '\u{a0}',
    '\u{2028}',
    '漢',
    '😀',
    '\u{10ffff}',
];

// === Generators ===

fn text() -> impl Strategy<Value = String> {
    // From a seed: a strategy for each character would take most of the tests' time.
    any::<u64>().prop_map(|seed| {
        let mut rng = Rng::with_seed(seed);
        let length = rng.usize(..8);
        (0..length).filter_map(|_| rng.choice(CHARS)).collect()
    })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&NUMBERS).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ]
}

fn leaf() -> impl Strategy<Value = Tree> {
    prop_oneof![
        1 => Just(Tree::Null),
        1 => any::<bool>().prop_map(Tree::Bool),
        2 => number().prop_map(Tree::Number),
        3 => text().prop_map(Tree::String),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Tree::Array),
            btree_map(select(&KEYS).prop_map(str::to_owned), inner, 0..3).prop_map(Tree::Object),
        ]
    })
}

/// A chat request with two messages, a number and an unknown field, so that every mutation finds its place.
pub(super) fn body() -> impl Strategy<Value = Tree> {
    let messages = vec(
        (
            text(),
            prop_oneof![3 => text().prop_map(Tree::String), 1 => tree()],
        ),
        2,
    );
    let unknown = btree_map(text().prop_map(|text| format!("x-{text}")), tree(), 1..3);
    let shape = btree_map(select(&SHAPE_FIELDS).prop_map(str::to_owned), tree(), 0..3);
    (messages, number(), unknown, shape).prop_map(|(messages, temperature, unknown, shape)| {
        let message = |(at, (role, content))| {
            let role = format!("{at}{role}");
            Tree::Object(fields([("role", Tree::String(role)), ("content", content)]))
        };
        let messages = messages.into_iter().enumerate().map(message).collect();
        let mut root = fields([
            ("model", Tree::String("m".to_owned())),
            ("messages", Tree::Array(messages)),
            ("temperature", Tree::Number(temperature)),
        ]);
        root.extend(unknown);
        root.extend(shape);
        Tree::Object(root)
    })
}

/// A body so small that two of them often mean the same.
pub(super) fn tiny_body() -> impl Strategy<Value = Tree> {
    let value = prop_oneof![
        Just(Tree::Null),
        Just(Tree::Number("1".to_owned())),
        Just(Tree::Number("1.0".to_owned())),
        Just(Tree::String("1".to_owned())),
        Just(Tree::Array(Vec::new())),
        Just(Tree::Object(Fields::new())),
        Just(Tree::Object(fields([("stream", Tree::Null)]))),
    ];
    let key = select(vec!["a", "stream", "stream_options"]).prop_map(str::to_owned);
    btree_map(key, value, 0..3).prop_map(Tree::Object)
}

fn fields<const N: usize>(fields: [(&str, Tree); N]) -> Fields {
    fields.map(|(key, value)| (key.to_owned(), value)).into()
}

// === impl Tree ===

impl Tree {
    /// The root's members.
    pub(super) fn fields_mut(&mut self) -> &mut Fields {
        match self {
            Self::Object(fields) => fields,
            other => panic!("{other:?} is no object"),
        }
    }

    /// What two bodies must have in common to be the same request.
    pub(super) fn canonical(mut self) -> Self {
        self.fields_mut()
            .retain(|key, _| !SHAPE_FIELDS.contains(&key.as_str()));
        self
    }

    /// The places of all values that count and are as wanted.
    pub(super) fn places(&self, wanted: impl Fn(&Self) -> bool) -> Vec<Path> {
        let mut places = Vec::new();
        self.walk(&mut Path::new(), &mut |path, value| {
            if wanted(value) {
                places.push(path.clone());
            }
        });
        places
    }

    fn walk(&self, path: &mut Path, visit: &mut impl FnMut(&Path, &Self)) {
        visit(path, self);
        let is_root = path.is_empty();
        let children: Vec<_> = match self {
            Self::Array(items) => items.iter().enumerate().collect(),
            Self::Object(fields) => fields
                .iter()
                .enumerate()
                .filter(|(_, (key, _))| !(is_root && SHAPE_FIELDS.contains(&key.as_str())))
                .map(|(at, (_, value))| (at, value))
                .collect(),
            _ => return,
        };
        for (at, child) in children {
            path.push(at);
            child.walk(path, visit);
            path.pop();
        }
    }

    /// The value at a place.
    pub(super) fn at_mut(&mut self, path: &[usize]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        let child = match self {
            Self::Array(items) => items.get_mut(*first),
            Self::Object(fields) => fields.values_mut().nth(*first),
            _ => None,
        };
        child.expect("a place is one of its own tree").at_mut(rest)
    }
}
