use super::*;
use crate::compressor::rule::Rule;

/// The text after all edits, which are ascending and apart.
pub(super) fn applied(text: &str, edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.at.start]);
        out.push_str(&edit.with);
        at = edit.at.end;
    }
    out.push_str(&text[at..]);
    out
}

pub(super) fn rules(rules: &[Rule]) -> RuleSet {
    rules.iter().copied().collect()
}

pub(super) fn min(text: &str, role: Role) -> String {
    let edits = propose(text, &[], rules(&[Rule::JsonSpace]), role);
    applied(text, &edits)
}

/// One value with all that must stay, and the same without white space.
pub(super) const PRETTY: &str =
    "{\n  \"id\": 1.0,\n  \"name\": \"a  b\",\n  \"tags\": [ \"x\", \"y\" ],\n  \"id\": -0\n}";
pub(super) const MINI: &str = r#"{"id":1.0,"name":"a  b","tags":["x","y"],"id":-0}"#;

#[test]
fn strictness() {
    let pad = "[ \"0123456789 0123456789 0123456789\", ¤ ]";
    for good in [
        "0",
        "-0",
        "1.50",
        "1e5",
        "1E+05",
        "-1.5e-07",
        "true",
        "false",
        "null",
        "{}",
        "[]",
        "[[]]",
        r#""\u00e9\/\"\\""#,
        r#""\ud800""#,
        r#"{"":{}}"#,
        "\"é\u{7f}\"",
        r#""{ \"a\": 1 }""#,
    ] {
        let text = pad.replace('¤', good);
        let mini = text.replacen("[ ", "[", 1).replace("\", ", "\",");
        let mini = format!("{}]", mini.strip_suffix(" ]").unwrap());
        assert_eq!(min(&text, Role::Tool), mini, "{good}");
    }
    for bad in [
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x1",
        "NaN",
        "Infinity",
        "True",
        "nul",
        "'a'",
        "\"a\tb\"",
        "\"a\nb\"",
        r#""\x""#,
        r#""\u12g4""#,
        "\"",
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "[1 2]",
        "(1)",
        "1,",
        ",1",
        "/**/1",
        "[1}",
        "\u{a0}1",
    ] {
        let text = pad.replace('¤', bad);
        assert_eq!(min(&text, Role::Tool), text, "{bad}");
    }
}

#[test]
fn fences_stay_and_part_values() {
    let text = format!("{PRETTY}\n```\n{PRETTY}\n```\n{PRETTY}\n");
    let fence = PRETTY.len() + 1..2 * PRETTY.len() + 9;
    let edits = propose(
        &text,
        std::slice::from_ref(&fence),
        rules(&[Rule::JsonSpace]),
        Role::Tool,
    );
    assert_eq!(
        applied(&text, &edits),
        format!("{MINI}\n```\n{PRETTY}\n```\n{MINI}\n")
    );
    let everything = 0..text.len();
    let closed = std::slice::from_ref(&everything);
    assert!(propose(&text, closed, rules(&[Rule::JsonSpace]), Role::Tool).is_empty());
    let open = r#"["01234567890123456789012345678901234567890123456789", "#;
    let text = format!("{open}\n{PRETTY}");
    let tail = open.len() + 1..text.len();
    assert!(
        propose(
            &text,
            std::slice::from_ref(&tail),
            rules(&[Rule::JsonSpace]),
            Role::Tool
        )
        .is_empty()
    );
}

/// A quadratic reader would take hours for these.
#[test]
fn hostile_texts_are_read_once() {
    for unit in [
        "[",
        "{",
        "\"",
        "{\"a\":",
        "[{\"a\":[",
        "[1,",
        "{\"",
        "[\"",
        "[\"\n",
        "{\"a\":1",
        "[-",
        "[ ",
        "\\",
        "[\"\\",
        "[1 [1 ",
        "{\"a\"}",
        "]",
        "[1]\n",
        "[[1],\n",
        "{\"a\": \"",
        "[\"a\", \"",
        "[t",
        "[\n",
        "{\n\"a\": {\n",
        "[\"\u{1}",
        "[1]] ",
        "\n[\n1\n ",
        "[1,\n\n",
        "[\"a\" x\n",
        "\r",
        "[\"é",
        "[1\r\n",
        "{\"a\":1} {\"b\": 2} ",
        "[1, 2, 3]: ",
    ] {
        let text = unit.repeat(1_000_000 / unit.len());
        for role in [Role::Tool, Role::User] {
            let out = min(&text, role);
            assert_eq!(min(&out, role), out, "{unit:?}");
        }
        let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(min(&deep, Role::Tool), deep);
    }
}
