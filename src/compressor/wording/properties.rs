//! What holds for every sentence: spans come out as they were, facts are kept, the end is reached.

use proptest::prelude::*;

use super::{
    entry,
    table::table,
    tests::{applied, round},
};
use crate::compressor::{Level, Role, guard, spans};

/// Sentences out of the tables' wordings, plain words and protected spans.
fn sentence() -> impl Strategy<Value = String> {
    let wordings: Vec<String> = table()
        .patterns()
        .iter()
        .flat_map(|(entry, _)| entry::expand(entry.from))
        .map(|wording| wording.text)
        .collect();
    let piece = prop_oneof![
        3 => prop::sample::select(wordings),
        4 => prop::sample::select(vec![
            "the", "a", "is", "write", "explain", "you", "and", "to", "users", "how", "it", "that", "not",
            "testing", "only", "in", "Maria", "very", "easy", "files", "do", "was", "or", ",", ".", "?", "!",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![
            "`in order to`", "\"please note that\"", "{make sure}", "$x$", "<b>", "[in order to](x y)",
            "a/b", "x_y", "3.5", "NASA", "--flag", "naïve", "'make use of'", "https://a.b/c", "**bold**",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..14).prop_map(|pieces| {
        let text = pieces
            .join(" ")
            .replace(" ,", ",")
            .replace(" .", ".")
            .replace(" ?", "?");
        let mut sentence = String::from("The of to and. ");
        let mut upper = true;
        for c in text.chars() {
            sentence.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = matches!(c, '.' | '?' | '!') || upper && c == ' ';
        }
        sentence
    })
}

fn protected(text: &str) -> Vec<&str> {
    spans::of(text)
        .into_iter()
        .map(|(at, _)| &text[at])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_edit_is_right_by_itself_and_all_settle(text in sentence()) {
        let mut text = text;
        let mut rounds = 0;
        loop {
            let edits = round(&text, Level::Aggressive, Role::User);
            if edits.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 16, "does not settle: {}", text);
            for edit in &edits {
                let alone = applied(&text, std::slice::from_ref(edit));
                prop_assert_eq!(protected(&text), protected(&alone), "{} -> {}", &text, &alone);
                prop_assert!(!alone.contains("  ") || text.contains("  "), "{} -> {}", &text, &alone);
                prop_assert!(alone.matches(" ,").count() <= text.matches(" ,").count());
                prop_assert!(alone.len() <= text.len());
            }
            text = applied(&text, &edits);
        }
    }

    #[test]
    fn kept_edits_keep_the_facts(text in sentence()) {
        for edit in round(&text, Level::Aggressive, Role::User) {
            let alone = applied(&text, std::slice::from_ref(&edit));
            prop_assert!(guard::keeps(&text, &alone), "{:?}: {} -> {}", edit.rule, text, alone);
        }
    }
}
