//! The decoder against hand-written cases, against a second, naive reading of the rules, and under
//! every split.

use super::*;
use proptest::prelude::*;

const ROOMY: usize = 1 << 20;

fn event(kind: Option<&str>, data: &str) -> Event {
    Event {
        kind: kind.map(str::to_owned),
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

fn message(data: &str) -> Event {
    event(None, data)
}

fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    max: usize,
) -> (Vec<Event>, Result<(), TooLarge>) {
    let (mut decoder, mut events) = (Decoder::new(max), Vec::new());
    let outcome = chunks
        .into_iter()
        .try_for_each(|chunk| decoder.feed(chunk, &mut events));
    events.extend(decoder.finish());
    (events, outcome)
}

/// Decodes the input whole and byte by byte, and asks that both agree.
#[track_caller]
fn assert_events(input: impl AsRef<[u8]>, expected: &[Event]) {
    let input = input.as_ref();
    assert_eq!(decode([input], ROOMY), (expected.to_vec(), Ok(())), "whole");
    assert_eq!(
        decode(input.chunks(1), ROOMY),
        (expected.to_vec(), Ok(())),
        "byte by byte"
    );
}

#[test]
fn every_line_ending_separates_lines_and_events() {
    for ending in ["\n", "\r\n", "\r"] {
        let input = format!("data: a{ending}data: b{ending}{ending}data: c{ending}{ending}");
        assert_events(input, &[message("a\nb"), message("c")]);
    }
    assert_events(
        "data: a\r\r\ndata: b\r\n\ndata: c\n\r",
        &["a", "b", "c"].map(message),
    );
}

#[test]
fn an_event_is_out_before_the_second_half_of_its_crlf_arrives() {
    let (mut decoder, mut events) = (Decoder::new(ROOMY), Vec::new());
    decoder.feed(b"data: a\r\n\r", &mut events).unwrap();
    assert_eq!(events, [message("a")]);
    decoder.feed(b"\ndata: b\n\n", &mut events).unwrap();
    assert_eq!(events, [message("a"), message("b")]);
}

#[test]
fn one_byte_order_mark_is_skipped_and_only_at_the_start() {
    assert_events(b"\xEF\xBB\xBFdata: a\n\n", &[message("a")]);
    assert_events(
        b"\xEF\xBB\xBF\n\xEF\xBB\xBFdata: a\n\ndata: b\n\n",
        &[message("b")],
    );
    assert_events(b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n", &[]);
}

#[test]
fn comments_and_other_fields_are_skipped() {
    let input =
        ": OPENROUTER PROCESSING\n\nid: 7\nretry: 10\nfoo: x\n:\ndata: a\nDATA: b\ndata : c\n\n";
    assert_events(input, &[message("a")]);
}

#[test]
fn one_space_after_the_colon_is_not_data() {
    assert_events(
        "data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\ndata: b: c \n\n",
        &[
            message("a"),
            message("a"),
            message(" a"),
            message("\ta"),
            message("b: c "),
        ],
    );
}

#[test]
fn the_type_belongs_to_one_event_and_the_last_one_counts() {
    let input =
        "event: ping\n\nevent: a\nevent: delta\ndata: 1\n\ndata: 2\n\nevent: a\nevent\ndata: 3\n\n";
    assert_events(
        input,
        &[event(Some("delta"), "1"), message("2"), message("3")],
    );
}

#[test]
fn empty_data_is_not_dispatched_but_empty_lines_within_data_count() {
    assert_events("data:\n\ndata\n\ndata: \n\n\n\n", &[]);
    assert_events(
        "data\ndata\n\ndata: a\ndata:\ndata: b\ndata:\n\n",
        &[message("\n"), message("a\n\nb\n")],
    );
}

#[test]
fn the_last_event_needs_no_blank_line_nor_a_line_ending() {
    for end in ["", "\n", "\r", "\r\n"] {
        assert_events(
            format!("data: a\n\ndata: [DONE]{end}"),
            &[message("a"), message("[DONE]")],
        );
    }
    assert_events("event: a\n", &[]);
    assert_events("", &[]);
}

#[test]
fn invalid_utf8_data_is_kept_as_it_came() {
    let expected = Event {
        kind: None,
        data: Bytes::from_static(b"\xFF\xC3"),
    };
    assert_events(b"data: \xFF\xC3\n\n", &[expected]);
    assert_events("data: 你好 🪺\n\n", &[message("你好 🪺")]);
}

#[test]
fn a_decoder_is_as_new_after_the_end() {
    let (mut decoder, mut events) = (Decoder::new(ROOMY), Vec::new());
    decoder.feed(b"event: x\ndata: a\r", &mut events).unwrap();
    assert_eq!(decoder.finish(), Some(event(Some("x"), "a")));
    decoder
        .feed(b"\xEF\xBB\xBFdata: b\n\n", &mut events)
        .unwrap();
    assert_eq!(events, [message("b")]);
    assert_eq!(decoder.finish(), None);
}

#[test]
fn the_bound_is_on_one_event_and_not_on_the_stream() {
    let small = b"data: 123456\n\n".repeat(100);
    assert_eq!(decode([&small[..]], 12).0.len(), 100);
    for input in [
        &b"data: 1234567\n\n"[..],
        b"data: 1\ndata: 2\ndata: 3\ndata: 4\ndata: 5\n\n",
        b": a comment without an end",
        b"event: kinds\ndata: 12\n\n",
    ] {
        for size in [1, 2, input.len()] {
            let (events, outcome) = decode(input.chunks(size), 12);
            assert_eq!((events, outcome), (Vec::new(), Err(TooLarge { limit: 12 })));
        }
    }
}

#[test]
fn a_decoder_that_failed_stays_failed() {
    let (mut decoder, mut events) = (Decoder::new(8), Vec::new());
    assert!(decoder.feed(b"data: 1\n\ndata: 1234", &mut events).is_err());
    let error = decoder.feed(b"data: 2\n\n", &mut events).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a server-sent event is larger than 8 bytes"
    );
    assert_eq!((events, decoder.finish()), (vec![message("1")], None));
}

#[test]
fn encoding_puts_each_line_into_a_data_line() {
    let mut out = BytesMut::new();
    encode(b"{\"a\":1}", &mut out);
    encode(b"a\nb\r\nc\rd\n", &mut out);
    encode(b"", &mut out);
    let expected = "data: {\"a\":1}\n\n\
                    data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n\
                    data: \n\n";
    assert_eq!(out, expected);
}

/// The rules read line by line from the whole input: slow, obvious and without any state between
/// chunks.
fn naive(input: &[u8]) -> Vec<Event> {
    // Latin-1 keeps every byte apart, whatever it means in UTF-8.
    let bytes = |text: &str| -> Vec<u8> {
        text.chars()
            .map(|byte| u8::try_from(byte).unwrap())
            .collect()
    };
    let text: String = input.iter().map(|&byte| char::from(byte)).collect();
    let text = text.strip_prefix("\u{EF}\u{BB}\u{BF}").unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n") + "\n\n";
    let (mut events, mut kind, mut data) = (Vec::new(), String::new(), Vec::<String>::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" if line.is_empty() => {
                let joined = bytes(&std::mem::take(&mut data).join("\n"));
                let kind = bytes(&std::mem::take(&mut kind));
                if !joined.is_empty() {
                    let kind = String::from_utf8_lossy(&kind).into_owned();
                    let kind = (!kind.is_empty()).then_some(kind);
                    events.push(Event {
                        kind,
                        data: Bytes::from(joined),
                    });
                }
            }
            "data" => data.push(value),
            "event" => kind = value,
            _ => {}
        }
    }
    events
}

