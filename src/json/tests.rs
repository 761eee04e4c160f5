use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Json, ParseError> {
    Json::parse(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn reads_every_kind_and_keeps_numbers_as_written() {
    let json =
        parse(r#" {"a": [1, 1.0, 1e2, -0], "b": {"c": null}, "d": "x\ny", "e": true, "f":[]} "#)
            .unwrap();
    let a = json.root().get("a").unwrap().as_array().unwrap();
    let spelled: Vec<_> = a
        .iter()
        .map(|n| if let Node::Number(d) = n { &**d } else { "" })
        .collect();
    assert_eq!(spelled, ["1", "1.0", "1e2", "-0"]);
    assert!(json.root().get("b").unwrap().get("c").unwrap().is_null());
    assert_eq!(json.root().get("d").unwrap().as_str(), Some("x\ny"));
    assert_eq!(json.root().get("e").unwrap().as_bool(), Some(true));
    assert_eq!(json.root().get("f").unwrap().as_array(), Some(&[][..]));
}

#[test]
fn refuses_what_could_be_read_two_ways() {
    assert!(matches!(parse(r#"{"a":1,"a":2}"#), Err(ParseError::DuplicateKey(k)) if &*k == "a"));
    assert!(matches!(
        parse(r#"{"a":1,"\u0061":2}"#),
        Err(ParseError::DuplicateKey(_))
    ));
    let many: Vec<_> = (0..40).map(|i| format!("\"k{}\":0", i % 39)).collect();
    assert!(
        matches!(parse(&format!("{{{}}}", many.join(","))), Err(ParseError::DuplicateKey(k)) if &*k == "k0")
    );
}

#[test]
fn refuses_bad_text_with_a_reason() {
    assert_eq!(
        Json::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")).unwrap_err(),
        ParseError::NotUtf8(6)
    );
    for bad in [
        "",
        "{",
        "{\"a\":}",
        "[1,]",
        "nul",
        "{\"a\":1}x",
        "\"\\ud800\"",
        "01",
        "\"\u{1}\"",
    ] {
        assert!(matches!(parse(bad), Err(ParseError::Syntax(_))), "{bad:?}");
    }
    assert_eq!(
        parse(&"[".repeat(100_000))
            .unwrap_err()
            .to_string()
            .split(':')
            .next(),
        Some("the body is not valid JSON")
    );
    let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
    assert_eq!(parse(&many).unwrap_err(), ParseError::TooMany);
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(parse(&deep(100_000)).unwrap_err(), ParseError::TooDeep);
    for levels in [127, 128] {
        let by_serde = serde_json::from_str::<serde_json::Value>(&deep(levels));
        assert_eq!(parse(&deep(levels)).is_ok(), by_serde.is_ok(), "{levels}");
        assert_eq!(
            Json::check(deep(levels).as_bytes()),
            parse(&deep(levels)).map(|_| ())
        );
    }
}

#[test]
fn replaces_strings_and_nothing_else() {
    let json = parse(r#"{ "b" : 1.00, "a":"old \u00e9" , "z":["x"] }"#).unwrap();
    let a = json
        .root()
        .get("a")
        .unwrap()
        .as_text()
        .unwrap()
        .span
        .clone();
    let edited = json.replace(vec![(a, "new \"é\"".into())]);
    assert_eq!(
        edited.text(),
        r#"{ "b" : 1.00, "a":"new \"é\"" , "z":["x"] }"#
    );
    assert_eq!(edited.root().get("a").unwrap().as_str(), Some("new \"é\""));
    // What stands behind has moved with it.
    assert_eq!(
        edited.root(),
        parse(std::str::from_utf8(edited.text()).unwrap())
            .unwrap()
            .root()
    );
}

/// Pieces of bodies, weighted towards what only some readers take.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\":",
        "\"\\u0061\":",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"",
        "\\",
        " ",
        "\n",
        "\t",
        "\u{a0}",
        "\u{feff}",
        "\0",
        "0",
        "-0",
        "01",
        "1e5",
        "1e999",
        "1.",
        "-",
        "18446744073709551616",
        "true",
        "false",
        "null",
        "nul",
        "{\"a\":1}",
        "{\"a\":[]}",
        "[1,2]",
        "{}",
        "é",
    ]);
    let pieces = || prop::collection::vec(piece.clone(), 0..8);
    prop_oneof![
        pieces().prop_map(|pieces| pieces.concat()),
        pieces().prop_map(|items| format!("[{}]", items.join(","))),
        (pieces(), pieces()).prop_map(|(keys, values)| {
            let members = keys.iter().zip(values);
            let members: Vec<_> = members
                .map(|(key, value)| format!("{key:?}:{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        }),
    ]
}

fn written(node: &Node, out: &mut String) {
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => *out += &value.to_string(),
        Node::Number(digits) => out.push_str(digits),
        Node::String(text) => *out += &serde_json::to_string(&text.value).unwrap(),
        Node::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                written(item, out);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (at, member) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                *out += &serde_json::to_string(&member.key).unwrap();
                out.push(':');
                written(&member.value, out);
            }
            out.push('}');
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn what_is_read_is_what_serde_reads(text in pieces()) {
        let serde = serde_json::from_str::<serde_json::Value>(&text);
        match (parse(&text), serde) {
            (Ok(json), serde) => {
                let mut again = String::new();
                written(json.root(), &mut again);
                let read = serde_json::from_str::<serde_json::Value>(&again);
                prop_assert_eq!(read.ok(), serde.ok(), "{} {}", text, again);
                // Written and read again, it is written the same.
                let mut third = String::new();
                written(parse(&again).unwrap().root(), &mut third);
                prop_assert_eq!(third, again);
                prop_assert_eq!(Json::check(text.as_bytes()), Ok(()));
            }
            (Err(error), Err(_)) => {
                // What breaks the grammar is told in its words, whatever else is wrong further ahead.
                let grammar = serde_json::from_str::<IgnoredAny>(&text).err();
                let told = grammar.map(|error| ParseError::Syntax(error.to_string()));
                prop_assert_eq!(&error, told.as_ref().unwrap_or(&error));
            }
            (Err(ParseError::DuplicateKey(_)), Ok(_)) => {}
            (Err(error), Ok(value)) => prop_assert!(false, "{error}: {text} is {value}"),
        }
    }
}

#[test]
fn of_two_faults_that_of_the_grammar_is_told() {
    let deep = "[".repeat(200);
    for (text, told) in [
        (
            r#"{"a":1,"a":2"#,
            "EOF while parsing an object at line 1 column 12",
        ),
        (r#"["\ud800",]"#, "expected value at line 1 column 11"),
        (&deep, "EOF while parsing a list at line 1 column 200"),
        ("\u{feff}{}", "expected value at line 1 column 1"),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("[1e]", "invalid number at line 1 column 4"),
        (r#"["\u12g4"]"#, "invalid escape at line 1 column 8"),
        (
            "[\"a\nb\"]",
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 3",
        ),
    ] {
        let told = ParseError::Syntax(told.to_owned());
        assert_eq!(parse(text).unwrap_err(), told, "{text}");
    }
    let half = parse(r#"{"a":"x","b":"\ud83d"}"#).unwrap_err();
    assert_eq!(
        half.to_string(),
        "the body is not valid JSON: byte 13: unexpected end of hex escape at line 1 column 8"
    );
}
