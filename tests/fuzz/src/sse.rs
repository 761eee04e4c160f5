//! A stream says the same in whatever pieces it arrives, no event outgrows its bound, and what is encoded
//! is decoded to itself.

use bytes::BytesMut;
use pegasus_nest::sse::{Decoder, Event, TooLarge, encode};

use super::choices;

/// Bounds on an event.
const LIMITS: [usize; 8] = [0, 1, 7, 12, 40, 200, 5_000, 1 << 20];
/// The bytes of every other piece.
const SIZES: [usize; 8] = [1, 2, 3, 5, 8, 20, 60, 1_000];
/// So many pieces are compared with what came before them, which costs a decoding of its own each.
const COMPARED: usize = 12;

/// The first byte chooses the bound, the next two the pieces.
pub fn holds(input: &[u8]) {
    let ([limit, big, small], stream) = choices(input);
    let limit = LIMITS[limit % LIMITS.len()];
    let events = any_pieces_say_the_same(
        stream,
        limit,
        [SIZES[big % SIZES.len()], SIZES[small % SIZES.len()]],
    );
    for event in &events {
        assert!(!event.data.is_empty(), "an event without data came out");
        assert!(event.data.len() <= limit, "{event:?} is above {limit}");
        // What is not UTF-8 in a type is replaced by three bytes.
        let kind = event.kind.as_deref().unwrap_or("x");
        assert!(!kind.is_empty() && kind.len() <= 3 * limit.max(1));
    }
    what_is_decoded_can_be_encoded(&events);
    what_is_encoded_can_be_decoded(stream);
}

/// Feeds the stream piece by piece. After each the events are those of all bytes so far in one piece: none
/// is held back, none comes too early.
fn any_pieces_say_the_same(stream: &[u8], limit: usize, sizes: [usize; 2]) -> Vec<Event> {
    let (mut decoder, mut events) = (Decoder::new(limit), Vec::new());
    let (mut fed, mut pieces) = (0, 0);
    let mut outcome = Ok(());
    for size in sizes.into_iter().cycle() {
        if fed == stream.len() {
            break;
        }
        let end = stream.len().min(fed + size);
        let before = outcome;
        outcome = decoder.feed(&stream[fed..end], &mut events);
        assert!(outcome.is_err() || before.is_ok(), "the decoder recovered");
        (fed, pieces) = (end, pieces + 1);
        if pieces <= COMPARED {
            let (mut whole, mut expected) = (Decoder::new(limit), Vec::new());
            let verdict = whole.feed(&stream[..fed], &mut expected);
            assert_eq!((&events, outcome), (&expected, verdict), "{fed} bytes");
        }
    }
    events.extend(decoder.finish());
    assert_eq!((events.clone(), outcome), in_one_piece(stream, limit));
    events
}

fn in_one_piece(stream: &[u8], limit: usize) -> (Vec<Event>, Result<(), TooLarge>) {
    let (mut decoder, mut events) = (Decoder::new(limit), Vec::new());
    let outcome = decoder.feed(stream, &mut events);
    events.extend(decoder.finish());
    assert_eq!(decoder.finish(), None, "an event came out twice");
    (events, outcome)
}

fn what_is_decoded_can_be_encoded(events: &[Event]) {
    let mut out = BytesMut::new();
    for event in events {
        encode(&event.data, &mut out);
    }
    let (again, outcome) = in_one_piece(&out, usize::MAX);
    assert_eq!(outcome, Ok(()));
    let data =
        |events: &[Event]| -> Vec<_> { events.iter().map(|event| event.data.clone()).collect() };
    assert_eq!(data(&again), data(events));
    assert!(again.iter().all(|event| event.kind.is_none()));
}

fn what_is_encoded_can_be_decoded(data: &[u8]) {
    let mut out = BytesMut::new();
    encode(data, &mut out);
    let (events, outcome) = in_one_piece(&out, usize::MAX);
    // Line endings are the one thing that an event cannot hold as it was.
    let mut expected = Vec::new();
    for (at, &byte) in data.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && data[at - 1] == b'\r' => {}
            b'\r' => expected.push(b'\n'),
            _ => expected.push(byte),
        }
    }
    let events: Vec<_> = events.into_iter().map(|event| event.data).collect();
    let expected: Vec<_> = (!expected.is_empty())
        .then_some(expected)
        .into_iter()
        .collect();
    assert_eq!(
        (events, outcome),
        (expected.into_iter().map(Into::into).collect(), Ok(()))
    );
}
