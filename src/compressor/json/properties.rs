use proptest::prelude::*;
use serde_json::Value;

use super::{
    rows::tests::{expanded, rows_of},
    tests::{applied, min, rules},
    *,
};

fn json() -> impl Strategy<Value = String> {
    let space = || proptest::sample::select(vec!["", " ", "\n", "\r\n\t", "  "]);
    let leaf = proptest::sample::select(vec![
        "0",
        "-1.50e+3",
        "true",
        "null",
        "\"\"",
        "\" a  b \"",
        "\"[{ \\\"é\\\" : 1 }]\"",
        "\"\\u0041\\n\"",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(4, 40, 6, move |inner| {
            let items = proptest::collection::vec((inner.clone(), space(), space()), 0..6);
            let members = proptest::collection::vec((inner, space(), space()), 0..6);
            prop_oneof![
                items.prop_map(|items| {
                    let items: Vec<_> =
                        items.iter().map(|(v, a, b)| format!("{a}{v}{b}")).collect();
                    format!("[{}]", items.join(","))
                }),
                members.prop_map(|members| {
                    let each = members.iter().enumerate();
                    let each = each.map(|(n, (v, a, b))| format!("{a}\"k{}\"{b}:{a}{v}{b}", n % 4));
                    format!("{{{}}}", each.collect::<Vec<_>>().join(","))
                }),
            ]
        })
}

fn mixture() -> impl Strategy<Value = String> {
    let scrap = proptest::sample::select(vec![
        "\n",
        "\n\n",
        " ",
        "\r\n",
        "text",
        " class x",
        " word ",
        ".",
        "Data:",
        "for example:",
        "- ",
        "```",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "x = ",
        "<a>",
        "</a>",
        "é",
        ": |",
        "\\",
        "following",
        "# T",
        "A:",
        "1. ",
        "{\"a\": ",
        "[1, ",
        "above",
        "this format",
        "indent",
        "\u{0}",
    ]);
    let piece = prop_oneof![3 => scrap.prop_map(str::to_owned), 2 => json()];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn role() -> impl Strategy<Value = Role> {
    proptest::sample::select(vec![Role::System, Role::User, Role::Tool])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_value_stays_the_same(json in json()) {
        let shorter = min(&json, Role::Tool);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        prop_assert_eq!(read(&shorter), read(&json));
        if json.len() >= SHORT && json.starts_with(['{', '[']) {
            let visible = |text: &str| text.split_ascii_whitespace().collect::<String>();
            prop_assert_eq!(visible(&shorter), visible(&json));
            prop_assert_eq!(expanded(read(&rows_of(&json))), expanded(read(&json)));
        }
    }

    #[test]
    fn any_text_is_edited_once(text in mixture(), role in role(), all in any::<bool>()) {
        let rules = if all { rules(&[Rule::JsonSpace, Rule::JsonRows]) } else { rules(&[Rule::JsonSpace]) };
        let edits = propose(&text, &[], rules, role);
        prop_assert!(edits.windows(2).all(|pair| pair[0].at.end <= pair[1].at.start));
        prop_assert!(edits.iter().all(|edit| edit.with.len() < edit.at.len()));
        let once = applied(&text, &edits);
        prop_assert_eq!(propose(&once, &[], rules, role), Vec::new(), "{:?}", once);
        // Each edit also stands alone.
        for edit in &edits {
            let alone = applied(&text, std::slice::from_ref(edit));
            prop_assert!(propose(&alone, &[], rules, role).len() < edits.len().max(1), "{:?}", alone);
        }
    }

    #[test]
    fn any_bytes(text in "[\\[\\]{}\",:a1 \n\\\\-]{0,80}", role in role()) {
        let once = min(&text, role);
        prop_assert_eq!(min(&once, role), once);
    }
}
