//! What holds for any two requests: equal fingerprints exactly where the meaning is equal.

use std::cell::Cell;

use fastrand::Rng;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::bodies::{Path, Tree, body, tiny_body};
use super::spelling::{Spelling, spelling};
use super::*;

const CASES: u32 = 10_000;

/// Changes that mean nothing.
#[derive(Clone, Copy, Debug)]
enum Same {
    KeyOrder,
    Blanks,
    Escapes,
    ShapeAdded,
    ShapeChanged,
    ShapeDropped,
}

/// Changes that make it another request.
#[derive(Clone, Copy, Debug)]
enum Other {
    NumberRespelled,
    BlankInText,
    FieldAdded,
    FieldRemoved,
    FieldChanged,
    ArrayOrder,
    NullForAbsent,
    Type,
    Model,
    Scope,
    Path,
    Header,
}

/// All that names a request.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    scope: Scope,
    path: &'static str,
    headers: HeaderMap,
    body: Tree,
}

// === impl Same ===

impl Same {
    const ALL: [Self; 6] = [
        Self::KeyOrder,
        Self::Blanks,
        Self::Escapes,
        Self::ShapeAdded,
        Self::ShapeChanged,
        Self::ShapeDropped,
    ];

    /// Sees to it that there is something to change about this field.
    fn prepare(self, body: &mut Tree, field: &str) {
        let fields = body.fields_mut();
        match self {
            Self::ShapeAdded => {
                fields.remove(field);
            }
            Self::ShapeChanged | Self::ShapeDropped => {
                fields.entry(field.to_owned()).or_insert(Tree::Null);
            }
            Self::KeyOrder | Self::Blanks | Self::Escapes => {}
        }
    }

    fn apply(self, body: &mut Tree, spelling: &mut Spelling, field: &str, rng: &mut Rng) {
        let fields = body.fields_mut();
        match self {
            Self::KeyOrder => spelling.order = rng.u64(..),
            Self::Blanks => spelling.blanks = rng.u64(..),
            Self::Escapes => spelling.escapes = rng.u64(..),
            Self::ShapeAdded | Self::ShapeChanged => {
                let values = [Tree::Bool(true), Tree::Bool(false), Tree::Array(Vec::new())];
                fields.extend(rng.choice(values).map(|value| (field.to_owned(), value)));
            }
            Self::ShapeDropped => {
                fields.remove(field);
            }
        }
    }
}

// === impl Other ===

impl Other {
    const ALL: [Self; 12] = [
        Self::NumberRespelled,
        Self::BlankInText,
        Self::FieldAdded,
        Self::FieldRemoved,
        Self::FieldChanged,
        Self::ArrayOrder,
        Self::NullForAbsent,
        Self::Type,
        Self::Model,
        Self::Scope,
        Self::Path,
        Self::Header,
    ];

    fn apply(self, asked: &mut Asked, rng: &mut Rng) {
        let body = &mut asked.body;
        match self {
            Self::NumberRespelled => {
                let place = pick(rng, body.places(|value| matches!(value, Tree::Number(_))));
                if let Tree::Number(digits) = body.at_mut(&place) {
                    *digits = respelled(digits);
                }
            }
            Self::BlankInText => {
                let place = pick(rng, body.places(|value| matches!(value, Tree::String(_))));
                if let Tree::String(text) = body.at_mut(&place) {
                    let starts = text.char_indices().map(|(at, _)| at);
                    let at = pick(rng, starts.chain([text.len()]).collect());
                    text.insert(at, ' ');
                }
            }
            Self::FieldAdded => add_field(body, Tree::Number("1".to_owned()), rng),
            Self::NullForAbsent => add_field(body, Tree::Null, rng),
            Self::FieldRemoved => {
                let field = unknown_field(body, rng);
                body.fields_mut().remove(&field);
            }
            Self::FieldChanged => {
                let field = unknown_field(body, rng);
                let old = body.fields_mut().remove(&field);
                let new = Tree::Array(old.into_iter().collect());
                body.fields_mut().insert(field, new);
            }
            Self::ArrayOrder => {
                let place = pick(rng, body.places(|value| unlike_neighbours(value).is_some()));
                let array = body.at_mut(&place);
                if let (Some(at), Tree::Array(items)) = (unlike_neighbours(array), array) {
                    items.swap(at, at + 1);
                }
            }
            Self::Type => {
                // The first is the root, which stays an object.
                let places = body.places(|_| true);
                let place = pick(rng, places[1..].to_vec());
                let value = body.at_mut(&place);
                *value = retyped(value.clone());
            }
            Self::Model => {
                let other = Tree::String(format!("m{}", rng.u8(..)));
                body.fields_mut().insert("model".to_owned(), other);
            }
            Self::Scope => {
                let mut others = scopes().to_vec();
                others.retain(|scope| *scope != asked.scope);
                asked.scope = pick(rng, others);
            }
            Self::Path => {
                let others = ["/chat/completions?a=1", "/chat/completions/", ""];
                asked.path = pick(rng, others.to_vec());
            }
            Self::Header => {
                let names = ["openai-organization", "anthropic-beta", "x-tenant"];
                let value = pick(rng, vec!["", "a"]).parse().unwrap();
                asked.headers.append(pick(rng, names.to_vec()), value);
            }
        }
    }
}

