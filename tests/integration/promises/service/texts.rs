//! P03: text passes unchanged, in both directions.

use super::super::Nest;
use super::{asking, said};
use crate::support::{Act, Recorded, Upstream, delta, event, finish};

/// Text that careless code damages.
fn texts() -> Vec<(&'static str, String)> {
    let long: String = (0..100_000)
        .map(|n: u32| {
            char::from(b'a' + u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap() % 26)
        })
        .collect();
    let text = |text: &str| text.to_owned();
    vec![
        ("emoji", text("👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳 👍🏽 🪶")),
        (
            "right to left",
            text("\u{202b}שלום \u{202a}abc\u{202c} مرحبا\u{202c}\u{200f}"),
        ),
        (
            "combining",
            text("e\u{301} \u{e9} Z\u{351}\u{36b}\u{343} \u{1112}\u{1161}\u{11ab}"),
        ),
        ("NUL and controls", text("a\0b\u{1}\u{7f}\u{85}\u{9f}c")),
        ("separators of lines", text("one\u{2028}two\u{2029}three")),
        (
            "ends of planes",
            text("\u{ffff}\u{fffd}\u{10ffff}\u{10000}\u{feff}"),
        ),
        (
            "JSON and events",
            text("\\u0041 \\\" data: [DONE] {\"delta\": 1} \\\\"),
        ),
        ("markup", text("<script>alert('1')</script>&amp;%00%0d%0a")),
        ("CJK", text("漢字かな交じり文、한국어")),
        ("100 KB", long),
    ]
}

/// Code that a compressor which takes it for prose would change.
const CODE: &str = "```python\ndef really_very(just):\n    # Please note that this is actually   very important.\n\n\n\
    \tx  =  {\"a\" :  1}   \n    return  \"In order to do so\"  # basically\n```";

#[tokio::test]
async fn p03_prompts_reach_the_upstream_unchanged() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let off = [("x-pegasus-compression", "off")];
    for (what, text) in texts() {
        for streams in [false, true] {
            for (path, body) in asking(&text, streams) {
                let answer = nest.post(path, &body, &off).await;
                said(path, &answer);
            }
        }
        let requests = upstream.requests();
        let seen: Vec<String> = requests
            .iter()
            .rev()
            .take(3)
            .map(Recorded::prompt)
            .collect();
        assert!(
            seen.iter().all(|prompt| *prompt == text),
            "{what}: {seen:?}"
        );
    }
    // Each was asked once by each endpoint, the streaming callers were answered from the cache.
    assert_eq!(upstream.calls(), texts().len() * 3);
}

#[tokio::test]
async fn p03_answers_reach_the_client_unchanged() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let mut texts = texts();
    texts.push(("code", CODE.to_owned()));
    for (what, text) in texts {
        let middle = text.floor_char_boundary(text.len() / 2);
        let (begin, rest) = text.split_at(middle);
        let pieces = event(&delta(begin)) + &event(&delta(rest));
        let streamed = Act::stream()
            .chunk(pieces + &event(&finish("stop")) + &event("[DONE]"))
            .last_chunk();
        for (upstream_shape, act) in [("whole", Act::says(&text)), ("streamed", streamed)] {
            upstream.set(act);
            for streams in [false, true] {
                let prompt = format!("{what} {upstream_shape} {streams}");
                for round in ["MISS", "HIT"] {
                    for (path, body) in asking(&prompt, streams) {
                        let answer = nest.post(path, &body, &[]).await;
                        assert_eq!(answer.header("x-cache"), round, "{path}: {prompt}");
                        let said = said(path, &answer);
                        assert!(said == text, "{path}: {prompt}, {round}: {said:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn p03_a_character_split_anywhere_stays_whole() {
    let upstream = Upstream::start().await;
    let text = "漢🪶é\u{10ffff}".repeat(3);
    upstream.set(Act::streams(&[&text]).drip());
    let nest = Nest::start(&upstream).await;
    for streams in [false, true] {
        for (path, body) in asking(&format!("split {streams}"), streams) {
            let answer = nest.post(path, &body, &[]).await;
            assert_eq!(said(path, &answer), text, "{path}, {streams}");
        }
    }
}

#[tokio::test]
async fn p03_no_level_of_compression_touches_a_code_block() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    // With blanks at the ends of lines and four blank lines, which every level takes away.
    let prose = "Please note that it is really important.   \n\n\n\n\n\
        Could you please kindly explain to me, in great detail, what this does?";
    for level in ["safe", "balanced", "aggressive"] {
        for streams in [false, true] {
            let prompt = format!("{prose}\n\n{CODE}\n\n{prose} ({level}, {streams})");
            for (path, body) in asking(&prompt, streams) {
                let headers = [("x-pegasus-compression", level)];
                said(path, &nest.post(path, &body, &headers).await);
                let seen = upstream.last().prompt();
                assert!(seen.contains(CODE), "{path}, {level}: {seen}");
                let is_shorter = seen.len() < prompt.len();
                assert!(is_shorter, "it must be at work: {path}, {level}: {seen}");
            }
        }
    }
}
