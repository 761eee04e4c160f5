//! The metric is worth only what it notices: every kind of damage, done to the corpus on purpose.

use fastrand::Rng;

use crate::{
    corpus::units,
    damage::DAMAGES,
    metric::{Kind, check},
};

/// How often each damage is tried on each message, at places of the generator's choice.
const TRIES: u64 = 2;

#[test]
fn damage_is_noticed() {
    let units = units();
    let mut missed = Vec::new();
    for (name, least, damage) in DAMAGES {
        let (mut done, mut noticed) = (0, 0);
        for (nth, unit) in (0..).zip(&units) {
            for attempt in 0..TRIES {
                let mut rng = Rng::with_seed(nth * TRIES + attempt);
                if let Some(damaged) = damage(&unit.text, &mut rng) {
                    done += 1;
                    noticed += u32::from(!check(&unit.text, &damaged).is_clean());
                }
            }
        }
        show(name, noticed, done);
        if done < 10 || noticed * 100 < least * done {
            missed.push(format!(
                "{name}: {noticed} of {done} noticed, {least} % wanted"
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn show(name: &str, noticed: u32, done: u32) {
    println!("{name:34}{noticed:6} of {done:6} noticed");
}

/// One example for each kind: the metric names it, and nothing where nothing is lost.
#[test]
fn each_kind_is_named() {
    use Kind::{
        CodeLine, Constraint, Entity, Fence, Identifier, Indent, Inline, Json, Negation,
        NewConstraint, NewIdentifier, NewNegation, NewNumber, NonAscii, Number, Placeholder,
        Quoted, Tag, UrlPath,
    };
    let cases = [
        (Fence, "```\na  b\n```", "```\na b\n```"),
        (Inline, "run `a  b` now", "run `a b` now"),
        (Quoted, "say \"well  done\" here", "say \"well done\" here"),
        (UrlPath, "look at /etc/hosts there", "look at there"),
        (
            Json,
            r#"{"ratio": 1.00, "b": true}"#,
            r#"{"ratio":1.0,"b":true}"#,
        ),
        (Tag, "a <b>word</b> here", "a word here"),
        (Placeholder, "Hello {name}, hello", "Hello, hello"),
        (
            Number,
            "give me three or 3 of them",
            "give me three or of them",
        ),
        (Identifier, "call read_file twice", "call readfile twice"),
        (Entity, "ask in Paris today", "ask in paris today"),
        (Negation, "do not ever stop", "do ever stop"),
        (Constraint, "you must stop", "you stop"),
        (NonAscii, "na\u{ef}ve", "naive"),
        (
            CodeLine,
            "let x = 1;\nlet y  = x;",
            "let x = 1;\nlet y = x;",
        ),
        (Indent, "if x:\n    y = 1\nz", "if x:\n y = 1\nz"),
        (NewNumber, "some of them", "7 of them"),
        (NewIdentifier, "foo bar", "foo_bar"),
        (NewNegation, "hardly there", "not there"),
        (NewConstraint, "have to go", "must go"),
    ];
    for (kind, original, damaged) in cases {
        let report = check(original, damaged);
        assert!(
            report.kinds().contains(&kind),
            "{kind:?} unnoticed: found {report}"
        );
    }
}

#[test]
fn what_is_allowed_is_no_damage() {
    let cases = [
        (
            "{\n  \"count\": [1.50, true],\n  \"by\": {\"x\": 1}\n}",
            r#"{"count":[1.50,true],"by":{"x":1}}"#,
        ),
        (
            "```json\n{ \"a\": 1e5, \"b\": 2 }\n```",
            "```json\n{\"a\":1e5,\"b\":2}\n```",
        ),
        ("\u{1b}[32mok\u{1b}[0m 3 tests", "ok 3 tests"),
        ("    let x = 1;\n    let y = 2;", "let x = 1;\nlet y = 2;"),
        (
            "It is, due to the fact that it is.",
            "It is, because it is.",
        ),
        (
            "Keep this long line of words.\nx\nKeep this long line of words.",
            "Keep this long line of words.\nx",
        ),
    ];
    for (original, compressed) in cases {
        let report = check(original, compressed);
        assert!(report.is_clean(), "{compressed:?}: {report}");
    }
}
