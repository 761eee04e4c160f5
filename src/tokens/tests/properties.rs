//! What holds for any text and any edit.

use std::ops::Range;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{counted, is_counted_like_the_reference};
use crate::tokens::{
    Vocabulary, difference, difference_all, merge,
    table::{CL100K, O200K},
    window,
};

/// What the patterns treat in a way of its own.
const FRAGMENTS: [&str; 83] = [
    "a",
    "b",
    "s",
    "t",
    "re",
    "ll",
    "e",
    "Fox",
    "HTTP",
    "zzqx",
    "'",
    "'s",
    "'S",
    "'t",
    "'re",
    "'VE",
    "'m",
    "'Ll",
    "'d",
    "'l",
    "'r",
    "''",
    "’s",
    "'ſ",
    "ſ",
    "K",
    " ",
    "  ",
    "   ",
    "\t",
    "\t\t",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    " \n",
    "\n ",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{2003}",
    "\u{2028}",
    "\u{202f}",
    "\u{3000}",
    "\u{200b}",
    "\u{feff}",
    "0",
    "7",
    "12",
    "345",
    "6789",
    "٣",
    "½",
    "Ⅷ",
    "²",
    "/",
    "//",
    "./",
    "...",
    ",",
    ". ",
    "(",
    ")",
    "\"",
    "{\"",
    "\":",
    "_",
    "-",
    "é",
    "e\u{301}",
    "\u{301}",
    "ß",
    "Ǆ",
    "ǅ",
    "ʰ",
    "中文",
    "です",
    "한국어",
    "ไทย",
    "🙂",
    "🇩🇪",
    "\u{0}",
];

/// The same, and words.
const LONGER: [&str; 14] = [
    "the",
    " the",
    " quick",
    "iPhone",
    "McDonald",
    "XMLHttp",
    " internationalization",
    "        ",
    "<|endoftext|>",
    "<|fim_prefix|>",
    "\u{301}\u{302}",
    "हिन्दी",
    "👩\u{200d}👩\u{200d}👧",
    "\u{212a}",
];

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        7 => select(&FRAGMENTS[..]).prop_map(String::from),
        2 => select(&LONGER[..]).prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
        1 => (0_u8..128).prop_map(|byte| char::from(byte).to_string()),
        1 => "[a-zA-Z]{1,12}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    vec(fragment(), 0..20).prop_map(|fragments| fragments.concat())
}

/// Ordered edits: how many characters are kept before each, how many are replaced, and by what.
fn edits() -> impl Strategy<Value = Vec<(usize, usize, String)>> {
    let with = vec(fragment(), 0..3).prop_map(|fragments| fragments.concat());
    vec((0_usize..12, 0_usize..5, with), 1..6)
}

fn ranges<'a>(text: &str, edits: &'a [(usize, usize, String)]) -> Vec<(Range<usize>, &'a str)> {
    let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    starts.push(text.len());
    let mut from = 0;
    let mut ranges = Vec::new();
    for (kept, replaced, with) in edits {
        let (start, end) = (from + kept, from + kept + replaced);
        if let (Some(&start), Some(&end)) = (starts.get(start), starts.get(end)) {
            ranges.push((start..end, with.as_str()));
        }
        from = end;
    }
    ranges
}

fn edited(text: &str, edits: &[(Range<usize>, &str)]) -> String {
    let mut text = text.to_owned();
    for (range, with) in edits.iter().rev() {
        text.replace_range(range.clone(), with);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn any_text_is_counted_like_the_reference(text in text()) {
        is_counted_like_the_reference(&text);
    }

    #[test]
    fn any_difference_is_that_of_the_counts(text in text(), edits in edits()) {
        let edits = ranges(&text, &edits);
        let after = edited(&text, &edits);
        prop_assert_eq!(difference_all(&text, &edits), counted(&text, &after), "{:?} {:?}", text, edits);
        if let Some((range, with)) = edits.first() {
            let after = edited(&text, &edits[..1]);
            prop_assert_eq!(difference(&text, range.clone(), with), counted(&text, &after), "{:?} {:?}", text, edits);
        }
    }

    #[test]
    fn a_cut_parts_the_counts(text in text()) {
        for (at, after) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if window::is_cut(left.chars().next_back(), Some(after)) {
                for of in [Vocabulary::O200k, Vocabulary::Cl100k] {
                    prop_assert_eq!(of.count(left) + of.count(right), of.count(&text), "{:?} {:?}", left, right);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn at_least_is_what_the_count_is(text in text(), n in 0_usize..40) {
        for of in [Vocabulary::O200k, Vocabulary::Cl100k] {
            prop_assert_eq!(of.has_at_least(&text, n), of.count(&text) >= n);
            prop_assert!(of.has_at_least(&text, of.count(&text)));
            prop_assert!(!of.has_at_least(&text, of.count(&text) + 1));
        }
    }

    #[test]
    fn stretches_of_any_length_merge_alike(piece in "[ab]{200,400}|[a-e]{200,400}|(the|er|ing|a){80,120}|[!-/ ]{200,400}") {
        for table in [&O200K, &CL100K] {
            let bytes = piece.as_bytes();
            let whole = merge::in_stretches(table, bytes, 0, bytes.len(), usize::MAX).unwrap();
            for stretch in [2, 9, 30, 64, 150] {
                let parts = merge::in_stretches(table, bytes, 0, bytes.len(), stretch);
                prop_assert!(parts.is_none_or(|parts| parts == whole), "{} {:?} {}", stretch, parts, whole);
            }
            prop_assert_eq!(merge::count(table, &bytes[..60], 0, 60), merge::long(table, bytes, 0, 60).max(1));
        }
    }
}
