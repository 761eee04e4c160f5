//! What a rule may take because nobody loses it: frames of a progress display that its terminal overwrote, and
//! log lines that a template and its values give back.

use std::borrow::Cow;

const HEADER: &str = " similar lines: ";
const VALUES: &str = "; values:";

/// `original` without the frames that its terminal overwrote and `outgoing` does not have.
pub(crate) fn shown<'t>(original: &'t str, outgoing: &str) -> Cow<'t, str> {
    if !original.replace("\r\n", "\n").contains('\r') {
        return Cow::Borrowed(original);
    }
    let sent: Vec<_> = outgoing.split(['\r', '\n']).collect();
    let last = |line: &str| {
        let frames: Vec<_> = line
            .split('\r')
            .filter(|frame| !frame.trim().is_empty())
            .collect();
        let nth = |nth: usize| nth + 1 == frames.len() || sent.contains(&frames[nth]);
        let kept = (0..frames.len()).filter(|at| nth(*at)).map(|at| frames[at]);
        kept.collect::<Vec<_>>().join("\r")
    };
    Cow::Owned(original.lines().map(last).collect::<Vec<_>>().join("\n"))
}

/// `outgoing` with every folded log line in full.
pub(crate) fn spread(outgoing: &str) -> Cow<'_, str> {
    if !outgoing.contains(HEADER) {
        return Cow::Borrowed(outgoing);
    }
    let mut lines = outgoing.lines();
    let mut whole = Vec::new();
    while let Some(line) = lines.next() {
        let Some((count, template)) = header(line) else {
            whole.push(line.to_owned());
            continue;
        };
        for nth in 1..=count {
            let values = lines.next().unwrap_or_default();
            let values = if nth == count {
                values.strip_suffix(']').unwrap_or(values)
            } else {
                values
            };
            whole.push(filled(template, values));
        }
    }
    Cow::Owned(whole.join("\n"))
}

fn header(line: &str) -> Option<(usize, &str)> {
    let (count, template) = line.trim().strip_prefix('[')?.split_once(HEADER)?;
    Some((count.parse().ok()?, template.strip_suffix(VALUES)?))
}

fn filled(template: &str, mut values: &str) -> String {
    let mut line = String::new();
    for (nth, piece) in template.split("{}").enumerate() {
        if nth > 0 {
            let end = match values.strip_prefix('"') {
                Some(quoted) => quoted.find('"').map_or(values.len(), |end| end + 2),
                None => values.find(' ').unwrap_or(values.len()),
            };
            line.push_str(&values[..end]);
            values = values[end..].trim_start_matches(' ');
        }
        line.push_str(piece);
    }
    line
}

#[test]
fn what_is_given_back_is_the_same() {
    let folded = "a\n[2 similar lines: {} of {}; values:\n1 \"x y\"\n2 \"z\"]\nb";
    assert_eq!(spread(folded), "a\n1 of \"x y\"\n2 of \"z\"\nb");
    assert_eq!(shown("1 %\r2 %\r\nb\r\n", "2 %\nb"), "2 %\nb");
    assert_eq!(shown("1\r2", "1\r2"), "1\r2");
}
