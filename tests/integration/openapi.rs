//! `/openapi.json` and `/docs`: whether the proxy is what they say.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Act, Answer, Proxy, Upstream};
use schema::{faults, resolve};

mod schema;

/// Everything that answers, as the documentation for people has it.
const ENDPOINTS: [(&str, &[&str]); 22] = [
    ("/", &["get"]),
    ("/api/clear-cache", &["delete", "get", "post"]),
    ("/api/events", &["get"]),
    ("/api/optimization-stats", &["get"]),
    ("/api/tuning", &["get"]),
    ("/api/usage", &["get"]),
    ("/api/usage/savings", &["get"]),
    ("/assets/{digest}/{name}", &["get"]),
    ("/create", &["post"]),
    ("/create/chat", &["post"]),
    ("/dashboard", &["get"]),
    ("/docs", &["get"]),
    ("/docs/style.css", &["get"]),
    ("/health", &["get"]),
    ("/health/circuit-breakers", &["get"]),
    ("/health/detailed", &["get"]),
    ("/health/live", &["get"]),
    ("/health/ready", &["get"]),
    ("/metrics", &["get"]),
    ("/openapi.json", &["get"]),
    ("/v1/chat/completions", &["post"]),
    ("/v1/{path}", &["delete", "get", "patch", "post", "put"]),
];

/// An operation of the document.
#[derive(Clone, Copy)]
struct Operation<'d> {
    document: &'d Value,
    path: &'d str,
    method: &'d str,
    described: &'d Value,
}

impl<'d> Operation<'d> {
    /// All of them.
    fn all(document: &'d Value) -> Vec<Self> {
        let items = document["paths"].as_object().unwrap();
        let all = items.iter().flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(|(method, described)| Self {
                document,
                path,
                method,
                described,
            })
        });
        all.collect()
    }

    /// A request to it, with the example of its path.
    fn request(&self, proxy: &Proxy) -> reqwest::RequestBuilder {
        self.request_with(proxy, "")
    }

    /// The same with a query.
    fn request_with(&self, proxy: &Proxy, query: &str) -> reqwest::RequestBuilder {
        let mut path = self.path.replace("{path}", "models");
        for parameter in self.parameters().iter().filter(|p| p["in"] == "path") {
            let (name, example) = (&parameter["name"], &parameter["example"]);
            if let (Some(name), Some(example)) = (name.as_str(), example.as_str()) {
                path = path.replace(&format!("{{{name}}}"), example);
            }
        }
        proxy.request(self.method().parse().unwrap(), &format!("{path}{query}"))
    }

    fn method(&self) -> String {
        self.method.to_uppercase()
    }

    fn name(&self) -> String {
        format!("{} {}", self.method(), self.path)
    }

    fn is_endless(&self) -> bool {
        self.path == "/api/events"
    }

    fn is_open(&self) -> bool {
        self.described["security"] == json!([])
    }

    fn parameters(&self) -> &'d [Value] {
        let parameters = self.described["parameters"].as_array();
        parameters.map_or(&[], Vec::as_slice)
    }

    /// The examples of its body.
    fn bodies(&self) -> impl Iterator<Item = (&'d String, &'d Value)> {
        let examples = &self.described["requestBody"]["content"]["application/json"]["examples"];
        let examples = examples.as_object().into_iter().flatten();
        examples.map(|(name, example)| (name, &example["value"]))
    }

    /// What it says of a status.
    fn response(&self, status: u16) -> Option<&'d Value> {
        let responses = &self.described["responses"];
        let exact = &responses[status.to_string()];
        let class = &responses[format!("{}XX", status / 100)];
        let found = if exact.is_null() { class } else { exact };
        (!found.is_null()).then(|| resolve(self.document, found))
    }

    /// Fails unless an answer is as the document says.
    fn judge(&self, answer: &Answer, what: &str) {
        let what = format!("{}, {what}: {answer:?}", self.name());
        let response = self.response(answer.status);
        let response = response.unwrap_or_else(|| panic!("its status is not documented: {what}"));
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = resolve(self.document, header);
            let is_there = answer.headers.contains_key(name.to_ascii_lowercase());
            assert!(is_there || header["required"] != true, "no {name}: {what}");
        }
        let media = answer.header("content-type").split(';').next().unwrap();
        let content = &response["content"];
        if content["*/*"].is_object() && !content[media].is_object() {
            return;
        }
        assert!(
            content[media].is_object(),
            "{media} is not documented: {what}"
        );
        if media == "application/json" {
            let found = faults(self.document, &content[media]["schema"], &answer.json());
            assert!(found.is_empty(), "{found:?}: {what}");
        }
    }
}

