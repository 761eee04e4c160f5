//! As much of JSON Schema as the document uses, strictly: what an object has and its schema does not name is wrong, unless
//! the schema says that there may be more.

use std::collections::BTreeSet;

use fancy_regex::Regex;
use serde_json::Value;

/// The keywords that are checked, and those that only describe.
const KNOWN: [&str; 28] = [
    "$ref",
    "type",
    "enum",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "items",
    "minItems",
    "maxItems",
    "contains",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "description",
    "example",
    "format",
    "title",
    "default",
    "examples",
    "nullable",
    "deprecated",
];

/// What is wrong with this value.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(document, schema, value, "", &mut faults);
    let known = keys(document, schema);
    if let (Some(known), Some(object)) = (known, value.as_object()) {
        faults.extend(
            object
                .keys()
                .filter(|key| !known.contains(*key))
                .map(|key| format!("{key} is not documented")),
        );
    }
    faults
}

/// The schema that a reference stands for.
pub(super) fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(place) => {
            let pointer = place.strip_prefix('#').unwrap();
            let found = document.pointer(pointer);
            resolve(
                document,
                found.unwrap_or_else(|| panic!("{place} is nowhere")),
            )
        }
        None => schema,
    }
}

/// All keys that an object may have; `None` where it may have any.
fn keys(document: &Value, schema: &Value) -> Option<BTreeSet<String>> {
    let schema = resolve(document, schema);
    let own = schema["properties"].as_object();
    if let Some(all) = schema["allOf"].as_array() {
        let mut known = BTreeSet::new();
        for part in all {
            known.extend(keys(document, part)?);
        }
        return Some(known);
    }
    if !matches!(
        schema["additionalProperties"],
        Value::Null | Value::Bool(false)
    ) {
        return None;
    }
    own.map(|own| own.keys().cloned().collect())
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let schema = resolve(document, schema);
    for keyword in schema.as_object().into_iter().flatten().map(|(key, _)| key) {
        assert!(
            KNOWN.contains(&keyword.as_str()),
            "{at}: {keyword} is not checked"
        );
    }
    let mut wrong = |what: String| faults.push(format!("{at}: {what}"));
    let types = match &schema["type"] {
        Value::String(_) => std::slice::from_ref(&schema["type"]),
        Value::Array(types) => types,
        _ => &[],
    };
    if !types.is_empty() && !types.iter().any(|name| is(value, name.as_str().unwrap())) {
        wrong(format!("{value} is no {types:?}"));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        wrong(format!("{value} is none of {values:?}"));
    }
    if let Some(number) = value.as_f64()
        && (schema["minimum"]
            .as_f64()
            .is_some_and(|least| number < least)
            || schema["maximum"].as_f64().is_some_and(|most| number > most))
    {
        wrong(format!("{value} is out of bounds"));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["minLength"]
            .as_u64()
            .is_some_and(|least| length < least)
            || schema["maxLength"]
                .as_u64()
                .is_some_and(|most| length > most)
        {
            wrong(format!("{value} has a wrong length"));
        }
        let pattern = schema["pattern"].as_str();
        if pattern.is_some_and(|pattern| !Regex::new(pattern).unwrap().is_match(text).unwrap()) {
            wrong(format!("{value} does not look like {pattern:?}"));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            wrong(format!("{name} is missing"));
        }
    }
    let nested = |schema: &Value, value: &Value| self::faults(document, schema, value);
    let loosely = |schema: &Value, value: &Value| {
        let mut faults = Vec::new();
        check(document, schema, value, at, &mut faults);
        faults
    };
    let at = |place: &str, found: Vec<String>| {
        let place = place.to_owned();
        found
            .into_iter()
            .map(move |fault| format!("{at}/{place}: {fault}"))
    };
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(key) {
            faults.extend(at(key, nested(schema, value)));
        }
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            faults.extend(at(&index.to_string(), nested(&schema["items"], item)));
        }
        let count = items.len() as u64;
        let bound = |name: &str, none| schema[name].as_u64().unwrap_or(none);
        if !(bound("minItems", 0)..=bound("maxItems", u64::MAX)).contains(&count) {
            faults.extend(at("", vec![format!("{count} items are wrong")]));
        }
        let contained = &schema["contains"];
        if !contained.is_null() && !items.iter().any(|item| nested(contained, item).is_empty()) {
            faults.extend(at("", vec!["what it must contain is missing".to_owned()]));
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        faults.extend(loosely(part, value));
    }
    for (keyword, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
        if let Some(choices) = schema[keyword].as_array() {
            let fit = choices
                .iter()
                .filter(|choice| loosely(choice, value).is_empty());
            if !(1..=most).contains(&fit.count()) {
                faults.extend(at("", vec![format!("{value} fits {keyword} wrongly")]));
            }
        }
    }
    if !schema["not"].is_null() && loosely(&schema["not"], value).is_empty() {
        faults.extend(at("", vec![format!("{value} is what it must not be")]));
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}

#[test]
fn the_judge_finds_what_is_wrong() {
    use serde_json::json;

    let document = json!({"components": {"schemas": {
        "A": {"type": "object", "required": ["a"], "properties": {"a": {"type": ["integer", "null"], "minimum": 1}}},
        "B": {"type": "object", "properties": {"b": {"type": "string", "pattern": "^x", "maxLength": 2}}},
    }}});
    let a = json!({"$ref": "#/components/schemas/A"});
    let b = json!({"$ref": "#/components/schemas/B"});
    for (schema, good, bad) in [
        (a.clone(), json!({"a": 1}), json!({"a": 0})),
        (a.clone(), json!({"a": null}), json!({})),
        (a.clone(), json!({"a": 2}), json!({"a": 2, "more": 1})),
        (a.clone(), json!({"a": 2}), json!({"a": 2.5})),
        (b.clone(), json!({"b": "xy"}), json!({"b": "y"})),
        (b.clone(), json!({"b": "xy"}), json!({"b": "xyz"})),
        (
            json!({"allOf": [a, b]}),
            json!({"a": 1, "b": "x"}),
            json!({"a": 1, "c": 1}),
        ),
        (
            json!({"type": "array", "items": {"enum": [1]}}),
            json!([1]),
            json!([2]),
        ),
        (
            json!({"minItems": 1, "contains": {"type": "string"}}),
            json!([1, "a"]),
            json!([1]),
        ),
        (json!({"maxItems": 1}), json!([1]), json!([1, 2])),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            json!(null),
            json!(1),
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"minLength": 2}]}),
            json!("a"),
            json!("ab"),
        ),
        (json!({"not": {"enum": [1]}}), json!(2), json!(1)),
    ] {
        assert!(
            faults(&document, &schema, &good).is_empty(),
            "{schema} {good}"
        );
        assert!(
            !faults(&document, &schema, &bad).is_empty(),
            "{schema} {bad}"
        );
    }
}
