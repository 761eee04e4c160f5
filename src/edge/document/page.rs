//! The document as a page: plain HTML, which browsers search, print and read aloud, and which needs no script.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Renders the document.
pub(super) fn render(document: &Value) -> String {
    let info = &document["info"];
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: API</title>\n<link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#content\">To the content</a>\n\
         <header>\n<h1>{title} <small>{version}</small></h1>\n{description}\
         <p><a href=\"/openapi.json\">openapi.json</a> is the same for machines.</p>\n</header>\n",
        title = text(&info["title"]),
        version = text(&info["version"]),
        description = prose(&info["description"]),
    );
    contents(document, &mut out);
    out.push_str("<main id=\"content\">\n");
    for tag in array(&document["tags"]) {
        let (name, description) = (text(&tag["name"]), prose(&tag["description"]));
        let _ = writeln!(
            out,
            "<section id=\"tag-{name}\">\n<h2>{name}</h2>\n{description}"
        );
        for (method, path, operation) in operations(document, &tag["name"]) {
            render_operation(method, path, operation, &mut out);
        }
        out.push_str("</section>\n");
    }
    let components = &document["components"];
    out.push_str("<section id=\"errors\">\n<h2>Errors</h2>\n");
    for (name, response) in members(&components["responses"]) {
        let _ = writeln!(
            out,
            "<article id=\"responses-{0}\">\n<h3>{0}</h3>\n{1}{2}",
            escape(name),
            prose(&response["description"]),
            headers(&response["headers"]),
        );
        contents_of(&response["content"], &mut out);
        out.push_str("</article>\n");
    }
    out.push_str("</section>\n<section id=\"headers\">\n<h2>Headers</h2>\n<dl>\n");
    for (name, header) in members(&components["headers"]) {
        let description = text(&header["description"]);
        let _ = writeln!(
            out,
            "<dt id=\"headers-{0}\"><code>{0}</code></dt>\n<dd>{description}{1}</dd>",
            escape(name),
            example(&header["example"]),
        );
    }
    out.push_str("</dl>\n</section>\n<section id=\"schemas\">\n<h2>Schemas</h2>\n");
    for (name, schema) in members(&components["schemas"]) {
        render_schema(name, schema, &mut out);
    }
    out.push_str("</section>\n</main>\n</body>\n</html>\n");
    out
}

/// Links to all there is.
fn contents(document: &Value, out: &mut String) {
    out.push_str("<nav aria-label=\"Contents\">\n");
    for tag in array(&document["tags"]) {
        let name = text(&tag["name"]);
        let _ = writeln!(
            out,
            "<p><a href=\"#tag-{name}\"><strong>{name}</strong></a></p>\n<ul>"
        );
        for (method, path, operation) in operations(document, &tag["name"]) {
            let _ = writeln!(
                out,
                "<li><a href=\"#{}\"><span class=\"method\">{}</span> <code>{}</code></a></li>",
                text(&operation["operationId"]),
                method.to_uppercase(),
                escape(path),
            );
        }
        out.push_str("</ul>\n");
    }
    out.push_str(
        "<p><a href=\"#errors\">errors</a>, <a href=\"#headers\">headers</a>, <a href=\"#schemas\">schemas</a></p>\n</nav>\n",
    );
}

/// The operations that have this tag.
fn operations<'d>(
    document: &'d Value,
    tag: &'d Value,
) -> impl Iterator<Item = (&'d str, &'d str, &'d Value)> {
    members(&document["paths"]).flat_map(move |(path, item)| {
        members(item)
            .filter(move |(_, operation)| array(&operation["tags"]).contains(tag))
            .map(move |(method, operation)| (method, path, operation))
    })
}

fn render_operation(method: &str, path: &str, operation: &Value, out: &mut String) {
    let is_open = array(&operation["security"]).is_empty() && operation["security"].is_array();
    let _ = writeln!(
        out,
        "<article id=\"{}\">\n<h3><span class=\"method\">{}</span> <code>{}</code></h3>\n\
         <p class=\"summary\">{}</p>\n{}{}",
        text(&operation["operationId"]),
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"]),
        prose(&operation["description"]),
        if is_open {
            "<p>Asks for no token.</p>\n"
        } else {
            ""
        },
    );
    let parameters = array(&operation["parameters"]);
    if !parameters.is_empty() {
        out.push_str(
            "<h4>Parameters</h4>\n<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Name</th>\
             <th scope=\"col\">In</th><th scope=\"col\">Type</th><th scope=\"col\">What it says</th></tr></thead>\n<tbody>\n",
        );
        for parameter in parameters {
            let _ = writeln!(
                out,
                "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td><td>{}{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                kind(&parameter["schema"]),
                text(&parameter["description"]),
                example(&parameter["example"]),
            );
        }
        out.push_str("</tbody>\n</table></div>\n");
    }
    if !operation["requestBody"].is_null() {
        out.push_str("<h4>Body</h4>\n");
        contents_of(&operation["requestBody"]["content"], out);
    }
    out.push_str("<h4>Answers</h4>\n<dl>\n");
    for (status, response) in members(&operation["responses"]) {
        let _ = writeln!(out, "<dt>{}</dt>\n<dd>", escape(status));
        if response["$ref"].is_string() {
            let _ = writeln!(out, "<p>{}</p>", kind(response));
        } else {
            out.push_str(&prose(&response["description"]));
            out.push_str(&headers(&response["headers"]));
            contents_of(&response["content"], out);
        }
        out.push_str("</dd>\n");
    }
    out.push_str("</dl>\n</article>\n");
}

