use crate::compressor::{
    Role,
    json::tests::{MINI, PRETTY, min},
};

/// Each of these holds the pretty value as data.
#[test]
fn data_is_minified() {
    let long = "x".repeat(1_500);
    for (role, frame) in [
        (Role::Tool, "¤"),
        (Role::User, "¤"),
        (Role::System, "¤\n"),
        (Role::User, "The order is below.\n\n¤\n\nWhat did they buy?"),
        (Role::User, "Order:\r\n¤\r\nWhat is its name?"),
        (Role::User, "Order: ¤\nWhat is its name?"),
        (Role::User, "**Order:** ¤"),
        (Role::User, "1. First\n   ¤\n2. Second\n   ¤"),
        (Role::User, "- ¤\n- ¤"),
        (Role::User, "<order>\n¤\n</order>"),
        (Role::User, "<order>¤</order>"),
        (Role::User, "<order id=\"3\">\n¤\n</order>"),
        (Role::User, "Analyze the following JSON data:\n¤"),
        (Role::User, "[see above]\n\n¤\n"),
        (Role::User, "It's [1, 2] here: (a) and [b\n\n¤\n"),
        (Role::Tool, "$ curl -s example.org/x\n¤\n$ "),
        (
            Role::Tool,
            "2026-01-01 12:00:01 [INFO] order saved ¤ took 4 ms",
        ),
        (Role::Tool, "Status 200 OK\n\n¤\n\nelapsed 3 ms"),
        (Role::Tool, "Output format example:\n¤"),
        (Role::Tool, "¤\n¤\n¤\n"),
        (
            Role::User,
            "Orders:\n¤\n{\"column\":1,\"output\":2,\"example\":\"none\"}\n¤\nWho is it?",
        ),
        (Role::Tool, "¤\n{\"broken\": [1, 2\n¤\n"),
        (Role::Tool, "[12:00:01] started\n¤"),
    ] {
        let text = frame.replace('¤', PRETTY);
        assert_eq!(min(&text, role), frame.replace('¤', MINI), "{frame}");
    }
    let text = format!("For example, answer like this:\n[\"{long}\", 1 ]");
    assert!(min(&text, Role::System).ends_with("x\",1]"));
}

#[test]
fn tool_lists_are_data() {
    let text = "Return only calls.\nHere is a list of functions in JSON format that you can invoke.\n[\n  {\n    \"name\": \"f\",\n    \"parameters\": {}\n  }\n]\n";
    assert!(min(text, Role::System).ends_with("invoke.\n[{\"name\":\"f\",\"parameters\":{}}]\n"));
    let asked = text.replace("that you can invoke", "to return");
    assert_eq!(min(&asked, Role::System), asked);
}

