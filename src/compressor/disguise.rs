//! Takes out of prose the characters that look like nothing, and gives those that look like a space as one.

use super::{
    edit::Edit,
    lines::Line,
    rule::{Rule, RuleSet},
    spans::{self, SpanKind},
};

/// Invisible characters that carry nothing between letters of European scripts: the zero-width space, the
/// byte order mark and the soft hyphen. Joiners, which shape words and emoji, stay.
const INVISIBLE: [char; 3] = ['\u{200B}', '\u{FEFF}', '\u{AD}'];
/// Spaces of other widths, and those that forbid a line break: between words they are spaces.
const SPACES: [char; 4] = ['\u{A0}', '\u{202F}', '\u{2009}', '\u{200A}'];

/// Characters that look like nothing or like a space.
pub(super) fn propose(text: &str, line: &Line, rules: RuleSet, edits: &mut Vec<Edit>) {
    let body = line.body(text);
    // In scripts that write no spaces these part words.
    let is_european =
        |c: Option<char>| c.is_none_or(|c| c < '\u{590}' || c > '\u{2000}' && c < '\u{2060}');
    let is_disguised = |c: &char| INVISIBLE.contains(c) || SPACES.contains(c);
    if !body.chars().any(|c| is_disguised(&c)) {
        return;
    }
    let spans = spans::of(body);
    let is_open = |at: &usize| {
        let mut around = spans.iter().filter(|(span, _)| span.contains(at));
        around.all(|(_, kind)| *kind == SpanKind::Foreign)
    };
    for (at, c) in body
        .char_indices()
        .filter(|(at, c)| is_disguised(c) && is_open(at))
    {
        let end = at + c.len_utf8();
        let (before, after) = (body[..at].chars().next_back(), body[end..].chars().next());
        let at = line.body + at..line.body + end;
        if !is_european(before) || !is_european(after) {
            continue;
        }
        let is_word = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
        let is_inner = is_word(before) && is_word(after);
        // Where both sides are blank or an edge, it may be what keeps the blanks from being one indentation.
        let beside_blank =
            before == Some(' ') && is_word(after) || is_word(before) && after == Some(' ');
        let begins = before.is_none() && line.body == line.start && is_word(after);
        if rules.has(Rule::Invisible) && INVISIBLE.contains(&c) {
            // Before a mark it may be what keeps the mark from making a list.
            if is_inner || beside_blank || begins && after.is_some_and(char::is_alphanumeric) {
                edits.push(Edit::deletion(at, Rule::Invisible));
            }
        } else if rules.has(Rule::InnerBlanks) && SPACES.contains(&c) {
            if is_inner {
                edits.push(Edit {
                    at,
                    with: " ".into(),
                    rule: Rule::InnerBlanks,
                });
            } else if beside_blank || begins {
                edits.push(Edit::deletion(at, Rule::InnerBlanks));
            }
        }
    }
}
