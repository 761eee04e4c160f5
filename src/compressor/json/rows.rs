//! Writes a uniform array of flat objects as its keys once and a row for each object.
//!
//! `[{"id":1,"n":"a"},…]` becomes `{"cols":["id","n"],"rows":[[1,"a"],…]}`: every literal is copied,
//! so the objects can be written back byte for byte.

#[cfg(test)]
pub(super) mod tests;

use memchr::memchr2;

/// With fewer objects the header costs about what it saves.
const FEW: usize = 5;

/// The minified JSON value with its uniform arrays folded: itself, or the members of an object.
pub(super) fn fold(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    if bytes[0] == b'[' {
        return table(json).map(|(table, _)| table);
    }
    let mut out = String::new();
    let (mut copied, mut at) = (0, 1);
    while bytes[at] == b'"' {
        let value = end_of_string(bytes, at) + 1;
        let end = match table(&json[value..]) {
            Some((table, length)) => {
                out.push_str(&json[copied..value]);
                out.push_str(&table);
                copied = value + length;
                copied
            }
            None => end_of_value(bytes, value),
        };
        // No comma: this was the last member.
        if bytes[end] != b',' {
            break;
        }
        at = end + 1;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&json[copied..]);
    Some(out)
}

/// The table for the array that `json` begins with, and the array's length.
fn table(json: &str) -> Option<(String, usize)> {
    let bytes = json.as_bytes();
    if !bytes.starts_with(b"[{\"") {
        return None;
    }
    let mut keys = Vec::new();
    let mut rows = String::new();
    let mut count = 0;
    let mut at = 1;
    loop {
        if bytes[at] != b'{' {
            return None;
        }
        rows.push_str(if count == 0 { "[" } else { ",[" });
        let mut column = 0;
        loop {
            let key = at + 1;
            if bytes[key] != b'"' {
                return None;
            }
            let colon = end_of_string(bytes, key);
            let name = &json[key..colon];
            if count == 0 {
                keys.push(name);
            } else if keys.get(column) != Some(&name) {
                return None;
            }
            let value = colon + 1;
            if matches!(bytes[value], b'{' | b'[') {
                return None;
            }
            at = end_of_value(bytes, value);
            if column > 0 {
                rows.push(',');
            }
            rows.push_str(&json[value..at]);
            column += 1;
            if bytes[at] == b'}' {
                break;
            }
        }
        if column != keys.len() {
            return None;
        }
        rows.push(']');
        count += 1;
        at += 2;
        if bytes[at - 1] == b']' {
            break;
        }
    }
    let header = keys.join(",");
    let table = format!(r#"{{"cols":[{header}],"rows":[{rows}]}}"#);
    (count >= FEW && table.len() < at).then_some((table, at))
}

/// Past the value at `at` in minified, valid JSON.
fn end_of_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    loop {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' => {
                at += 1;
                continue;
            }
            _ => {
                let scalar = bytes[at..].iter();
                at += scalar.take_while(|byte| !b",]}".contains(byte)).count();
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Past the string whose opening quote is at `at`.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}
