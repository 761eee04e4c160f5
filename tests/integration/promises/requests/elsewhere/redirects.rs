//! What the upstream says, and what the environment says: neither leads elsewhere.

use http::Method;

use super::{CALLS, Canary, Nest, body};
use crate::promises::SETTINGS;
use crate::support::{Act, Upstream, completion};

#[tokio::test]
async fn p76_no_redirect_leads_elsewhere() {
    let (upstream, canary) = (Upstream::start().await, Canary::start().await);
    // A redirect counts as a failure of the upstream, and here everything is one.
    let settings = format!("[breaker]\nfailure_threshold = 100000\n{SETTINGS}");
    let nest = Nest::with(&upstream, &settings).await;
    let locations = [
        format!("{}/chat/completions", canary.url()),
        format!("//{}/v1/chat/completions", canary.host()),
        format!("{}/", canary.url().to_uppercase()),
    ];
    for status in [300, 301, 302, 303, 305, 307, 308] {
        for (number, location) in locations.iter().enumerate() {
            for (path, stream) in CALLS {
                let headers = [
                    ("content-type", "application/json"),
                    ("location", location.as_str()),
                    ("refresh", &format!("0; url={location}")),
                    ("alt-svc", &format!("h2=\"{}\"", canary.host())),
                    ("content-location", location),
                ];
                upstream.set(Act::response(
                    status,
                    &headers,
                    completion("No.").to_string(),
                ));
                let what = format!("{status} to {location} on {path}, stream {stream}");
                let body = body(&format!("{status} {number} {path} {stream}"), stream);
                let answer = nest.post(path, &body, &[]).await;
                canary.assert_alone(&what);
                // What the proxy has to understand is an error; what it forwards is the client's to follow.
                let expected = if path == "/v1/embeddings" {
                    status
                } else {
                    502
                };
                assert_eq!(answer.status, expected, "{what}: {answer:?}");
                assert!(
                    !String::from_utf8_lossy(&answer.body).contains("[DONE]"),
                    "{what}"
                );
            }
            let answer = nest.send(nest.request(Method::GET, "/v1/models")).await;
            assert_eq!(answer.status, status, "{location}: {answer:?}");
            canary.assert_alone(location);
        }
    }
}

#[tokio::test]
async fn p76_a_good_answer_that_names_another_place_leads_nowhere() {
    let (upstream, canary) = (Upstream::start().await, Canary::start().await);
    let nest = Nest::start(&upstream).await;
    let url = canary.url();
    let headers = [
        ("content-type", "application/json"),
        ("alt-svc", &format!("h2=\"{}\"; ma=3600", canary.host())),
        ("alt-used", &canary.host()),
        ("link", &format!("<{url}>; rel=preload")),
        ("refresh", &format!("0; url={url}")),
        ("location", &url),
    ];
    upstream.set(Act::response(
        200,
        &headers,
        completion("Hello.").to_string(),
    ));
    for round in 0..3 {
        for (path, stream) in CALLS {
            let answer = nest
                .post(
                    path,
                    &body(&format!("{round} {path} {stream}"), stream),
                    &[],
                )
                .await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            canary.assert_alone(path);
        }
    }
    assert_eq!(upstream.calls(), 3 * CALLS.len());
}

#[tokio::test]
async fn p76_the_environments_proxies_are_not_asked() {
    let (upstream, canary) = (Upstream::start().await, Canary::start().await);
    let base_url = format!("http://{}/v1", upstream.address);
    let url = format!("http://{}", canary.host());
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    let environment: Vec<_> = names.iter().map(|name| (*name, url.as_str())).collect();
    let nest = Nest::before(&base_url, SETTINGS, &environment).await;
    for (path, stream) in CALLS {
        let answer = nest
            .post(path, &body(&format!("{path} {stream}"), stream), &[])
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        canary.assert_alone(path);
    }
    assert_eq!(upstream.calls(), CALLS.len());
}
