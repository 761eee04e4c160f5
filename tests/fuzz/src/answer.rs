//! Whatever an upstream sends, the readers agree on what it is; an answer that is unfolded into a stream
//! and folded again says the same.

use std::collections::HashSet;

use bytes::Bytes;
use pegasus_nest::chat::{
    Answer, Quality, Usage, Watch, fold, read_answer, unfold, whole_of, with_usage,
};
use serde_json::{Map, Value, json};

/// The kinds of answers that may be kept, and so come back in the other form.
const KEPT: [Quality; 5] = Quality::ADMISSIBLE;
/// The fields of a message that a reader is shown.
const SAID: [&str; 6] = [
    "content",
    "reasoning",
    "reasoning_content",
    "refusal",
    "audio",
    "function_call",
];

/// The lines are chunks of a stream, and all of the input is a whole answer.
pub fn holds(input: &[u8]) {
    whole(input);
    let chunks: Vec<_> = input
        .split(|&byte| byte == b'\n')
        .map(Bytes::copy_from_slice)
        .collect();
    stream(&chunks);
}

fn whole(body: &[u8]) {
    let answer = read_answer(body);
    let unfolded = [true, false].map(|include_usage| unfold(body, include_usage));
    let [Ok(with), Ok(without)] = unfolded else {
        let [with, without] = unfolded.map(|unfolded| unfolded.is_ok());
        assert!(
            !with && !without,
            "it can be unfolded with or without its usage alone"
        );
        assert!(answer.is_err(), "it is an answer that makes no stream");
        return;
    };
    let Ok(answer) = answer else {
        return;
    };
    for chunks in [&with, &without] {
        // Each chunk is an event of its own for clients that read line by line.
        assert!(chunks.iter().all(|chunk| !chunk.contains(&b'\n')));
        let mut watch = Watch::new();
        if chunks.iter().any(|chunk| watch.chunk(chunk).is_err()) {
            // What no chunk may hold, such as a finish_reason that is a number, is nothing to be kept.
            assert!(answer.quality >= Quality::Unknown, "{chunks:?}");
            return;
        }
        assert_eq!(
            watch.is_complete(),
            answer.quality != Quality::Unfinished,
            "{chunks:?}"
        );
    }
    if KEPT.contains(&answer.quality) {
        let folded = fold(with.iter().map(|chunk| &chunk[..])).expect("it can be kept");
        assert_eq!(read_answer(&folded).as_ref().ok(), Some(&answer));
        assert_eq!(says(&folded), says(body));
        is_stable(&folded);
    }
    usage_can_be_added(body, &answer);
}

fn stream(chunks: &[Bytes]) {
    let mut watch = Watch::new();
    let watched = chunks.iter().try_for_each(|chunk| watch.chunk(chunk));
    let folded = fold(chunks.iter().map(|chunk| &chunk[..]));
    assert!(
        watched.is_ok() || folded.is_err(),
        "what the watch refuses was folded"
    );
    let Ok(folded) = folded else {
        return;
    };
    is_stable(&folded);
    let answer = read_answer(&folded).ok();
    if let Some(answer) = &answer {
        let is_complete = answer.quality != Quality::Unfinished;
        assert!(
            watch.is_complete() || !is_complete,
            "a cut stream looks finished"
        );
        if KEPT.contains(&answer.quality) {
            assert_eq!(watch.usage(), answer.usage);
        }
    }
    let estimated = Usage::estimated(7, watch.text());
    let whole = whole_of(chunks, estimated).expect("it could be folded");
    let whole = read_answer(&whole).ok();
    let quality = |answer: Option<Answer>| answer.map(|answer| answer.quality);
    assert_eq!(
        quality(whole),
        quality(answer),
        "the usage changed the answer"
    );
}

/// What has been folded once is not changed by another stream in between.
fn is_stable(folded: &[u8]) {
    let chunks = unfold(folded, true).expect("what was folded is an answer");
    let again = fold(chunks.iter().map(|chunk| &chunk[..])).expect("and makes a stream");
    assert_eq!(Bytes::from(again), Bytes::copy_from_slice(folded));
}

fn usage_can_be_added(body: &[u8], answer: &Answer) {
    let estimated = Usage::estimated(7, answer.text);
    let more = with_usage(Bytes::copy_from_slice(body), estimated);
    let again = read_answer(&more).expect("it was an answer");
    assert_eq!((again.quality, again.text), (answer.quality, answer.text));
}

/// What the choices of an answer say, by their indexes, in the order of the text where those are of no use.
fn says(body: &[u8]) -> Vec<Value> {
    let whole: Value = serde_json::from_slice(body).unwrap_or_default();
    let choices = whole.get("choices").and_then(Value::as_array);
    let choices = choices.map(Vec::as_slice).unwrap_or_default();
    let index = |choice: &Value| choice.get("index").and_then(Value::as_u64);
    let mut sorted: Vec<_> = choices.iter().collect();
    let own: HashSet<_> = choices.iter().filter_map(index).collect();
    if own.len() == choices.len() {
        sorted.sort_by_key(|choice| index(choice));
    }
    sorted
        .into_iter()
        .map(|choice| {
            let message = choice.get("message").and_then(Value::as_object);
            let said = SAID
                .iter()
                .filter_map(|key| Some((key, message?.get(*key)?)));
            let said = said.map(|(key, value)| ((*key).to_owned(), without_nulls(value)));
            let mut said: Map<_, _> = said.filter(|(_, value)| !value.is_null()).collect();
            said.insert("finish_reason".to_owned(), choice["finish_reason"].clone());
            for (name, kind) in [("function", "arguments"), ("custom", "input")] {
                let calls = message.and_then(|message| message.get("tool_calls")?.as_array());
                let calls = calls
                    .into_iter()
                    .flatten()
                    .filter_map(|call| call.get(name));
                let calls = calls.map(|call| json!([call.get("name"), call.get(kind)]));
                said.insert(name.to_owned(), calls.collect());
            }
            Value::Object(said)
        })
        .collect()
}

/// Fields that are null say nothing.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect()
        }
        other => other.clone(),
    }
}
