use serde_json::Value;

use crate::compressor::{
    Role,
    json::{
        propose,
        tests::{applied, rules},
    },
    rule::Rule,
};

pub(in crate::compressor::json) fn rows_of(text: &str) -> String {
    let edits = propose(
        text,
        &[],
        rules(&[Rule::JsonSpace, Rule::JsonRows]),
        Role::Tool,
    );
    applied(text, &edits)
}

/// Writes the objects of every table back.
pub(in crate::compressor::json) fn expanded(value: Value) -> Value {
    match value {
        Value::Object(object) if object.len() == 2 && object.contains_key("rows") => {
            let objects = object["rows"].as_array().unwrap().iter().map(|row| {
                let cells = row.as_array().unwrap().iter().cloned();
                let cols = object["cols"].as_array().unwrap().iter();
                assert_eq!(cols.len(), cells.len());
                let cols = cols.map(|col| col.as_str().unwrap().to_owned());
                cols.zip(cells).collect::<Value>()
            });
            objects.collect()
        }
        Value::Object(object) => object
            .into_iter()
            .map(|(key, value)| (key, expanded(value)))
            .collect(),
        other => other,
    }
}

#[test]
fn uniform_arrays_become_rows() {
    let items: Vec<String> = (0..6)
        .map(|n| format!("{{\"id\": {n}.0, \"na\\u006de\": \"a, {n}\\\"]\", \"ok\": null}}"))
        .collect();
    let array = format!("[{}]", items.join(",\n "));
    let folded = rows_of(&array);
    assert!(folded.starts_with(
        "{\"cols\":[\"id\",\"na\\u006de\",\"ok\"],\"rows\":[[0.0,\"a, 0\\\"]\",null],["
    ));
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(expanded(read(&folded)), read(&array));
    assert_eq!(rows_of(&folded), folded);
    let nested =
        format!("{{\"total\": 6, \"items\": {array}, \"more\": [ ], \"others\": {array}}}");
    let folded = rows_of(&nested);
    assert_eq!(folded.matches("\"cols\"").count(), 2);
    assert_eq!(expanded(read(&folded)), read(&nested));
    assert_eq!(rows_of(&folded), folded);
    let edits = propose(&nested, &[], rules(&[Rule::JsonRows]), Role::Tool);
    assert_eq!((edits.len(), edits[0].rule), (1, Rule::JsonRows));
    assert!(propose(&nested, &[], rules(&[Rule::JsonRows]), Role::User).is_empty());
}

#[test]
fn other_arrays_stay_arrays() {
    let five = |row: &str| format!("[{}]", [row; 5].join(","));
    let odd = |row: &str, odd: &str| format!("[{},{odd}]", [row; 5].join(","));
    for json in [
        five(r#"{"a":1,"b":[]}"#),
        five(r#"{"a":1,"b":{}}"#),
        five("{}"),
        five("[1,2,3,4,5]"),
        odd(r#"{"aaaa":1,"bbbb":2}"#, r#"{"bbbb":1,"aaaa":2}"#),
        odd(r#"{"aaaa":1,"bbbb":2}"#, r#"{"aaaa":1}"#),
        odd(r#"{"aaaa":1,"bbbb":2}"#, r#"{"aaaa":1,"bbbb":2,"cccc":3}"#),
        odd(r#"{"aaaa":1,"bbbb":2}"#, "null"),
        odd(r#"{"aaaa":1,"bbbb":2}"#, "{}"),
        format!("[{}]", [r#"{"aaaaaaaaaaaaaaaaaaaa":1}"#; 4].join(",")),
        format!(r#"{{"a":{{"b":{}}}}}"#, five(r#"{"aaaaaa":1}"#)),
        five(r#"{"a":1}"#),
    ] {
        assert_eq!(rows_of(&json), json);
    }
}
