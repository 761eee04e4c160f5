use proptest::prelude::*;

use super::*;
use crate::compressor::{Compressor, Level};

fn applied(text: &str, edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.at.start]);
        at = edit.at.end;
    }
    out.push_str(&text[at..]);
    out
}

fn both() -> RuleSet {
    [Rule::AnsiCodes, Rule::ProgressBars].into_iter().collect()
}

fn shown(text: &str) -> String {
    applied(text, &propose(text, both(), Role::Tool))
}

#[test]
fn sequences_go() {
    for (text, plain) in [
        ("\x1b[31;1merror\x1b[0m\x1b[m.", "error."),
        ("\x1b[38;2;9;0;9merror\x1b[0m", "error"),
        ("\x1b[38;5;9merror\x1b[0m", "error"),
        ("ok\r\x1b[Kdone\x1b[K\n", "ok\rdone\n"),
        ("\x1b[2K\x1b[1Aup", "up"),
        ("\x1b[?25lhidden\x1b[?25h", "hidden"),
        ("\x1b]0;title of 3\x07text", "text"),
        ("\x1b]2;title\x1b\\text", "text"),
        ("\x1b]8;;\x1b\\text", "text"),
        ("\x1bPq#0\x1b\\text", "text"),
        ("\x1b(Btext\x1b=\x1b7", "text"),
        ("\x1b[0 qtext é", "text é"),
        ("a\x1b[0m\r\nb\x1b[0m\r\n", "a\r\nb\r\n"),
    ] {
        assert_eq!(shown(text), plain, "{text:?}");
        assert_eq!(applied(text, &propose(text, both(), Role::User)), plain);
        assert!(propose(text, both(), Role::Assistant).is_empty());
        assert!(propose(text, both(), Role::System).is_empty());
    }
    let edits = propose("\x1b[0m\x1b[1mtext", both(), Role::Tool);
    assert_eq!((edits.len(), &edits[0].at), (1, &(0..8)));
}

#[test]
fn what_is_no_sequence_stays() {
    for text in [
        "\x1b",
        "\x1b[",
        "\x1b[3",
        "\x1b[31;\nm",
        "\x1b]0;title",
        "\x1b]0;title\nmore\x07",
        "\x1b[é",
        "\x1bé",
        "\x1b\x1b[0m[31m",
        "\x1b[3\x1b[0m1m",
        "\x1b]0;a\x1b[0mb\x07c",
        "\\x1b[31m",
        "^[[31m",
        "[31m",
        "\x1b]8;;https://example.org/a\x1b\\",
        "\x1b]8;;https://example.org/a\x1b\\page\x1b]8;;\x1b\\ and more",
        "back\x08space",
    ] {
        assert_eq!(shown(text), text, "{text:?}");
    }
}

#[test]
fn sequences_with_a_meaning_stay() {
    for line in [
        // Words and figures that nothing else parts.
        "It costs \x1b[31m7\x1b[m\x1b[32m9\x1b[m crowns",
        "You \x1b[31mcan\x1b[m\x1b[32mshall\x1b[m pay",
        "We sail \x1b[31m(late)\x1b[m\x1b[32m(early)\x1b[m today",
        // Moved and erased within the line.
        "Step 1 of 2\x1b[2K\x1b[1GStep 2 of 2",
        "abc\x1b[3Dxyz",
        "left\x1b[9Cright",
        "\x1b[9Cright",
        "old\x1b[1A\x1b[2Knew",
        "old \x1b8 new",
    ] {
        let text = format!("\x1b[1mfirst\x1b[0m\n{line}\n\x1b[1mlast\x1b[0m\n");
        assert_eq!(shown(&text), format!("first\n{line}\nlast\n"), "{line:?}");
    }
    for text in [
        "\x1b[9mwash up\x1b[0m\n\x1b[1mbake\x1b[0m\n",
        "\x1b[1;9mwash up\x1b[0m\nbake\n",
        "What is in red is late:\n\x1b[31mferry\x1b[0m\n\x1b[32mtrain\x1b[0m\n",
        "Green: runs. Yellow: waits.\n\x1b[32mferry\x1b[0m\n",
        "The colours tell the state.\n\x1b[32mferry\x1b[0m\n",
        "Done items are crossed out.\n\x1b[2mferry\x1b[0m\n",
        "@@ -1,2 +1,2 @@\nthe \x1b[31mvery \x1b[mlast ferry\n",
    ] {
        assert_eq!(shown(text), text, "{text:?}");
    }
    // A sign says as much as the colour of its line; names of options are no talk of colours.
    assert_eq!(
        shown(
            "@@ -1 +1 @@\n\x1b[31m-old\x1b[m\n\x1b[32m+\x1b[m\x1b[32mnew\x1b[m\nls --color=auto\n"
        ),
        "@@ -1 +1 @@\n-old\n+new\nls --color=auto\n"
    );
}

