//! `--html`: a page that is well-formed and needs nothing but itself.

use super::{asking, estimate, line, log};

/// Fails unless each tag that is opened is closed in turn; gives the names of all.
fn tags(html: &str) -> Vec<String> {
    let html = html.strip_prefix("<!doctype html>").unwrap();
    let (before, rest) = html.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for piece in format!("{before}{after}").split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("{piece}"));
        assert!(!text.contains('>'), "{piece}");
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap()
            .to_owned();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "{piece}");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            all.push(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[tokio::test]
async fn the_page_is_well_formed_and_self_contained() {
    let evil = "<script>alert('&\"')</script>";
    let lines = (0_u32..60).map(|n| {
        line(
            f64::from(n * 60),
            &asking(
                if n % 2 == 0 { "a" } else { evil },
                &format!("{evil} {}", n % 9),
            ),
        )
    });
    let log = log(lines.chain([serde_json::json!({"x": evil})]));
    let page = tempfile::NamedTempFile::new().unwrap();
    let path = page.path().to_str().unwrap();
    let output = estimate(&log, "", &["--sweep", "--show-prompts", "--html", path]).await;
    assert!(output.status.success(), "{output:?}");
    let html = std::fs::read_to_string(page.path()).unwrap();
    let tags = tags(&html);
    let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
    assert_eq!((count("svg"), count("figure"), count("details")), (4, 3, 3));
    for gone in ["script", "img", "link", "iframe", "a", "form"] {
        assert_eq!(count(gone), 0, "{gone}");
    }
    for gone in [
        "http://", "https://", "//", "url(", "@import", " style=", " on",
    ] {
        let body = html.split_once("<body>").unwrap().1;
        assert!(!body.contains(gone) || gone == " on", "{gone}");
    }
    assert!(html.contains("default-src 'none'; style-src 'sha256-"));
    assert!(html.contains("&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"));
    // Each chart says what it shows, and has its figures beside it.
    assert_eq!(html.matches("role=\"img\" aria-label=\"").count(), 4);
    for title in [
        "Cost so far, with and without",
        "Cost and savings in steps of 1 minute",
        "By model",
        "Other settings",
        "What this rests on",
    ] {
        assert!(html.contains(title), "{title}");
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_written_is_told_before_the_work() {
    let log = log([asking("a", "q")]);
    let output = estimate(&log, "", &["--html", "/nowhere/at/all.html"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("cannot write /nowhere/at/all.html"), "{told}");
    assert!(output.stdout.is_empty());
}