/// None of these is changed.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of examples")]
fn what_is_no_data_stays() {
    for (role, frame) in [
        (Role::Assistant, "¤"),
        (Role::User, "Respond in this format:\n¤"),
        (Role::System, "Output:\n¤"),
        (Role::System, "<example>\n¤\n</example>"),
        (Role::System, "<output_format>\n¤\n</output_format>"),
        (Role::System, "Your reply looks like this:\n¤"),
        (Role::System, "The schema is as follows.\n\n¤"),
        (Role::User, "Use the following:\n¤"),
        (Role::User, "Q: who?\nA: ¤\nQ: what?\nA:"),
        (
            Role::User,
            "Text: Ann is five.\nJSON: ¤\nText: Bob is six.\nJSON:",
        ),
        (Role::User, "Example outputs:\n¤\n¤\n\n¤"),
        (
            Role::User,
            "Examples:\n{\"id\":10,\"name\":\"a\",\"tags\":[],\"more\":null}\n¤",
        ),
        (Role::User, "Respond in this format [1]:\n¤"),
        (Role::User, "¤\n\nUse this format for all orders."),
        (Role::User, "¤\n\nKeep to the structure above."),
        (Role::User, "¤\n\nRe-indent that with tabs."),
        (Role::User, "Why do I get an error at line 3 column 7?\n¤"),
        (Role::User, "On which line is the key \"owner\"?\n\n¤"),
        (
            Role::User,
            "Config:\n\n¤\n\nAdd a key and keep the formatting exactly as it is.",
        ),
        (
            Role::User,
            "Does it use tabs or blanks, and how many per level?\n\n¤",
        ),
        (Role::User, "Is it right how it looks?\n\n¤"),
        (Role::User, "Our guide asks for 2 spaces.\n\n¤"),
        (Role::User, "Store this as it stands:\n\n¤"),
        (Role::User, "Return it modified.\n\n¤"),
        (Role::User, "Where do the gaps come from?\n\n¤"),
        (Role::User, "How many characters and tokens has this?\n\n¤"),
        (Role::User, "The HMAC is computed over the raw bytes:\n\n¤"),
        (
            Role::System,
            "Read the mail.\n\nMail one says: send two rakes.\n¤",
        ),
        (
            Role::System,
            "You call a tool by writing its name.\n\nget_weather\n¤",
        ),
        (Role::Tool, "$ cat config/x.json\n¤\n"),
        (Role::Tool, "[File: /etc/settings]\n¤"),
        (Role::User, "x = ¤"),
        (Role::User, "const x =\n¤;"),
        (Role::User, "const x = ¤;"),
        (Role::User, "return ¤"),
        (Role::User, "f(¤)"),
        (Role::User, "f(\n¤\n)"),
        (Role::User, "f(a,\n¤)"),
        (Role::User, "if x in ¤:\n    pass"),
        (Role::User, "[\n  ¤,\n  {'a': 1}\n]"),
        (Role::User, "{'a': ¤}"),
        (Role::User, "{\n  a: ¤\n}"),
        (Role::User, "{\n  a:\n    ¤\n}"),
        (Role::User, "{{¤}}"),
        (Role::User, "[{¤}, {¤}]"),
        (Role::User, "`¤`"),
        (Role::User, "'¤'"),
        (Role::User, "curl -d '¤' example.org"),
        (Role::User, "curl -d '\n¤\n'"),
        (Role::User, "cat <<EOF\n¤\nEOF"),
        (Role::User, "x = \"\"\"\n¤\n\"\"\""),
        (Role::User, "data: |\n  ¤\n"),
        (Role::User, "<script>\n¤\n</script>"),
        (Role::User, "<pre>¤</pre>"),
        (
            Role::User,
            "<script type=\"application/ld+json\">\n¤\n</script>",
        ),
        (Role::User, "<a b='¤'>"),
        (Role::User, "| a | ¤ |"),
        (Role::User, "We saw ¤ once."),
        (Role::User, "¤ is what we saw."),
        (Role::User, "[¤](there)"),
        (Role::User, "¤.name"),
        (Role::Tool, "12: ¤"),
        (Role::Tool, "12: x = ¤"),
        (Role::Tool, "elif kind in ¤ and x:"),
        (Role::Tool, "+¤"),
        (Role::Tool, "-old\n¤"),
        (Role::Tool, "@@ -1,3 +1,3 @@\n¤"),
        (Role::Tool, ">>> load()\n¤"),
        (Role::Tool, "level=info order=¤"),
        (Role::Tool, "\"order\": ¤"),
        (Role::Tool, "{\"order\": ¤"),
        (Role::Tool, "{\"order\": ¤, }"),
        (Role::Tool, "{\"order\": nan, \"x\": ¤}"),
        (Role::Tool, "{\"order\": 01, \"x\":\n¤\n}"),
        (Role::Tool, "[{\"a\": 1, // note\n\"b\": ¤}]"),
    ] {
        let text = frame.replace('¤', PRETTY);
        assert_eq!(min(&text, role), text, "{frame}");
    }
    let yaml = "kind: Job\n  command: [ \"0123456789\", \"0123456789\", \"0123456789\" ]\n  x: 1\n";
    assert_eq!(min(yaml, Role::Tool), yaml);
    let settings = "{\n  \"name\": \"a\",\n  \"version\": \"1.0.0\",\n  \"scripts\": {}\n}";
    assert_eq!(min(settings, Role::Tool), settings);
    let python = "{'id': 1, 'name': 'a  b', 'ok': True, 'list': [ 1,  2,  3, 4, 5, 6 ]}";
    assert_eq!(min(python, Role::Tool), python);
}
