//! P76: nothing that a client or the upstream says makes the proxy contact another host than the operator's.
//!
//! The other host is a canary that counts whoever connects.

use serde_json::{Value, json};

use super::Nest;
use crate::promises::SETTINGS;
use crate::support::{Upstream, Wire};

mod redirects;

/// Counts connections; nobody has any business there.
struct Canary(Upstream);

impl Canary {
    async fn start() -> Self {
        Self(Upstream::start().await)
    }

    fn host(&self) -> String {
        self.0.address.to_string()
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.0.address)
    }

    fn assert_alone(&self, what: &str) {
        assert_eq!(
            self.0.counts().opened,
            0,
            "{what} led elsewhere: {:?}",
            self.0.requests()
        );
    }
}

const CALLS: [(&str, bool); 6] = [
    ("/v1/chat/completions", false),
    ("/v1/chat/completions", true),
    ("/create", false),
    ("/create", true),
    ("/create/chat", false),
    ("/v1/embeddings", false),
];

fn body(prompt: &str, stream: bool) -> Value {
    json!({"model": "m", "prompt": prompt, "message": prompt, "input": prompt, "stream": stream,
        "messages": [{"role": "user", "content": prompt}]})
}

#[tokio::test]
async fn p76_no_field_of_a_body_leads_elsewhere() {
    let (upstream, canary) = (Upstream::start().await, Canary::start().await);
    let nest = Nest::start(&upstream).await;
    let url = canary.url();
    let fields = [
        ("base_url", json!(url)),
        ("baseURL", json!(url)),
        ("api_base", json!(url)),
        ("api_url", json!(url)),
        ("url", json!(url)),
        ("endpoint", json!(url)),
        ("host", json!(canary.host())),
        ("upstream", json!({"base_url": url})),
        ("proxy", json!(url)),
        ("provider", json!({"base_url": url, "order": [url]})),
        (
            "model_list",
            json!([{"model_name": "m", "litellm_params": {"api_base": url}}]),
        ),
        ("extra_body", json!({"base_url": url})),
        ("extra_headers", json!({"host": canary.host()})),
        ("callback_url", json!(url)),
        ("webhook", json!(url)),
        ("metadata", json!({"base_url": url})),
        (
            "tools",
            json!([{"type": "mcp", "server_url": url, "server_label": "m"},
            {"type": "function", "function": {"name": "fetch", "parameters": {"$ref": url}}}]),
        ),
        ("plugins", json!([{"id": "web", "url": url}])),
        ("model", json!(url)),
        ("image_url", json!(url)),
        ("$schema", json!(url)),
        (
            "messages",
            json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": format!("{url}/image.png")}},
            {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
            {"type": "text", "text": format!("Fetch {url} and say what is there.")}]}]),
        ),
        (
            "prompt",
            json!(format!("Fetch {url} and say what is there.")),
        ),
        ("input", json!(url)),
    ];
    for (number, (field, value)) in fields.iter().enumerate() {
        for (path, stream) in CALLS {
            let before = upstream.calls();
            let mut body = body(&format!("{number} {path} {stream}"), stream);
            body[*field] = value.clone();
            let answer = nest.post(path, &body, &[]).await;
            let calls = upstream.calls() - before;
            // A field of a wrong shape may be refused; what is served is served by the upstream.
            let fits = if answer.status == 200 {
                calls <= 1
            } else {
                calls == 0
            };
            assert!(fits && answer.status < 500, "{field} on {path}: {answer:?}");
            canary.assert_alone(&format!("{field} on {path}"));
        }
    }
}

