//! The page for people: a document and the files that it loads, all of them in the binary.
//!
//! They are the same for everybody and ask for no token: what the page shows it asks for itself, with the token of whoever
//! looks at it. The files have a digest of all of them in their path, so that browsers keep them for good and never mix two
//! versions of them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::dialect::{Fault, failure};
use super::document::Open;
use crate::error::ProxyError;

/// Where the files are, below their digest.
pub(super) const ASSETS: &str = "/assets/";

/// A file that the page loads.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $content_type:expr,)*) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            content: include_bytes!(concat!("page/", $name)),
        }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const FONT: &str = "font/woff2";
const TEXT: &str = "text/plain; charset=utf-8";

const FILES: &[Asset] = assets! {
    "api.js": SCRIPT,
    "chart.js": SCRIPT,
    "clear.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "latency.js": SCRIPT,
    "live.js": SCRIPT,
    "main.js": SCRIPT,
    "motion.js": SCRIPT,
    "overview.js": SCRIPT,
    "panels.js": SCRIPT,
    "recent.js": SCRIPT,
    "river.js": SCRIPT,
    "tryit.js": SCRIPT,
    "tuning.js": SCRIPT,
    "usage.js": SCRIPT,
    "uplot.min.js": SCRIPT,
    "page.css": STYLE,
    "parts.css": STYLE,
    "uplot.min.css": STYLE,
    "icon.svg": "image/svg+xml",
    "source-sans.woff2": FONT,
    "source-serif.woff2": FONT,
    "fonts.LICENSE.txt": TEXT,
    "uplot.LICENSE.txt": TEXT,
};

/// Nothing inline, nothing from elsewhere, nobody around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What tells these files from those of another version.
static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for Asset { name, content, .. } in FILES {
        // With both lengths before them, no two lists of files look alike.
        hash.update((name.len() as u64).to_be_bytes());
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(content);
    }
    hash.finalize()[..8]
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
});

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let page = include_str!("page/index.html")
        // Relative, so that the page also works below a path of a proxy before this one.
        .replace("{assets}", &format!("{}{}", &ASSETS[1..], *DIGEST))
        .replace("{version}", env!("CARGO_PKG_VERSION"));
    page.into()
});

/// The page for people
#[utoipa::path(get, path = "/", tag = "pages", operation_id = "page",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"), Open))]
pub(super) async fn document() -> Response {
    let content_type = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    guarded(([content_type], DOCUMENT.clone()).into_response())
}

/// The page for people, by another name
#[utoipa::path(get, path = "/dashboard", tag = "pages", operation_id = "dashboard",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"), Open))]
pub(super) async fn dashboard() -> Response {
    document().await
}

/// A file of the page
#[utoipa::path(get, path = "/assets/{digest}/{name}", tag = "pages", operation_id = "asset",
    params(
        ("digest" = String, Path, description = "That of all files together.", example = "0123456789abcdef"),
        ("name" = String, Path, description = "Its name.", example = "page.css"),
    ),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "text/css"),
        (status = 404, description = "There is no such file.", body = Fault<'static>),
        Open,
    ))]
pub(super) async fn asset(path: Result<Path<(String, String)>, PathRejection>) -> Response {
    let asked = path.ok().and_then(|Path((digest, name))| {
        let asset = FILES.iter().find(|asset| asset.name == name)?;
        Some((digest, asset))
    });
    let Some((digest, asset)) = asked else {
        return failure(&ProxyError::reject(
            StatusCode::NOT_FOUND,
            "not_found",
            "the page has no such file",
        ));
    };
    // A page of another version, of which many may answer under one name, gets what there is but must ask again.
    let keep = if digest == *DIGEST {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, keep),
    ];
    guarded((headers, asset.content).into_response())
}

/// Whether a path is the page's document, to which pages of other sites may link.
pub(super) fn is_document(path: &str) -> bool {
    matches!(path, "/" | "/dashboard")
}

/// Tells the browser what the page may do, which is little.
fn guarded(mut response: Response) -> Response {
    protect(response.headers_mut(), POLICY);
    response
}

/// Says to browsers what a page may do, and what others may do with it.
pub(super) fn protect(headers: &mut HeaderMap, policy: &'static str) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        let asset = FILES.iter().find(|asset| asset.name == name).unwrap();
        std::str::from_utf8(asset.content).unwrap()
    }

    /// What a file loads: the quoted names behind each of these words.
    fn loads<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let pieces = text.split(before).skip(1);
        pieces.map(|rest| rest.split('"').next().unwrap()).collect()
    }

    #[test]
    fn all_that_is_loaded_is_there_and_all_that_is_there_is_loaded() {
        let index = include_str!("page/index.html");
        let mut loaded = loads(index, "\"{assets}/");
        for asset in FILES {
            if asset.content_type == SCRIPT && asset.name != "uplot.min.js" {
                loaded.extend(loads(text(asset.name), "from \"./"));
            }
            if asset.content_type == STYLE {
                loaded.extend(loads(text(asset.name), "url(\""));
            }
        }
        loaded.sort_unstable();
        loaded.dedup();
        let mut there: Vec<_> = FILES.iter().map(|asset| asset.name).collect();
        there.sort_unstable();
        assert_eq!(loaded, there);
    }

    #[test]
    fn each_file_can_be_read_in_one_go() {
        for asset in FILES {
            let is_own =
                matches!(asset.content_type, SCRIPT | STYLE) && !asset.name.contains("min");
            let lines = asset.content.split(|byte| *byte == b'\n').count();
            assert!(!is_own || lines <= 300, "{}: {lines} lines", asset.name);
        }
    }

    #[test]
    fn the_document_names_files_of_this_version_and_has_nothing_inline() {
        let page = std::str::from_utf8(&DOCUMENT).unwrap();
        assert!(page.contains(&format!("src=\"assets/{}/main.js\"", *DIGEST)));
        assert!(!page.contains("{assets}") && !page.contains("{version}"));
        for word in page.split_whitespace() {
            let attribute = word.split_once("=\"").map(|(name, _)| name);
            let is_inline = attribute.is_some_and(|name| name == "style" || name.starts_with("on"));
            let is_element = ["<style", "<script>"]
                .iter()
                .any(|tag| word.starts_with(tag));
            assert!(!is_inline && !is_element, "{word}");
        }
    }
}
