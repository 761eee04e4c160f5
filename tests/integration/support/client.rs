//! Clients of the proxy: for JSON, for event streams, and for bytes that no client library would send.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::within;

const COMPLETIONS: &str = "/v1/chat/completions";

/// A client of one proxy.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An event stream as it comes.
pub(crate) struct Events {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    response: reqwest::Response,
    buffer: BytesMut,
}

impl Client {
    /// A client of whatever proxy listens there. It sees bodies and redirects as they come.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .no_deflate()
            .build()
            .unwrap();
        Self { address, http }
    }

    /// A request to this path.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url)
    }

    /// Sends a request and waits for all of its answer.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        within("a complete answer", async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes().await.unwrap();
            Answer {
                status,
                headers,
                body,
            }
        })
        .await
    }

    /// Sends a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends JSON with further headers.
    pub(crate) async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.send(self.posting(path, body, headers)).await
    }

    /// Sends a chat completion.
    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.post(COMPLETIONS, body, &[]).await
    }

    /// Sends a chat completion with further headers.
    pub(crate) async fn chat_with(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post(COMPLETIONS, body, headers).await
    }

    /// Sends a chat completion and waits for the head of its stream.
    pub(crate) async fn stream(&self, body: &Value) -> Events {
        self.stream_from(COMPLETIONS, body, &[]).await
    }

    /// Sends JSON with further headers and waits for the head of its stream.
    pub(crate) async fn stream_from(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Events {
        let request = self.posting(path, body, headers);
        let response = within("the head of a stream", request.send()).await;
        let response = response.unwrap();
        Events {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            response,
            buffer: BytesMut::new(),
        }
    }

    fn posting(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("{error} in {self:?}"),
        }
    }

    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The completion's text.
    pub(crate) fn text(&self) -> String {
        let text = &self.json()["choices"][0]["message"]["content"];
        text.as_str().unwrap_or_default().to_owned()
    }
}

impl Events {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The data of the next event; `None` at the end of the body.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let end = self.buffer.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end {
                let event = self.buffer.split_to(end);
                self.buffer.advance(2);
                let data = String::from_utf8_lossy(&event)
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(|data| data.strip_prefix(' ').unwrap_or(data))
                    .collect::<Vec<_>>()
                    .join("\n");
                if !data.is_empty() {
                    return Some(data);
                }
                continue;
            }
            let chunk = within("the next event", self.response.chunk()).await;
            // A body that breaks off has no more events either; [DONE] tells the difference.
            let chunk = chunk.ok().flatten()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The data of all events that are left.
    pub(crate) async fn all(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(data) = self.next().await {
            all.push(data);
        }
        all
    }
}

/// The text that these events of a streamed completion make.
pub(crate) fn text_of(events: &[String]) -> String {
    events
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|chunk| {
            let text = &chunk["choices"][0]["delta"]["content"];
            text.as_str().map(str::to_owned)
        })
        .collect()
}

/// Sends these bytes and returns all that comes back until the server closes.
pub(crate) async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    within("the end of a raw exchange", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server may refuse before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    })
    .await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