#[test]
fn overwritten_frames_go() {
    for (text, last) in [
        ("Get:  10%\rGet:  55%\rGet: 100%\nok\n", "Get: 100%\nok\n"),
        (
            "\r 1% |█   | 1/9\r 9% |██  | 9/9\r\n",
            "\r 9% |██  | 9/9\r\n",
        ),
        ("a [=>  ] 1\ra [==> ] 2\ra [===>] 3\n", "a [===>] 3\n"),
        ("| work 1%\r/ work 2%\r- work 3%\n", "- work 3%\n"),
        ("⠋ build\r⠙ build\r✓ build\n", "⠙ build\r✓ build\n"),
        (
            "Objects:  9% (1/9)\rObjects: 100% (9/9)\rObjects: 100% (9/9), done.\n",
            "Objects: 100% (9/9), done.\n",
        ),
        ("\x1b[32m10%\x1b[0m\r\x1b[32m20%\x1b[0m\n", "20%\n"),
        ("0% x\rnote\r50% x\r70% x\r100% x\n", "0% x\rnote\r100% x\n"),
    ] {
        assert_eq!(shown(text), last, "{text:?}");
    }
}

#[test]
fn other_returns_stay() {
    for text in [
        "a\rb\rc\n",
        "one 1\rtwo 2\n",
        "x\r\ny\r\n",
        "x\r\r\ny\r\r\n",
        "01/02/2026,5.0\r02/02/2026,6.0\r",
        "Get 10%\rError: disk full\n",
        "id 1\rid 2\rid 3\n",
        "1.5\r2.5\r3.5\n",
        "\r\r\r",
        "a\r",
        "hose 20% off\rhose 20% off now and then\r\nend\n",
        "10%\r",
    ] {
        assert_eq!(shown(text), text, "{text:?}");
    }
    assert!(propose("1% x\r2% x\n", both(), Role::User).is_empty());
    let bars = propose(
        "\x1b[0m1% x\r2% x\n",
        [Rule::ProgressBars].into_iter().collect(),
        Role::User,
    );
    assert_eq!((bars.len(), bars[0].rule), (1, Rule::ProgressBars));
}

#[test]
fn hostile_texts_are_read_once() {
    for unit in [
        "\x1b",
        "\x1b[",
        "\x1b]",
        "\x1b[0",
        "\x1b]0;a",
        "\x1b[0m",
        "\r",
        "1%\r",
        "%\r\x1b[",
        "\x1bP",
        "\x1b(",
        "é\r",
        "1% x\r2% y\r",
        "\x1b]8;;a",
        "█\r",
        "\r\n",
        "a\r\x1b[K",
    ] {
        let text = unit.repeat(600_000 / unit.len());
        let once = shown(&text);
        assert_eq!(shown(&once), once, "{unit:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_text_is_edited_once(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "\x1b", "\x1b[0m", "\x1b[", "\x1b]0;", "\x07", "\x1b\\", "\r", "\r", "\n", "1", "27", "%", "m", ";", "[", "é",
            "word", "a 5% b", "█", "=", "==", "/", " ", "\x1b[K", "8;;http://x", "\x18", "P",
        ]), 0..24),
        which in 0_u8..4,
    ) {
        let text = pieces.concat();
        let rules = [Rule::AnsiCodes, Rule::ProgressBars];
        let rules = rules.into_iter().enumerate().filter(|(n, _)| which & 1 << n != 0).map(|(_, rule)| rule).collect();
        let edits = propose(&text, rules, Role::Tool);
        prop_assert!(edits.windows(2).all(|pair| pair[0].at.end <= pair[1].at.start), "{:?}", edits);
        let mut once = applied(&text, &edits);
        // A line may lose its meaning with a frame of it that was overwritten.
        for _ in 0..8 {
            once = applied(&once, &propose(&once, rules, Role::Tool));
        }
        prop_assert_eq!(propose(&once, rules, Role::Tool), Vec::new(), "{:?} {:?}", text, once);
        prop_assert_eq!(once.matches('\n').count(), text.matches('\n').count());
    }
}

/// How long a bar is may be what nothing else says.
#[test]
fn drawn_bars_keep_their_length() {
    let text = "How full each of the five shelves is, and how many of its books were lent out at least once:\n\
                north █████████ 12/40\nsouth ███ 12/40\neast  ██████ 12/40\n\
                100%|██████████| 50/50 [00:01<00:00]\n 96%|█████████▌| 48/50 [00:03<00:00]\n\
                The lengths were measured by hand, so they are the only record of it that we have.";
    for role in [Role::Tool, Role::User] {
        let compressed = Compressor::new(Level::Balanced).compress(text, role);
        assert_eq!(compressed.map(|shorter| shorter.text), None);
    }
}

#[test]
fn fenced_and_quoted_sequences_stay() {
    use crate::compressor::{Compressor, Level};
    let words =
        "The build of the service ends with this output since the last change of the image. "
            .repeat(8);
    let code = "\u{1b}[31mfirst error\u{1b}[0m in the middle of the line";
    for (text, roles) in [
        (
            format!("{words}\n\n```python\nERROR = {code}\n```\n"),
            &[Role::User, Role::Tool][..],
        ),
        (
            format!("{words}\n\nWhat does `{code}` mean to it?"),
            &[Role::User],
        ),
        (
            format!("{words}\n\nIt prints \"{code}\" and stops."),
            &[Role::User],
        ),
    ] {
        for role in roles {
            let sent = Compressor::new(Level::Balanced).compress(&text, *role);
            assert!(
                sent.is_none_or(|sent| sent.text.contains(code)),
                "{role}: {text}"
            );
        }
    }
    let output = format!("{words}\n\n{code}\n");
    let sent = Compressor::new(Level::Balanced).compress(&output, Role::User);
    assert!(!sent.unwrap().text.contains('\u{1b}'));
}
