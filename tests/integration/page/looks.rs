//! How it looks: light and dark, wide and narrow, with nothing that shuts somebody out; and the pictures that README shows.

use std::path::Path;

use serde_json::json;

use super::Demo;

const AXE: &str = include_str!("axe.min.js");
/// What axe finds wrong, in words.
const VIOLATIONS: &str = "axe.run().then(({violations}) => violations.map(({id, nodes}) =>
    id + ': ' + nodes.map(({target, failureSummary}) => target + ' ' + failureSummary).join('; ')))";

/// Where pictures go, if anywhere: `PEGASUS_SCREENSHOTS`.
fn keep(name: &str, picture: &str) {
    if let Some(directory) = std::env::var_os("PEGASUS_SCREENSHOTS") {
        std::fs::create_dir_all(&directory).unwrap();
        let path = Path::new(&directory).join(format!("{name}.webp"));
        std::fs::write(path, decode(picture)).unwrap();
    }
}

/// What this base64 (RFC 4648, with padding) stands for.
fn decode(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter(|byte| *byte != b'=');
    let sixes: Vec<u32> = digits
        .map(|byte| u32::try_from(DIGITS.iter().position(|digit| *digit == byte).unwrap()).unwrap())
        .collect();
    sixes
        .chunks(4)
        .flat_map(|four| {
            let bits = (0..4).fold(0, |bits, place| {
                bits << 6 | four.get(place).copied().unwrap_or(0)
            });
            bits.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect()
}

/// A little of everything: three models with prices and one without, hits, shared calls, text to compress.
async fn traffic(demo: &Demo) {
    let jobs = (0..40).map(|n| json!({"job": n, "worker": format!("worker-{}", n % 4), "milliseconds": 12 + n, "is_done": n % 7 != 0}));
    let jobs = serde_json::to_string_pretty(&jobs.collect::<Vec<_>>()).unwrap();
    for (model, repeats) in [
        ("anthropic/claude-sonnet-4", 9),
        ("openai/gpt-4o-mini", 6),
        ("google/gemini-flash-1.5", 4),
        ("acme/house-model-7b", 2),
    ] {
        for question in ["What went wrong here?", "How long did the jobs take?"] {
            let request = json!({"model": model, "messages": [{"role": "user", "content": format!("{question}\n\n{jobs}")}]});
            // Two at once share a call; later ones come from the cache.
            let (one, two) = tokio::join!(demo.client.chat(&request), demo.client.chat(&request));
            assert_eq!((one.status, two.status), (200, 200));
            for _ in 0..repeats {
                assert_eq!(demo.client.chat(&request).await.status, 200);
            }
        }
    }
}

#[tokio::test]
async fn it_shuts_nobody_out_and_fits_every_screen() {
    let demo = Demo::open("").await;
    let browser = &demo.browser;
    traffic(&demo).await;
    browser
        .until("document.querySelector('#usage-table tbody')?.children.length === 4")
        .await;
    browser.eval(AXE).await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme, "reduce").await;
        for (width, height) in [(1280, 1010), (360, 780)] {
            browser.resize(width, height).await;
            // The river is drawn anew for the width.
            let stands = width < 760;
            browser
                .until(&format!(
                    "(document.querySelector('#river svg').height.baseVal.value > 400) === {stands}"
                ))
                .await;
            // A phone's window grows with what does not fit into it: its own width says nothing.
            let wide = browser.eval("document.documentElement.scrollWidth").await;
            assert_eq!(wide, width, "{scheme}");
            let violations = browser.eval(VIOLATIONS).await;
            assert_eq!(violations, json!([]), "{scheme} {width}");
            if width > 360 || scheme == "light" {
                keep(&format!("{scheme}-{width}"), &browser.picture("webp").await);
            }
        }
    }
    browser.resize(1280, 1010).await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme, "reduce").await;
        browser.click("#clear-open").await;
        browser
            .until("document.querySelector('#clear-dialog').open")
            .await;
        assert_eq!(browser.eval(VIOLATIONS).await, json!([]), "{scheme}");
        browser.press("Escape").await;
    }
    demo.close().await;
}

#[test]
fn base64_is_read() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zm8=", b"fo"),
        ("Zm9v", b"foo"),
        ("+/8A", b"\xfb\xff\0"),
    ] {
        assert_eq!(decode(text), bytes, "{text}");
    }
}