/// Pieces that a stream is made of, weighted towards what can go wrong.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"data: "[..]),
        Just(&b"data:"[..]),
        Just(&b"data"[..]),
        Just(&b"event: a"[..]),
        Just(&b"id: 1"[..]),
        Just(&b": c"[..]),
        Just(&b"\n"[..]),
        Just(&b"\n\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\r\n\r\n"[..]),
        Just(&b" "[..]),
        Just(&b"x"[..]),
        Just(&b"\xEF\xBB\xBF"[..]),
        Just(&b"\xFF"[..]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn split<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events_and_the_same_verdict(
        input in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        max in prop_oneof![Just(ROOMY), 0..40_usize],
    ) {
        let whole = decode([&input[..]], max);
        prop_assert_eq!(decode(split(&input, &cuts), max), whole.clone());
        prop_assert_eq!(decode(input.chunks(1), max), whole);
    }

    #[test]
    fn a_decoder_holds_one_event_whatever_comes(
        input in stream(),
        end in stream(),
        size in 1..9_usize,
        max in 0..40_usize,
    ) {
        let (mut decoder, mut events) = (Decoder::new(max), Vec::new());
        let endless = input.repeat(40);
        for chunk in endless.chunks(size).chain(end.chunks(size)) {
            let outcome = decoder.feed(chunk, &mut events);
            let data = decoder.data.as_ref().map_or(0, Vec::capacity);
            let kind = decoder.kind.as_ref().map_or(0, String::capacity);
            // A vector doubles, and begins with eight; a byte that is not UTF-8 becomes three in a type.
            let room = 2 * max.max(8);
            prop_assert!(decoder.line.capacity() <= room && data <= room && kind <= 3 * room);
            prop_assert!(outcome.is_ok() || decoder.line.capacity() + data == 0, "kept after an error");
        }
    }

    #[test]
    fn it_agrees_with_the_naive_reading(input in stream()) {
        prop_assert_eq!(decode([&input[..]], ROOMY), (naive(&input), Ok(())));
    }

    #[test]
    fn what_is_encoded_decodes_to_itself(
        data in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n')], 1..200),
    ) {
        let data: Vec<u8> = data.into_iter().filter(|&byte| byte != b'\r').collect();
        prop_assume!(!data.is_empty());
        let mut out = BytesMut::new();
        encode(&data, &mut out);
        let expected = Event { kind: None, data: Bytes::from(data) };
        prop_assert_eq!(decode([&out[..]], ROOMY), (vec![expected], Ok(())));
    }
}
