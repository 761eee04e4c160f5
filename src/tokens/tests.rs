//! Counts of texts that are known, or that a reference knows.

mod properties;

use std::collections::HashMap;

use tiktoken::CoreBpe;

use super::{
    Difference, Vocabulary, difference, difference_all, merge, split,
    table::{CL100K, NO_RANK, O200K, Table},
    window,
};

fn reference(of: Vocabulary) -> &'static CoreBpe {
    let name = match of {
        Vocabulary::O200k => "o200k_base",
        Vocabulary::Cl100k => "cl100k_base",
    };
    tiktoken::get_encoding(name).unwrap()
}

fn is_counted_like_the_reference(text: &str) {
    // The reference does not always know this contraction, which its patterns have.
    if text.contains("'ſ") {
        return;
    }
    for of in [Vocabulary::O200k, Vocabulary::Cl100k] {
        assert_eq!(of.count(text), reference(of).count(text), "{of:?} {text:?}");
    }
}

fn counted(before: &str, after: &str) -> Difference {
    let [o200k, cl100k] = [Vocabulary::O200k, Vocabulary::Cl100k]
        .map(|of| of.count(after).cast_signed() - of.count(before).cast_signed());
    Difference { o200k, cl100k }
}

#[test]
fn every_token_has_its_rank_and_nothing_else_has_one() {
    for (of, table, tokens) in [
        (Vocabulary::O200k, &O200K, 199_998),
        (Vocabulary::Cl100k, &CL100K, 100_256),
    ] {
        let rank = |token: &[u8]| Table::rank(table, token, 0, token.len());
        let mut known = HashMap::new();
        for id in 0..tokens {
            known.insert(reference(of).decode(&[id]), id);
        }
        for (token, &id) in &known {
            if token.len() > 1 {
                assert_eq!(rank(token), id, "{token:?}");
            }
            let more = [token, &b"\0"[..]].concat();
            assert_eq!(
                rank(&more),
                known.get(&more).copied().unwrap_or(NO_RANK),
                "{more:?}"
            );
            let mut other = token.clone();
            other[token.len() / 2] ^= 1;
            if other.len() > 1 {
                assert_eq!(
                    rank(&other),
                    known.get(&other).copied().unwrap_or(NO_RANK),
                    "{other:?}"
                );
            }
        }
        assert_eq!(rank(&[b'a'; 129]), NO_RANK);
    }
}

#[test]
fn known_texts_have_known_counts() {
    for (text, o200k, cl100k) in [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("<|endoftext|>", 7, 7),
        ("she's he'd THEY'LL", 6, 7),
        ("\n  ", 2, 2),
    ] {
        let counts = [Vocabulary::O200k, Vocabulary::Cl100k].map(|of| of.count(text));
        assert_eq!(counts, [o200k, cl100k], "{text:?}");
    }
}

#[test]
fn words_end_where_the_pattern_takes_back_what_it_took() {
    let pieces = |text: &str| {
        let (mut at, mut pieces) = (0, Vec::new());
        while at < text.len() {
            let end = split::o200k(text, at);
            pieces.push(text[at..end].to_owned());
            at = end;
        }
        pieces
    };
    assert_eq!(
        pieces("\u{301}AA.\u{301}'s"),
        ["\u{301}", "AA", ".\u{301}'s"]
    );
    assert_eq!(pieces("a'ſ'LliPhone"), ["a'ſ", "'Lli", "Phone"]);
    assert_eq!(pieces("中AA中AA.a'Re"), ["中AA中", "AA", ".a'Re"]);
}

/// Texts in the manner of prompts.
fn prompts() -> impl Iterator<Item = String> {
    (0..40).map(|n| {
        let lines = (0..n).map(|line| {
            let ok = line % 2 == 0;
            format!(
                "{{\"id\": {line}, \"name\": \"user_{line}\", \"ok\": {ok}}},\n    \
                 if (items[{line}]->isValid()) {{ return getHTTPResponse({n}); }}\r\n\
                 | {line:>4} | 2024-05-{line:02}T10:{n:02}:00Z | it's “{line} %” |\n\n"
            )
        });
        let lines: String = lines.collect();
        format!(
            "# Report {n}\n\nYou're the reviewer of ticket #{}.\n{lines}",
            n * 7919
        )
    })
}

#[test]
fn prompts_are_counted_like_the_reference() {
    for prompt in prompts() {
        is_counted_like_the_reference(&prompt);
    }
}

#[test]
fn many_edits_of_a_long_text_look_at_little_of_it() {
    let text: String = prompts().collect();
    let edits: Vec<_> = text
        .match_indices("return ")
        .map(|(at, word)| (at..at + word.len(), ""))
        .collect();
    assert_eq!(
        difference_all(&text, &edits),
        counted(&text, &text.replace("return ", ""))
    );
    let mut seen = 0;
    window::each(&text, &edits, |_, _, before, after| {
        seen += before.len() + after.len();
    });
    assert!(
        seen < 50 * edits.len(),
        "{seen} bytes for {} edits",
        edits.len()
    );
}

#[test]
fn edits_that_fit_no_text_change_nothing() {
    let none = Difference::default();
    assert_eq!(difference("añb", 2..3, "x"), none);
    assert_eq!(difference("abc", 2..9, "x"), none);
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "such a range is what is tried"
    )]
    let reversed = 2..1;
    assert_eq!(difference("abc", reversed, "x"), none);
    let (first, overlapping) = ((0..4, "other words"), (2..6, "x"));
    assert_eq!(
        difference_all("some text", &[first.clone(), overlapping]),
        difference_all("some text", &[first]),
    );
}

#[test]
fn endless_pieces_are_counted_like_the_reference() {
    // With quadratic work none of these would end in a day.
    for (unit, times) in [
        ("a", 200_000),
        (" ", 100_000),
        ("a'", 100_000),
        ("\n", 100_000),
        ("Aa", 100_000),
        ("\u{301}A", 50_000),
        ("\u{301}AA", 50_000),
        ("xyzzy", 30_000),
        ("中", 50_000),
        ("=-", 100_000),
        (" \n", 100_000),
        ("7", 100_000),
        ("\u{3000}", 30_000),
        ("A中", 50_000),
    ] {
        let text = unit.repeat(times);
        is_counted_like_the_reference(&text);
        for of in [Vocabulary::O200k, Vocabulary::Cl100k] {
            assert!(of.has_at_least(&text, times / 200), "{unit:?}");
        }
        let end = text.len();
        let _ = difference(&text, end..end, "s");
    }
}

#[test]
fn the_stretches_of_endless_pieces_fit_together() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for letters in [1, 2, 3, 26] {
        let piece: Vec<u8> = (0..20_000)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                b'a' + u8::try_from(random % letters).unwrap()
            })
            .collect();
        for table in [&O200K, &CL100K] {
            let whole = merge::in_stretches(table, &piece, 0, piece.len(), usize::MAX);
            assert_eq!(
                merge::in_stretches(table, &piece, 0, piece.len(), 4096),
                whole,
                "{letters}"
            );
        }
    }
}
