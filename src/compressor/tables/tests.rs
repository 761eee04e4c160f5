use proptest::prelude::*;

use super::*;
use crate::compressor::{Compressor, Level};

fn bodies(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let body = line.trim_matches([' ', '\t', '\n']);
            let at = start + line.find(body).unwrap();
            start += line.len();
            at..at + body.len()
        })
        .collect()
}

fn packed(text: &str) -> String {
    let rules = [Rule::TablePadding].into_iter().collect();
    let edits = propose(text, &bodies(text), rules);
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

#[test]
fn padding_goes() {
    for (table, packed_table) in [
        (
            "| Name  | Age |\n|-------|----:|\n| Ann   |  30 |",
            "| Name| Age|\n|-|-:|\n| Ann|30|",
        ),
        ("|a  |b |\n|:---|:--:|\n|c  |  |", "|a|b|\n|:-|:-:|\n|c| |"),
        ("a   | b\n--- | ---\n1   | 2", "a| b\n-|-\n1|2"),
        (
            "  | a  | b |\n  |----|---|\n  | c  | d |",
            "  | a| b|\n  |-|-|\n  | c| d|",
        ),
        (
            "| 类别   | 描述  |\n|:----:|-----|\n| 学术 | 写   |",
            "|类别|描述|\n|:-:|-|\n|学术|写|",
        ),
        (
            "| a | b |\n|---|---|\n| `a | b`  | c |\n| `x`   | d |",
            "| a| b|\n|-|-|\n| `a | b`  | c |\n|`x`| d|",
        ),
        (
            "| a \\| b  | c |\n|---|---|\n| xy \\  | d |",
            "| a \\| b| c|\n|-|-|\n| xy \\  | d|",
        ),
        ("| id | n  |\n| 1  | a  |", "| id| n|\n|1| a|"),
        (
            "| Name | Count  |\n|---|---|\n| Ann  |      5 |\n| Bob  |     12 |\n| Cy   |   none |",
            "| Name| Count|\n|-|-|\n| Ann|5|\n| Bob|12|\n| Cy| none|",
        ),
        (
            "| Name   |\n|---|\n|   Ann  |\n|  Boris |\n| Cynthia|",
            "| Name|\n|-|\n| Ann|\n| Boris|\n| Cynthia|",
        ),
        (
            "| a | https://example.org   |\n|---|---|",
            "| a| https://example.org |\n|-|-|",
        ),
        (
            "| a | \u{3000}b\u{3000} |\n|---|---|",
            "| a| \u{3000}b\u{3000} |\n|-|-|",
        ),
        ("| a  | it's 5  |\n|---|---|", "| a| it's 5|\n|-|-|"),
    ] {
        assert_eq!(packed(table), packed_table);
        assert_eq!(packed(packed_table), packed_table);
    }
}

#[test]
fn other_bars_stay() {
    for text in [
        "| one line |",
        "|      |\n| box  |\n|      |",
        "|   |   |\n|   |   |",
        "| 1  2 |\n| 3  4 |",
        "a  | b\nc  | d",
        "| a  -> b | c |\n| a  == b | c |",
        "| \"a  | b\" |\n| \"c  | d\" |",
        "| 'a  | b' |\n| 'c  | d' |",
        "| “a  | b” |\n| “c  | d” |",
        "| a || b  |\n| c || d  |",
        "| a  | b |\n| c |",
        "||\n||",
        // A tree, code that goes on, a plan, a board.
        "| Part      | Cost |\n|-----------|------|\n| Boat      | 900  |\n|   Mast    | 500  |\n|   Sail    | 400  |",
        "| Key | Code     |\n|-----|----------|\n| 1   | for a:   |\n|     |     go() |",
        "| Row | Seats    |\n|-----|----------|\n| A   | XX  XX X |\n| B   | XXXXXXXX |",
        "| Row | Seats    |\n|-----|----------|\n| A   | X X X    |\n| B   | XXXXXXXX |",
        "| Key | Lines    |\n|-----|----------|\n| 1   | a and   +|\n| 2   | b        |",
        "|\n|",
        "",
        "\n",
    ] {
        assert_eq!(packed(text), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn cells_stay(text in "([|]|[|] |  |a|1|-|:|`|\"|'|\\\\|é|\u{3000}|\n|[|]---|[|]\n[|]){0,40}") {
        let once = packed(&text);
        prop_assert_eq!(packed(&once), once.as_str());
        let visible = |text: &str| text.replace([' ', '\t'], "");
        let cells = |text: &str| text.lines().map(|line| visible(line).matches('|').count()).collect::<Vec<_>>();
        prop_assert_eq!(cells(&once), cells(&text));
        let body = |text: &str| visible(text).replace('-', "");
        prop_assert_eq!(body(&once), body(&text));
    }
}

const PADDED: &str = "| Port      | Boats     | Days      |\n|-----------|-----------|-----------|\n\
                      | Ulm       | 12        | Monday    |\n| Wismar    | 7         | Friday    |\n\
                      | Kiel      | 25        | Sunday    |\n| Cuxhaven  | 31        | Tuesday   |";

fn sent(text: &str, role: Role) -> bool {
    let text = text.replace('¤', PADDED);
    Compressor::new(Level::Balanced)
        .compress(&text, role)
        .is_some_and(|shorter| !shorter.text.contains(PADDED))
}

#[test]
fn talk_about_form_keeps_tables() {
    assert!(sent("Which port has the most boats?\n\n¤", Role::User));
    for text in [
        "Answer in exactly this form:\n\n¤",
        "¤\n\nEach of them is eleven wide.",
        "Keep the layout of this:\n\n¤",
        "Why does the linter complain?\n\n¤",
        "Give the table back as it is, with one port more.\n\n¤",
        "¤\n\nDraw that again with a frame.",
        "¤\n\nAlign the numbers to the right.",
    ] {
        assert!(!sent(text, Role::User), "{text}");
        assert!(!sent(text, Role::System), "{text}");
    }
}

#[test]
fn a_file_that_a_tool_shows_keeps_its_tables() {
    assert!(!sent(
        "# Ports\n\n¤\n\nMore of them are listed elsewhere.",
        Role::Tool
    ));
}
