use proptest::prelude::*;

use super::*;

fn found(line: &str) -> Vec<(&str, SpanKind)> {
    of(line)
        .into_iter()
        .map(|(at, kind)| (&line[at], kind))
        .collect()
}

#[test]
fn plain_prose_has_no_spans() {
    for line in [
        "Please write a short story about a dog, and don't forget the cat's name.",
        "- Keep it short (two sentences at most); it's well-known, isn't it?",
        "**Bold** words and — dashes … are plain.",
    ] {
        assert_eq!(found(line), [], "{line}");
    }
}

#[test]
fn every_kind_is_found() {
    use SpanKind::{
        Caps, Code, Email, Foreign, Identifier, Link, Math, Number, Path, Placeholder, Quote, Tag,
        Url,
    };
    for (line, want) in [
        (
            "run `a b` and ``c ` d`` now",
            vec![("`a b`", Code), ("``c ` d``", Code)],
        ),
        (
            "an `open tick and more",
            vec![("`open tick and more", Code)],
        ),
        (
            "solve $x + y$ or \\(a b\\)",
            vec![("$x + y$", Math), ("\\(a b\\)", Math)],
        ),
        ("use \\frac{a b}{c} here", vec![("\\frac{a b}{c}", Math)]),
        ("see [the page](a b) now", vec![("[the page](a b)", Link)]),
        (
            "fill {in this} and {{a b}} or ${c d}",
            vec![
                ("{in this}", Placeholder),
                ("{{a b}}", Placeholder),
                ("${c d}", Placeholder),
            ],
        ),
        (
            "the [[a b]] and [c d] or %s",
            vec![
                ("[[a b]]", Placeholder),
                ("[c d]", Placeholder),
                ("%s", Identifier),
            ],
        ),
        (
            "wrap <b class=x> in </b> if a < b",
            vec![("<b class=x>", Tag), ("</b>", Tag)],
        ),
        (
            "say \"a b\" or 'don't c' or “d e” or ‘it’s f’ on",
            vec![
                ("\"a b\"", Quote),
                ("'don't c'", Quote),
                ("“d e”", Quote),
                ("‘it’s f’", Quote),
            ],
        ),
        (
            "go to https://a.b/c?d=e, now",
            vec![("https://a.b/c?d=e", Url)],
        ),
        (
            "open ./a/b and C:\\x or and/or",
            vec![("./a/b", Path), ("C:\\x", Path), ("and/or", Path)],
        ),
        ("mail a.b@c.de.", vec![("a.b@c.de", Email)]),
        (
            "call f(x, y), a_b, aB, --flag, x.y and @me",
            vec![
                ("f(x, y)", Identifier),
                ("a_b", Identifier),
                ("aB", Identifier),
                ("--flag", Identifier),
                ("x.y", Identifier),
                ("@me", Identifier),
            ],
        ),
        ("the NASA and A", vec![("NASA", Caps)]),
        (
            "about $5.00, 3rd, 10% of v2",
            vec![
                ("$5.00", Number),
                ("3rd", Number),
                ("10%", Number),
                ("v2", Number),
            ],
        ),
        ("a naïve idea", vec![("naïve", Foreign)]),
    ] {
        assert_eq!(found(line), want, "{line}");
    }
}

#[test]
fn an_odd_quotation_mark_protects_the_line() {
    let line = "and he went on: \"I was there";
    assert_eq!(found(line), [(line, SpanKind::Quote)]);
    assert_eq!(
        found("then “he went on").last(),
        Some(&("“he went on", SpanKind::Quote))
    );
}

#[test]
fn hostile_lines_take_linear_time() {
    for unit in [
        "`a ``b ```c ",
        "'a ",
        "<a ",
        "[a ",
        "{a ",
        "\"a\" ",
        "a(",
        "-",
        "$a ",
        "‘a ",
        "\\(a ",
    ] {
        let line = unit.repeat(200_000);
        let spans = of(&line);
        assert!(
            spans.last().is_none_or(|(at, _)| at.end <= line.len()),
            "{unit}"
        );
    }
}

proptest! {
    #[test]
    fn spans_ascend_on_character_boundaries(line in "[a-zA-Z0-9 `'\"<>{}()$\\\\_.,:/@%éλ“”‘’\\[\\]-]{0,80}") {
        let mut last = 0;
        for (at, _) in of(&line) {
            prop_assert!(last <= at.start && at.start < at.end && at.end <= line.len());
            prop_assert!(line.get(at.clone()).is_some());
            last = at.end;
        }
    }
}