async fn document(proxy: &Proxy) -> Value {
    let answer = proxy.get("/openapi.json").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn every_endpoint_is_documented_and_nothing_else() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let document = document(&proxy).await;
    let items = document["paths"].as_object().unwrap().iter();
    let documented = items.map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().map(String::as_str);
        (path.as_str(), methods.collect::<Vec<_>>())
    });
    let expected = ENDPOINTS.map(|(path, methods)| (path, methods.to_vec()));
    assert_eq!(documented.collect::<Vec<_>>(), expected);

    for (path, methods) in ENDPOINTS {
        if path.contains('{') {
            continue;
        }
        let method = Method::from_bytes(b"BREW").unwrap();
        let answer = proxy.send(proxy.request(method, path)).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").to_ascii_lowercase();
        let allowed: BTreeSet<_> = allowed.split(',').filter(|name| *name != "head").collect();
        assert_eq!(allowed, methods.iter().copied().collect(), "{path}");
    }
}

#[tokio::test]
async fn the_document_holds_together() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let document = document(&proxy).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut ids = BTreeSet::new();
    for operation in Operation::all(&document) {
        let (name, described) = (operation.name(), operation.described);
        assert!(
            ids.insert(described["operationId"].as_str().unwrap()),
            "{name}"
        );
        assert!(!described["summary"].as_str().unwrap().is_empty(), "{name}");
        let tag = &described["tags"][0];
        let mut tags = document["tags"].as_array().unwrap().iter();
        assert!(tags.any(|known| known["name"] == *tag), "{name}");
        for parameter in operation.parameters() {
            let found = faults(&document, &parameter["schema"], &parameter["example"]);
            assert!(found.is_empty(), "{name}: {found:?}");
            assert_eq!(
                parameter["required"] == true,
                parameter["in"] == "path",
                "{name}"
            );
        }
        if operation.bodies().next().is_some() {
            let is_required = &described["requestBody"]["required"];
            assert_eq!(*is_required, operation.path != "/v1/{path}", "{name}");
        }
        let body = &described["requestBody"]["content"]["application/json"]["schema"];
        for (example, value) in operation.bodies() {
            let found = faults(&document, body, value);
            assert!(found.is_empty(), "{name}, {example}: {found:?}");
        }
        for (status, response) in described["responses"].as_object().unwrap() {
            let response = resolve(&document, response);
            assert!(response["description"].is_string(), "{name} {status}");
            for (media, body) in response["content"].as_object().into_iter().flatten() {
                for (example, value) in body["examples"].as_object().into_iter().flatten() {
                    let found = faults(&document, &body["schema"], &value["value"]);
                    assert!(
                        found.is_empty(),
                        "{name} {status} {media} {example}: {found:?}"
                    );
                }
            }
        }
    }
    let mut places = Vec::new();
    references(&document, &mut places);
    assert!(places.len() > 50);
    for place in places {
        assert!(document.pointer(&place[1..]).is_some(), "{place}");
    }
    // And none is there for nothing.
    let text = document.to_string();
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let place = format!("\"#/components/{kind}/{name}\"");
            assert!(text.contains(&place), "{place} is not used");
        }
    }
}

fn references(value: &Value, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(place) = members.get("$ref").and_then(Value::as_str) {
                places.push(place.to_owned());
            }
            members
                .values()
                .for_each(|member| references(member, places));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, places)),
        _ => {}
    }
}

#[tokio::test]
async fn each_documented_example_is_answered_as_documented() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let document = document(&proxy).await;
    let mut calls = 0;
    for operation in Operation::all(&document) {
        let mut requests = vec![("plain".to_owned(), operation.request(&proxy))];
        if operation.bodies().next().is_some() {
            requests.clear();
            for (name, body) in operation.bodies() {
                let request = operation
                    .request(&proxy)
                    .header("content-type", "application/json");
                requests.push((name.clone(), request.body(body.to_string())));
            }
        }
        for parameter in operation.parameters() {
            let name = parameter["name"].as_str().unwrap();
            let example = &parameter["example"];
            let example = example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned);
            let request = requests[0].1.try_clone().unwrap();
            let request = match parameter["in"].as_str().unwrap() {
                "query" => {
                    let value: String =
                        form_urlencoded::byte_serialize(example.as_bytes()).collect();
                    operation.request_with(&proxy, &format!("?{name}={value}"))
                }
                "header" => request.header(name, example),
                _ => continue,
            };
            requests.push((name.to_owned(), request));
        }
        for (what, request) in requests {
            calls += 1;
            if operation.is_endless() {
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), 200);
                assert_eq!(response.headers()["content-type"], "text/event-stream");
                continue;
            }
            let answer = proxy.send(request).await;
            assert_eq!(
                answer.status,
                200,
                "{}, {what}: {answer:?}",
                operation.name()
            );
            operation.judge(&answer, &what);
        }
    }
    assert!(calls > 50, "{calls}");
}

