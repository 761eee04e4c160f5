//! In which coding answers go out: gzip for whoever takes it, where it saves something.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tower::util::service_fn;
use tower::{Layer as _, ServiceExt as _};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::outgoing::{Answer, Outgoing};

/// Smaller responses cost more to compress than they save, in bytes.
pub(super) const COMPRESS_ABOVE: u16 = 1024;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Marks a response whose body is on the way: compressing it would hold it back.
#[derive(Clone, Copy)]
pub(super) struct IsStream;

/// What is worth compressing.
#[derive(Clone, Copy)]
pub(super) struct Compressible;

/// Compresses what is worth it for whoever takes it.
pub(super) fn layer() -> CompressionLayer<Compressible> {
    CompressionLayer::new()
        .gzip(true)
        // On answers of a few KiB the better levels cost twice the time for a few per cent.
        .quality(CompressionLevel::Fastest)
        .compress_when(Compressible)
}

/// Whether a client would rather have gzip than a body as it is. Decided as [`layer`] does, which says it to nobody.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity) = (0, 0);
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    for coding in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, weight) = match coding.split_once(';') {
            Some((name, weight)) => (name, thousandths(weight.trim())),
            None => (coding, Some(1_000)),
        };
        let (name, weight) = (name.trim(), weight.unwrap_or(0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip = gzip.max(weight);
        } else if name.eq_ignore_ascii_case("identity") {
            identity = identity.max(weight);
        }
    }
    gzip > 0 && gzip >= identity
}

/// A weight (RFC 9110 section 12.4.2), from 0 to 1,000.
fn thousandths(weight: &str) -> Option<u16> {
    let number = weight.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_weight = matches!(whole, "0" | "1")
        && fraction.len() <= 3
        && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let parsed = format!("{whole}{fraction:0<3}").parse().ok();
    parsed.filter(|weight| is_weight && *weight <= 1_000)
}

/// Says of an answer that its body is gzip, and would be none for others.
pub(super) fn label(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, GZIP);
    headers.append(header::VARY, ACCEPT_ENCODING);
}

/// An answer as a client gets it who takes gzip.
pub(super) async fn compress(answer: Answer) -> Answer {
    if !Compressible.should_compress(&answer) {
        return answer;
    }
    let is_here =
        service_fn(|request: Request<Answer>| ready(Ok::<_, Infallible>(request.into_body())));
    let mut request = Request::new(answer);
    request.headers_mut().insert(header::ACCEPT_ENCODING, GZIP);
    match layer().layer(is_here).oneshot(request).await {
        Ok(response) => response.map(|body| Outgoing::from(Body::new(body))),
        Err(never) => match never {},
    }
}

/// An answer as a client gets it who takes no gzip: what others would have got compressed says so to them and to all (RFC
/// 9110 section 12.5.5).
pub(super) fn say_what_varies(mut answer: Answer) -> Answer {
    let is_as_it_is = answer.headers().contains_key(header::CONTENT_ENCODING)
        || answer.headers().contains_key(header::CONTENT_RANGE);
    let mut said = answer.headers().get_all(header::VARY).iter();
    let is_said = said.any(|names| {
        let names = names.as_bytes().to_ascii_lowercase();
        memchr::memmem::find(&names, header::ACCEPT_ENCODING.as_str().as_bytes()).is_some()
    });
    if !is_as_it_is && !is_said && Compressible.should_compress(&answer) {
        answer.headers_mut().append(header::VARY, ACCEPT_ENCODING);
    }
    answer
}

// === impl Compressible ===

impl Predicate for Compressible {
    fn should_compress<B: http_body::Body>(&self, response: &Response<B>) -> bool {
        // The answer to HEAD has the length of another's body, and none of its own.
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let is_long = length.map_or_else(
            || SizeAbove::new(COMPRESS_ABOVE).should_compress(response),
            |length| length >= COMPRESS_ABOVE.into(),
        );
        let is_text = NotForContentType::GRPC
            .and(NotForContentType::IMAGES)
            .and(NotForContentType::SSE);
        is_long
            && response.extensions().get::<IsStream>().is_none()
            && is_text.should_compress(response)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether the layer compresses for a client that says this.
    fn layer_compresses(accepted: &[String]) -> bool {
        let answer = service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Body::from(vec![
                b' ';
                2_000
            ]))))
        });
        let mut request = Request::new(());
        *request.headers_mut() = headers(accepted);
        let response =
            futures_util::FutureExt::now_or_never(layer().layer(answer).oneshot(request));
        let Some(Ok(response)) = response else {
            panic!("the answer is there");
        };
        response.headers().contains_key(header::CONTENT_ENCODING)
    }

    fn headers(accepted: &[String]) -> HeaderMap {
        let values = accepted.iter().filter_map(|value| value.parse().ok());
        values
            .map(|value: HeaderValue| (header::ACCEPT_ENCODING, value))
            .collect()
    }

    proptest! {
        #[test]
        fn who_takes_gzip_is_who_would_get_it_on_the_way_around(
            accepted in prop::collection::vec(
                "( ?(gzip|GZip|x-gzip|identity|br|deflate|\\*|gzipx|)( ?;? ?[qQ]?=?(0|1|2|0\\.|1\\.0{0,4}|0\\.[0-9]{1,4}|1\\.[0-9]|x|))? ?[,;]?){0,4}",
                0..3,
            ),
        ) {
            prop_assert_eq!(takes_gzip(&headers(&accepted)), layer_compresses(&accepted));
        }
    }

    #[test]
    fn sdks_get_gzip_and_who_refuses_it_does_not() {
        for (accepted, takes) in [
            ("gzip, deflate", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0.0001", false),
            ("identity;q=0", false),
            ("*", false),
            ("", false),
        ] {
            let accepted = [accepted.to_owned()];
            assert_eq!(takes_gzip(&headers(&accepted)), takes, "{accepted:?}");
            assert_eq!(layer_compresses(&accepted), takes, "{accepted:?}");
        }
    }
}