fn pick<T>(rng: &mut Rng, mut from: Vec<T>) -> T {
    from.swap_remove(rng.usize(..from.len()))
}

fn scopes() -> [Scope; 4] {
    [
        Scope::Global,
        Scope::Anonymous,
        Scope::of(Some(b"Bearer a")),
        Scope::of(Some(b"Bearer b")),
    ]
}

/// Adds a field to any object.
fn add_field(body: &mut Tree, value: Tree, rng: &mut Rng) {
    let place: Path = pick(rng, body.places(|value| matches!(value, Tree::Object(_))));
    // Below the top even these are fields like any other.
    let mut names = if place.is_empty() {
        vec!["new", "Stream", "streams"]
    } else {
        vec!["new", "stream", "stream_options"]
    };
    let fields = body.at_mut(&place).fields_mut();
    names.retain(|name| !fields.contains_key(*name));
    fields.insert(pick(rng, names).to_owned(), value);
}

/// The key of a field that nobody knows.
fn unknown_field(body: &mut Tree, rng: &mut Rng) -> String {
    let keys = body.fields_mut().keys();
    pick(
        rng,
        keys.filter(|key| key.starts_with("x-")).cloned().collect(),
    )
}

/// The same number, spelled otherwise.
fn respelled(digits: &str) -> String {
    if digits.contains('e') {
        digits.replace('e', "E")
    } else if digits.contains('E') {
        digits.replace('E', "e")
    } else if digits.contains('.') {
        format!("{digits}0")
    } else {
        format!("{digits}.0")
    }
}

/// What some readers would take for the same in another type.
fn retyped(value: Tree) -> Tree {
    match value {
        Tree::Null => Tree::Bool(false),
        Tree::Bool(value) => Tree::String(value.to_string()),
        Tree::Number(digits) => Tree::String(digits),
        Tree::String(text) => Tree::Array(vec![Tree::String(text)]),
        Tree::Array(items) => {
            let numbered = items.into_iter().enumerate();
            Tree::Object(numbered.map(|(at, item)| (at.to_string(), item)).collect())
        }
        Tree::Object(fields) => Tree::Array(fields.into_values().collect()),
    }
}

/// Where in an array two unlike items stand side by side.
fn unlike_neighbours(value: &Tree) -> Option<usize> {
    let Tree::Array(items) = value else {
        return None;
    };
    items.windows(2).position(|pair| pair[0] != pair[1])
}

impl Asked {
    fn fingerprint(&self, spelling: Spelling) -> Fingerprint {
        let text = self.body.spell(spelling);
        let json = Json::parse(text.into()).unwrap();
        fingerprint(None, self.scope, self.path, &self.headers, json.root(), &[])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn another_spelling_is_the_same_request(
        mut body in body(),
        spelling in spelling(),
        kind in select(&Same::ALL),
        field in select(&SHAPE_FIELDS),
        seed in any::<u64>(),
    ) {
        let mut rng = Rng::with_seed(seed);
        kind.prepare(&mut body, field);
        let text = body.spell(spelling);
        // A new spelling can come out as the old one; then another is tried, so that every case is a change.
        let changed = std::iter::repeat_with(|| {
            let (mut body, mut spelling) = (body.clone(), spelling);
            kind.apply(&mut body, &mut spelling, field, &mut rng);
            body.spell(spelling)
        });
        let changed = changed.take(100).find(|changed| *changed != text);
        let changed = changed.expect("something to change");
        prop_assert_eq!(of(&text), of(&changed), "{} {}", text, changed);
    }

    #[test]
    fn another_meaning_is_another_request(
        body in body(),
        spellings in [spelling(), spelling()],
        scope in select(scopes().to_vec()),
        kind in select(&Other::ALL),
        seed in any::<u64>(),
    ) {
        let asked = Asked { scope, path: PATH, headers: HeaderMap::new(), body };
        let mut changed = asked.clone();
        kind.apply(&mut changed, &mut Rng::with_seed(seed));
        prop_assert_ne!(&asked, &changed, "nothing has changed");
        prop_assert_ne!(asked.fingerprint(spellings[0]), changed.fingerprint(spellings[1]));
    }
}

#[test]
fn two_requests_are_one_exactly_if_they_mean_the_same() {
    let (equal, different) = (Cell::new(0_u32), Cell::new(0_u32));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        ..ProptestConfig::default()
    });
    let pairs = prop_oneof![
        4 => [tiny_body(), tiny_body()],
        1 => [body(), body()],
    ];
    let run = runner.run(&(pairs, [spelling(), spelling()]), |(bodies, spellings)| {
        let [one, two] = [0, 1].map(|at| of(&bodies[at].spell(spellings[at])));
        let [left, right] = bodies.map(Tree::canonical);
        let counter = if left == right { &equal } else { &different };
        counter.set(counter.get() + 1);
        prop_assert_eq!(one == two, left == right);
        Ok(())
    });
    run.unwrap();
    let counts = (equal.get(), different.get());
    assert!(counts.0 > CASES / 100 && counts.1 > CASES / 2, "{counts:?}");
}