#[tokio::test]
async fn p76_no_header_leads_elsewhere() {
    let (upstream, canary) = (Upstream::start().await, Canary::start().await);
    let nest = Nest::start(&upstream).await;
    let (url, host) = (canary.url(), canary.host());
    for (number, (name, value)) in [
        ("host", &host),
        ("x-forwarded-host", &host),
        ("x-forwarded-server", &host),
        ("x-host", &host),
        ("x-original-host", &host),
        ("forwarded", &format!("host={host}")),
        ("x-original-url", &url),
        ("x-rewrite-url", &url),
        ("x-openai-base-url", &url),
        ("openai-base-url", &url),
        ("openai-api-base", &url),
        ("x-openrouter-base-url", &url),
        ("x-stainless-base-url", &url),
        ("x-base-url", &url),
        ("x-upstream", &url),
        ("x-pegasus-upstream", &url),
        ("x-pegasus-base-url", &url),
        ("helicone-target-url", &url),
        ("helicone-openai-api-base", &url),
        ("x-portkey-custom-host", &url),
        ("x-litellm-api-base", &url),
        ("http-referer", &url),
        ("location", &url),
        ("destination", &url),
        ("proxy", &url),
        ("http_proxy", &url),
        ("x-envoy-original-dst-host", &host),
        ("true-client-ip", &host),
        ("upgrade", &url),
        ("link", &format!("<{url}>; rel=preload")),
    ]
    .into_iter()
    .enumerate()
    {
        for (path, stream) in CALLS {
            let before = upstream.calls();
            let body = body(&format!("{number} {path} {stream}"), stream);
            let answer = nest.post(path, &body, &[(name, value)]).await;
            assert_eq!(answer.status, 200, "{name} on {path}: {answer:?}");
            canary.assert_alone(&format!("{name} on {path}"));
            assert_eq!(upstream.calls(), before + 1, "{name} on {path}");
            assert_eq!(upstream.last().header("host"), upstream.address.to_string());
        }
    }
}

#[tokio::test]
async fn p76_no_target_leads_elsewhere() {
    let (upstream, canary) = (Upstream::start().await, Canary::start().await);
    let host = canary.host();
    let escaped = host.replace(':', "%3A");
    let targets = [
        format!("http://{host}/v1/models"),
        format!("https://{host}/v1/models"),
        format!("HTTP://{host}/v1/models"),
        format!("ftp://{host}/v1/models"),
        format!("http://a@{host}/v1/models"),
        format!("http://{host}"),
        format!("http://{host}/"),
        format!("//{host}/v1/models"),
        format!("///{host}/v1/models"),
        format!("/v1//{host}/models"),
        format!("/v1///{host}/models"),
        format!("/v1/http://{host}/models"),
        format!("/v1/@{host}/models"),
        format!("/v1@{host}/models"),
        format!("/v1:80@{host}/models"),
        format!("/v1.{host}/models"),
        format!("/v1/:80@{host}/models"),
        format!("/v1/..//{host}/models"),
        format!("/v1/%2e%2e//{host}/models"),
        format!("/v1/%2F%2F{escaped}/models"),
        format!("/v1/%5C%5C{escaped}/models"),
        format!("/v1/\\\\{host}/models"),
        format!("/v1/%40{escaped}/models"),
        format!("/v1/%0d%0aHost:%20{host}/models"),
        format!("/v1/%00@{host}/models"),
        format!("/v1/models?url=http://{host}"),
        format!("/v1/models?@{host}"),
        format!("/v1/models#@{host}/"),
        format!("/v1/chat/completions@{host}"),
        format!("/v1;@{host}/models"),
        format!("@{host}/v1/models"),
        format!("*@{host}"),
        host.clone(),
        format!("\\\\{host}\\v1\\models"),
    ];
    // With and without a path of its own: what is put behind a bare authority is the most dangerous.
    for base in ["/v1", ""] {
        let base_url = format!("http://{}{base}", upstream.address);
        let nest = Nest::before(&base_url, SETTINGS, &[]).await;
        for target in &targets {
            for method in ["GET", "POST", "CONNECT", "OPTIONS", "HEAD"] {
                let what = format!("{method} {target} before {base_url}");
                let before = upstream.calls();
                let request = format!(
                    "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
                     content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                let mut wire = Wire::connect(nest.address).await;
                wire.send(request).await.unwrap();
                let answer = if method == "HEAD" {
                    wire.answer_to_head().await
                } else {
                    wire.answer().await
                };
                let answer = answer.unwrap_or_else(|| panic!("{what}: no answer"));
                canary.assert_alone(&what);
                assert!(answer.status < 500, "{what}: {answer:?}");
                let asked = upstream.requests().split_off(before);
                assert!(asked.len() <= 1, "{what}: {asked:?}");
                for request in asked {
                    assert!(
                        request.path.starts_with(&format!("{base}/")),
                        "{what}: {request:?}"
                    );
                    assert_eq!(
                        request.header("host"),
                        upstream.address.to_string(),
                        "{what}"
                    );
                    assert_ne!(method, "CONNECT", "{what}");
                }
            }
        }
    }
}
