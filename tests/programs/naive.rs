//! A proxy that only forwards, as one writes it in an afternoon.
//!
//! `tests/teeth.sh` puts it in the place of ours: most of the promises must then be seen to be broken. It takes the
//! options that the tests give, says where it listens in the words that they wait for, and knows nothing else.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let listen = option("--listen").unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let upstream = option("--upstream").unwrap_or_default();
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    eprintln!("listening on http://{address} before {upstream}");
    let routes = Router::new()
        .fallback(forward)
        .with_state((reqwest::Client::new(), upstream));
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn forward(
    State((client, upstream)): State<(reqwest::Client, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{upstream}{}", path.strip_prefix("/v1").unwrap_or(path));
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let sent = client
        .request(parts.method, url)
        .headers(headers)
        .body(reqwest::Body::wrap_stream(body.into_data_stream()))
        .send()
        .await;
    match sent {
        Ok(reply) => {
            let (status, headers) = (reply.status(), reply.headers().clone());
            let mut response = Body::from_stream(reply.bytes_stream()).into_response();
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
