//! Puts back what a folded message refers to, as a reader does who takes references at their word.

use crate::subject::{Reference, reference};

/// `outgoing` with the text behind each reference in its place: the latest lines that start with its words. A reference
/// is one only where `original` does not have the line itself. Fails with the line whose text stands nowhere earlier.
pub(crate) fn unfolded(
    original: &str,
    outgoing: &str,
    earlier: &[String],
) -> Result<String, String> {
    let own: Vec<&str> = original.split('\n').map(str::trim).collect();
    let (mut whole, mut above): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in outgoing.split('\n') {
        match reference(line).filter(|_| !own.contains(&line.trim())) {
            None => whole.push(line.to_owned()),
            Some(named) => {
                let found = if named.above {
                    latest(&above, named)
                } else {
                    // What this message has above is nearer than any earlier message.
                    latest(&above, named).or_else(|| {
                        let texts = earlier.iter().rev();
                        texts
                            .map(|text| text.split('\n').collect::<Vec<_>>())
                            .find_map(|lines| latest(&lines, named))
                    })
                };
                whole.push(found.ok_or_else(|| line.to_owned())?);
            }
        }
        above.push(line);
    }
    Ok(whole.join("\n"))
}

/// The lines that `named` means among these: as many as it says from the latest one on that starts with its words,
/// empty ones not counted.
fn latest(lines: &[&str], named: Reference<'_>) -> Option<String> {
    let is_fence =
        |line: &str| line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
    let is_named = |at: &usize| {
        lines[*at].trim_start().starts_with(named.words)
            && (!named.fenced || *at > 0 && is_fence(lines[at - 1]))
    };
    let first = (0..lines.len()).rev().find(is_named)? - usize::from(named.fenced);
    let mut left = named.lines;
    let run: Vec<&str> = lines[first..]
        .iter()
        .copied()
        .take_while(|line| {
            let goes_on = left > 0;
            left -= usize::from(goes_on && !line.trim().is_empty());
            goes_on
        })
        .collect();
    (left == 0).then(|| run.join("\n"))
}

#[test]
fn a_reference_is_replaced_by_the_lines_it_names() {
    let earlier = ["Read it:\n{\nfn first() {}\n\nfn second() {}\nDone.".to_owned()];
    let marker = "[2 lines identical to earlier, from: fn first()]";
    let original = "Again:\nfn first() {}\n\nfn second() {}\nWhy?";
    let outgoing = format!("Again:\n{marker}\nWhy?");
    assert_eq!(unfolded(original, &outgoing, &earlier).unwrap(), original);
}

#[test]
fn a_reference_to_nothing_is_refused() {
    let earlier = ["fn first() {}\nfn second() {}".to_owned()];
    let marker = "[3 lines identical to earlier, from: fn second()]";
    let original = "fn second() {}\nfn third() {}\nfn fourth() {}";
    assert_eq!(unfolded(original, marker, &earlier), Err(marker.to_owned()));
}

#[test]
fn a_line_that_the_author_wrote_is_no_reference() {
    let marker = "[2 lines identical to earlier, from: fn third()]";
    assert_eq!(unfolded(marker, marker, &[]).unwrap(), marker);
}

#[test]
fn lines_from_above_are_put_back() {
    let rules = "Rules of the house:\nno shoes\nno smoke";
    let original = format!("{rules}\n\nHello.\n\n{rules}\n\nBye.");
    let marker = "[3 lines identical above, from: Rules of the house:]";
    let outgoing = format!("{rules}\n\nHello.\n\n{marker}\n\nBye.");
    assert_eq!(unfolded(&original, &outgoing, &[]).unwrap(), original);
}
