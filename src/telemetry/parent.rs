//! W3C Trace Context: in which trace a client's request is, and in which ours are.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00, and of what every later one begins with.
const LENGTH: usize = 55;

/// The most that a `tracestate` may list.
const MAX_MEMBERS: usize = 32;

/// Where a request with these headers comes from. One that is not as the specification has it counts as none.
pub(super) fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (trace, span, flags) = parse(value.as_bytes())?;
    let context = SpanContext::new(trace, span, flags, true, state(headers));
    context.is_valid().then_some(context)
}

/// Says in the headers of a request that it comes from here.
pub(super) fn write(context: &SpanContext, headers: &mut HeaderMap) {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    let (trace, span) = (context.trace_id(), context.span_id());
    if let Ok(parent) = HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}")) {
        headers.insert(TRACEPARENT, parent);
    }
    let state = context.trace_state().header();
    match HeaderValue::try_from(state) {
        Ok(state) if !state.is_empty() => _ = headers.insert(TRACESTATE, state),
        _ => _ = headers.remove(TRACESTATE),
    }
}

fn parse(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (head, rest) = value.split_at_checked(LENGTH)?;
    let [version, trace, span, flags] = [&head[..2], &head[3..35], &head[36..52], &head[53..]];
    let dashes = [head[2], head[35], head[52]];
    let version = hex(version)?;
    // A later version may say more, behind another dash; 255 is none.
    let is_whole = rest.is_empty() || version > 0 && rest[0] == b'-';
    if version == 0xff || dashes != [b'-'; 3] || !is_whole {
        return None;
    }
    let flags = u8::try_from(hex(flags)?).ok()?;
    Some((
        TraceId::from(hex(trace)?),
        SpanId::from(u64::try_from(hex(span)?).ok()?),
        // Of the flags of later versions nobody knows what they ask for.
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
    ))
}

/// A number in lower-case hexadecimal digits, of which there are 32 at most.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// What the systems on the way wrote about the trace; nothing where it cannot be read.
fn state(headers: &HeaderMap) -> TraceState {
    let mut members = Vec::new();
    for value in headers.get_all(&TRACESTATE) {
        let Ok(text) = value.to_str() else {
            return TraceState::NONE;
        };
        for member in text.split(',').map(str::trim) {
            match member.split_once('=') {
                Some((key, value)) if !key.is_empty() && !value.contains('\t') => {
                    members.push((key, value));
                }
                None if member.is_empty() => {}
                _ => return TraceState::NONE,
            }
        }
    }
    if members.len() > MAX_MEMBERS {
        return TraceState::NONE;
    }
    TraceState::from_key_value(members).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn read_one(parent: &str) -> Option<SpanContext> {
        read(&headers(&[("traceparent", parent)]))
    }

    #[test]
    fn a_parent_is_read_as_it_was_written() {
        for (flags, is_sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let context = read_one(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
            assert_eq!(context.trace_id().to_string(), TRACE);
            assert_eq!(context.span_id().to_string(), SPAN);
            assert_eq!(context.is_sampled(), is_sampled, "{flags}");
            assert!(context.is_remote());
            let mut written = HeaderMap::new();
            write(&context, &mut written);
            let sampled = u8::from(is_sampled);
            assert_eq!(
                written[TRACEPARENT],
                format!("00-{TRACE}-{SPAN}-0{sampled}")
            );
            assert!(!written.contains_key(TRACESTATE));
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for rest in ["", "-", "-what-the-future-brings"] {
            let context = read_one(&format!("cc-{TRACE}-{SPAN}-01{rest}")).unwrap();
            assert!(context.is_sampled());
        }
        for version in ["cc", "01", "fe"] {
            assert!(read_one(&format!("{version}-{TRACE}-{SPAN}-01.more")).is_none());
        }
    }

    #[test]
    fn what_is_no_parent_counts_as_none() {
        let upper = TRACE.to_uppercase();
        for bad in [
            "",
            "00",
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("00-{TRACE}-{SPAN}-01-"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-0x"),
            &format!("00-{TRACE}-{SPAN}"),
            &format!("0-{TRACE}-{SPAN}-01"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("0A-{TRACE}-{SPAN}-01"),
            &format!("00-{upper}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            &format!("00_{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}_01"),
            &format!("00-{TRACE}0{SPAN}-01"),
        ] {
            assert!(read_one(bad).is_none(), "{bad}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        let twice = headers(&[("traceparent", &good), ("traceparent", &good)]);
        assert!(read(&twice).is_none());
        assert!(read(&headers(&[("tracestate", "a=1")])).is_none());
        // No character boundary where the fields end.
        let odd = HeaderValue::from_bytes("é".repeat(28).as_bytes()).unwrap();
        assert!(read(&HeaderMap::from_iter([(TRACEPARENT, odd)])).is_none());
    }

    #[test]
    fn states_go_on_as_they_came_or_not_at_all() {
        let goes_on = |states: &[&str]| {
            let good = format!("00-{TRACE}-{SPAN}-01");
            let mut lines = vec![("traceparent", good.as_str())];
            lines.extend(states.iter().map(|state| ("tracestate", *state)));
            let context = read(&headers(&lines)).unwrap();
            let mut written = headers(&[("tracestate", "of=the client")]);
            write(&context, &mut written);
            let state = written.get(TRACESTATE);
            state.map(|state| state.to_str().unwrap().to_owned())
        };
        assert_eq!(goes_on(&["a=1,b@v=2"]).unwrap(), "a=1,b@v=2");
        assert_eq!(
            goes_on(&["a=1 , b=x y", "", ",c=3,"]).unwrap(),
            "a=1,b=x y,c=3"
        );
        let most: Vec<_> = (0..MAX_MEMBERS).map(|n| format!("k{n}=v")).collect();
        assert_eq!(goes_on(&[&most.join(",")]).unwrap(), most.join(","));
        let too_many = most.join(",") + ",one=more";
        for bad in ["", "a", "=1", "A=1", "a=1=2", "a=1,b", &too_many] {
            assert_eq!(goes_on(&[bad]), None, "{bad}");
        }
    }
}