#[tokio::test]
async fn a_token_is_asked_for_where_the_document_says_so() {
    let upstream = Upstream::start().await;
    let settings = "[auth]\nclient_tokens = [\"client\"]\nadmin_token = \"admin\"";
    let proxy = Proxy::start(settings, &upstream).await;
    assert_eq!(proxy.get("/openapi.json").await.status, 401);
    assert_eq!(proxy.get("/docs").await.status, 401);
    let request = proxy.request(Method::GET, "/openapi.json");
    let document = proxy.send(request.bearer_auth("client")).await.json();
    let (mut open, mut guarded) = (0, 0);
    for operation in Operation::all(&document) {
        let answer = proxy.send(operation.request(&proxy)).await;
        operation.judge(&answer, "without a token");
        assert_eq!(
            answer.status == 401,
            !operation.is_open(),
            "{}",
            operation.name()
        );
        *(if operation.is_open() {
            &mut open
        } else {
            &mut guarded
        }) += 1;
    }
    assert_eq!((open, guarded), (10, 18));
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn errors_are_as_documented() {
    let upstream = Upstream::start().await;
    let settings = "[server]\nmax_body_bytes = \"4KiB\"\n[retry]\nmax_attempts = 1";
    let proxy = Proxy::start(settings, &upstream).await;
    let document = document(&proxy).await;
    let operations = Operation::all(&document);
    let long = "x".repeat(5_000);
    let broken = Act::response(500, &[("content-type", "text/html")], "<p>broken</p>");
    for path in [
        "/create",
        "/create/chat",
        "/v1/chat/completions",
        "/v1/{path}",
    ] {
        let is_chat = path == "/v1/chat/completions";
        let operation = operations
            .iter()
            .find(|known| known.path == path && known.method == "post")
            .unwrap();
        let good = operation.bodies().next().unwrap().1;
        let with = |key: &str, value: Value| {
            let mut body = good.clone();
            body[key] = value;
            body.to_string()
        };
        let json = ("content-type", "application/json");
        let text = ("content-type", "text/plain");
        let mut cases = vec![
            (400, "{".to_owned(), json, None),
            (413, with("name", long.clone().into()), json, None),
            (502, with("seed", 1.into()), json, Some(broken.clone())),
            (
                400,
                with("seed", 2.into()),
                json,
                Some(Act::error(400, &[])),
            ),
            (
                429,
                with("seed", 3.into()),
                json,
                Some(Act::error(429, &[])),
            ),
            (
                403,
                with("seed", 4.into()),
                ("sec-fetch-site", "cross-site"),
                None,
            ),
        ];
        if path != "/v1/{path}" {
            cases.push((415, good.to_string(), text, None));
            cases.push((
                504,
                with("seed", 5.into()),
                ("cache-control", "only-if-cached"),
                None,
            ));
            cases.push((
                400,
                good.to_string(),
                ("x-pegasus-compression", "max"),
                None,
            ));
            cases.push((400, with("stream", "yes".into()), json, None));
        }
        if path.starts_with("/create") {
            cases.push((422, with("temperature", 9.into()), json, None));
        } else if is_chat {
            cases.push((400, with("messages", json!([])), json, None));
        }
        for (status, body, header, act) in cases {
            if let Some(act) = act {
                upstream.once(act);
            }
            let mut request = operation.request(&proxy).body(body.clone());
            if header.0 != "content-type" {
                request = request.header(json.0, json.1);
            }
            let answer = proxy.send(request.header(header.0, header.1)).await;
            assert_eq!(
                answer.status, status,
                "{path} {header:?} {body}: {answer:?}"
            );
            operation.judge(&answer, &body);
        }
    }
}

#[tokio::test]
async fn the_page_shows_all_of_the_document_and_links_to_nothing_that_is_not_there() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let document = document(&proxy).await;
    let answer = proxy.get("/docs").await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    for inline in [
        "<script", "<style", " style=", "http://", "https://", "@import",
    ] {
        assert!(!page.contains(inline), "{inline}");
    }
    for operation in Operation::all(&document) {
        let id = operation.described["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"{kind}-{name}\"")), "{name}");
        }
    }
    let ids: Vec<_> = page
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        ids.len(),
        "an id is there twice"
    );
    for rest in page.split("href=\"#").skip(1) {
        let place = rest.split('"').next().unwrap();
        assert!(ids.contains(&place), "{place}");
    }
    for rest in page.split("href=\"/").skip(1) {
        let path = format!("/{}", rest.split('"').next().unwrap());
        assert_eq!(proxy.get(&path).await.status, 200, "{path}");
    }
}
