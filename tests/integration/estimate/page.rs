//! `--html`: a page that is well-formed and needs nothing but itself.

use super::{asking, estimate, file, line, log};
use crate::process::command;

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

#[tokio::test]
async fn no_page_is_written_over_the_log_or_in_the_place_of_another_for_nothing() {
    let log = log([asking("a", "q")]);
    let before = std::fs::read_to_string(log.path()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link.html");
    std::os::unix::fs::symlink(log.path(), &link).unwrap();
    for page in [log.path().to_str().unwrap(), link.to_str().unwrap()] {
        let output = estimate(&log, "", &["--html", page]).await;
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("is the log itself"), "{told}");
        let arguments = ["estimate", "-", "--html", page];
        let mut piped = command(&arguments);
        piped.stdin(std::fs::File::open(log.path()).unwrap());
        let output = piped.output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("is the log itself"), "{told}");
        assert_eq!(std::fs::read_to_string(log.path()).unwrap(), before);
    }
    let output = estimate(&log, "", &["--html", "-"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the page needs a file"), "{told}");

    let (known, new) = (
        directory.path().join("known.html"),
        directory.path().join("new.html"),
    );
    std::fs::write(&known, "<!doctype html> much longer than nothing").unwrap();
    let empty = file("");
    for page in [&known, &new] {
        let output = estimate(&empty, "", &["--html", page.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(2));
    }
    assert!(std::fs::read_to_string(&known).unwrap().contains("longer"));
    assert!(!new.exists());
    // What is longer than the page leaves no end behind.
    std::fs::write(&known, "<!doctype html>".repeat(1 << 16)).unwrap();
    let output = estimate(&log, "", &["--html", known.to_str().unwrap()]).await;
    assert!(output.status.success());
    tags(&std::fs::read_to_string(&known).unwrap());
    // Nor over what is somebody else's.
    std::fs::write(&known, "[cache]").unwrap();
    let output = estimate(&log, "", &["--html", known.to_str().unwrap()]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("is there and is no page"), "{told}");
    assert_eq!(std::fs::read_to_string(&known).unwrap(), "[cache]");
}