/// What a body may be, with examples.
fn contents_of(content: &Value, out: &mut String) {
    for (media, body) in members(content) {
        let _ = writeln!(
            out,
            "<p><code>{}</code>: {}</p>",
            escape(media),
            kind(&body["schema"])
        );
        for (name, example) in members(&body["examples"]) {
            let title = match &example["summary"] {
                Value::String(summary) => escape(summary),
                _ => escape(name),
            };
            let _ = writeln!(
                out,
                "<figure><figcaption>{title}</figcaption>\n{}</figure>",
                code(&example["value"])
            );
        }
    }
}

fn headers(headers: &Value) -> String {
    let names: Vec<_> = members(headers).map(|(_, header)| kind(header)).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("<p>Headers: {}</p>\n", names.join(", "))
}

fn render_schema(name: &str, schema: &Value, out: &mut String) {
    let _ = writeln!(
        out,
        "<article id=\"schemas-{0}\">\n<h3>{0}</h3>\n{1}<p>{2}</p>",
        escape(name),
        prose(&schema["description"]),
        kind(schema),
    );
    if schema["properties"].is_object() {
        let required = array(&schema["required"]);
        out.push_str("<dl>\n");
        for (key, property) in members(&schema["properties"]) {
            let is_required = required.iter().any(|name| name == key);
            let _ = writeln!(
                out,
                "<dt><code>{}</code> <span class=\"kind\">{}{}</span></dt>\n<dd>{}{}</dd>",
                escape(key),
                kind(property),
                if is_required { ", always" } else { "" },
                text(&property["description"]),
                example(&property["example"]),
            );
        }
        out.push_str("</dl>\n");
    }
    let _ = writeln!(
        out,
        "<details><summary>{} as JSON Schema</summary>\n{}</details>\n</article>",
        escape(name),
        code(schema)
    );
}

/// What a value may be, in a few words; what is described elsewhere, as a link.
fn kind(schema: &Value) -> String {
    if let Some(place) = schema["$ref"].as_str() {
        let mut parts = place.rsplit('/').map(escape);
        let (name, of) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        return format!("<a href=\"#{of}-{name}\">{name}</a>");
    }
    for (key, word) in [("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")] {
        let all = array(&schema[key]);
        if !all.is_empty() && schema["type"].is_null() {
            return all.iter().map(kind).collect::<Vec<_>>().join(word);
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values = values
            .iter()
            .map(|value| format!("<code>{}</code>", escape(&value.to_string())));
        return values.collect::<Vec<_>>().join(" or ");
    }
    let one = |name: &Value| match name.as_str() {
        Some("array") => format!("array of {}", kind(&schema["items"])),
        Some(name) => escape(name),
        None => "anything".to_owned(),
    };
    match &schema["type"] {
        Value::Array(names) => names.iter().map(one).collect::<Vec<_>>().join(" or "),
        name => one(name),
    }
}

fn example(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => format!(" <code>{}</code>", escape(text)),
        other => format!(" <code>{}</code>", escape(&other.to_string())),
    }
}

fn code(value: &Value) -> String {
    let json = match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    format!("<pre tabindex=\"0\">{}</pre>\n", escape(&json))
}

/// A text's paragraphs.
fn prose(value: &Value) -> String {
    let paragraphs = value.as_str().unwrap_or_default().split("\n\n");
    let paragraphs = paragraphs.filter(|paragraph| !paragraph.is_empty());
    paragraphs.fold(String::new(), |mut out, paragraph| {
        let _ = writeln!(out, "<p>{}</p>", marked(paragraph));
        out
    })
}

fn text(value: &Value) -> String {
    marked(value.as_str().unwrap_or_default())
}

/// A text in which back quotes stand around code.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(at, part)| {
        if at % 2 == 1 {
            format!("<code>{}</code>", escape(part))
        } else {
            escape(part)
        }
    });
    parts.collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flat_map(Map::iter);
    members.map(|(key, value)| (key.as_str(), value))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_the_document_is_markup() {
        let bad = "<b a=\"1\">&";
        let document = json!({
            "info": {"title": bad, "description": bad},
            "tags": [{"name": "t", "description": bad}],
            "paths": {bad: {"get": {
                "tags": ["t"], "operationId": "o", "summary": bad, "description": bad,
                "parameters": [{"name": bad, "description": bad, "schema": {"enum": [bad]}, "example": bad}],
                "requestBody": {"content": {bad: {"examples": {bad: {"value": bad}}}}},
                "responses": {"200": {"description": bad}},
            }}},
            "components": {
                "responses": {bad: {"description": bad}},
                "headers": {bad: {"description": bad}},
                "schemas": {bad: {"type": "object", "properties": {bad: {"$ref": bad}}}},
            },
        });
        let page = render(&document);
        assert!(page.contains("&lt;b a=&quot;1&quot;&gt;&amp;"));
        assert!(!page.contains("<b a"), "{page}");
    }

    #[test]
    fn kinds_are_told_in_words() {
        for (schema, says) in [
            (
                json!({"type": "array", "items": {"type": "string"}}),
                "array of string",
            ),
            (json!({"type": ["number", "null"]}), "number or null"),
            (
                json!({"$ref": "#/components/schemas/A"}),
                "<a href=\"#schemas-A\">A</a>",
            ),
            (
                json!({"anyOf": [{"type": "string"}, {}]}),
                "string or anything",
            ),
            (
                json!({"enum": ["a", 1]}),
                "<code>&quot;a&quot;</code> or <code>1</code>",
            ),
        ] {
            assert_eq!(kind(&schema), says);
        }
    }
}
