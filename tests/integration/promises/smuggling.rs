//! P74: no request can be read in two ways, and none hides in another.
//!
//! Each vector is a POST whose framing is wrong or odd, with a second request right behind it and a third one that
//! closes the connection. What the proxy makes of them shows in the answers and in what reaches the upstream.

use serde_json::json;

use super::Nest;
use crate::support::{Reading, Recorded, Upstream, Wire};

use framings::{CHUNKS, FRAMINGS};
use heads::{HEADS, STARTS};

mod framings;
mod heads;

/// What is right for a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is refused, nothing goes upstream, and the connection ends: where the next request begins is unknown.
    Refused,
    /// It is refused or served, and the connection ends: the two ways to read it disagree about where it ends.
    Alone,
    /// It is refused, or served with what is behind it taken for its trailers, and so lost.
    Swallows,
    /// Odd, but there is one way to read it: all three requests are served.
    Clear,
}

use Verdict::{Alone, Clear, Refused, Swallows};

const TARGETS: [(&str, bool); 5] = [
    ("/v1/chat/completions", false),
    ("/v1/chat/completions", true),
    ("/create", false),
    ("/create", true),
    ("/v1/embeddings", false),
];

const PLAIN: &str = "POST {p} HTTP/1.1\r\nhost: a\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";
const SMUGGLED: [&str; 2] = [
    "GET /v1/smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /v1/smuggled HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nhide",
];
const LAST: &str = "GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// What stands in the vectors' templates.
struct Case {
    what: String,
    path: &'static str,
    body: String,
    smuggled: &'static str,
}

impl Case {
    /// `{p}` the path, `{b}` the body, `{n}` and `{x}` its length, `{c}` the body in one chunk, `{m}` the length of that
    /// and `{l}` the length up to the end of the second request.
    fn fill(&self, template: &str) -> String {
        let (body, length) = (&self.body, self.body.len());
        let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
        let beyond = chunked.len() + self.smuggled.len();
        template
            .replace("{p}", self.path)
            .replace("{n}", &length.to_string())
            .replace("{x}", &format!("{length:x}"))
            .replace("{m}", &chunked.len().to_string())
            .replace("{l}", &beyond.to_string())
            .replace("{c}", &chunked)
            .replace("{b}", body)
    }

    /// Sends it with what follows, and compares what happens with what is right.
    async fn run(&self, nest: &Nest, upstream: &Upstream, request: &str, verdict: Verdict) {
        let before = upstream.calls();
        let bytes = format!("{}{}{LAST}", self.fill(request), self.smuggled);
        let answers = Wire::exchange(nest.address, bytes).await;
        let asked = upstream.requests().split_off(before);
        self.judge(verdict, &answers, &asked);
    }

    fn judge(&self, verdict: Verdict, answers: &[Reading], asked: &[Recorded]) {
        let what = format!(
            "{verdict:?}, {}: {answers:#?}, upstream {asked:#?}",
            self.what
        );
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let is_refusal = |status| matches!(status, 400..=499 | 501);
        let (hidden, own): (Vec<_>, Vec<_>) = asked
            .iter()
            .partition(|request| request.path == "/v1/smuggled");
        match verdict {
            Refused => {
                assert!(statuses.len() == 1 && is_refusal(statuses[0]), "{what}");
                assert!(asked.is_empty(), "{what}");
            }
            Alone | Swallows => {
                let first = statuses.first().copied().unwrap_or_default();
                assert!(is_refusal(first) || first == 200, "{what}");
                assert!(hidden.is_empty() && own.len() <= 1, "{what}");
                assert_eq!(own.len(), usize::from(first == 200), "{what}");
                let most = if verdict == Alone { 1 } else { 2 };
                assert!(statuses.len() <= most, "{what}");
            }
            Clear => {
                assert_eq!(statuses, [200, 200, 200], "{what}");
                assert_eq!((own.len(), hidden.len()), (1, 1), "{what}");
            }
        }
        for request in own {
            self.is_whole(request, &what);
        }
        for request in hidden {
            let body: &[u8] = if request.method == "POST" {
                b"hide"
            } else {
                b""
            };
            assert_eq!(&request.body[..], body, "{what}");
        }
    }

    /// Whether a request came up with its body, no more and no less, and with nothing of its framing.
    fn is_whole(&self, request: &Recorded, what: &str) {
        let to = if self.path == "/v1/embeddings" {
            self.path
        } else {
            "/v1/chat/completions"
        };
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", to),
            "{what}"
        );
        if self.path != "/create" {
            let body = request.body.trim_ascii();
            assert_eq!(body, self.body.as_bytes(), "{what}");
        }
        let framing: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("content-length") || name.contains("encoding"))
            .filter(|(name, _)| name != "accept-encoding")
            .collect();
        let length = ("content-length".to_owned(), request.body.len().to_string());
        assert_eq!(framing, [&length], "{what}");
        for name in ["trailer", "x-hidden", "te", "upgrade"] {
            assert!(!request.has_header(name), "{name}: {what}");
        }
    }
}

/// Sends a table of vectors to every endpoint, each with a GET and with a POST behind it.
async fn assault(table: &[(&str, Verdict, &str)], request: impl Fn(&str) -> String) {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let mut number = 0;
    for (what, verdict, vector) in table {
        for (path, stream) in TARGETS {
            for smuggled in SMUGGLED {
                number += 1;
                let prompt = format!("question {number}");
                let body = json!({"model": "m", "prompt": prompt, "input": prompt, "stream": stream,
                    "messages": [{"role": "user", "content": prompt}]});
                let case = Case {
                    what: format!("{what} on {path}, stream {stream}, before {smuggled:?}"),
                    path,
                    body: body.to_string(),
                    smuggled,
                };
                case.run(&nest, &upstream, &request(vector), *verdict).await;
            }
        }
    }
    assert_eq!(nest.get("/health").await.status, 200);
}

#[tokio::test]
async fn p74_lengths_and_encodings_that_contradict_each_other_hide_no_request() {
    assault(&FRAMINGS, |framing| {
        // The second line of a vector, if it has one, is its body.
        let (headers, body) = framing.split_once('|').unwrap_or((framing, "{b}"));
        format!("{PLAIN}content-type: application/json\r\n{headers}\r\n\r\n{body}")
    })
    .await;
}

#[tokio::test]
async fn p74_chunks_that_break_the_grammar_hide_no_request() {
    assault(&CHUNKS, |chunks| {
        format!("{PLAIN}content-type: application/json\r\n{CHUNKED}\r\n{chunks}")
    })
    .await;
}

#[tokio::test]
async fn p74_heads_that_break_the_grammar_hide_no_request() {
    assault(&HEADS, |lines| {
        format!("{PLAIN}content-type: application/json\r\n{lines}\r\n\r\n{{b}}")
    })
    .await;
}

#[tokio::test]
async fn p74_start_lines_and_hosts_that_are_not_one_are_refused() {
    assault(&STARTS, |start| {
        format!("{start}\r\ncontent-type: application/json\r\ncontent-length: {{n}}\r\n\r\n{{b}}")
    })
    .await;
}
