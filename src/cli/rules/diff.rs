//! Shows word by word what is gone from a text and what is new in it.

use super::super::explain::visible;

/// Larger tables of words are not worth their memory: the texts are then shown one after the other.
const CELLS: usize = 4_000_000;

/// The second text with what is `[-gone-]` from the first and what is `{+new+}` in it.
pub(super) fn diff(before: &str, after: &str) -> String {
    let (old, new) = (words(before), words(after));
    if old.len() * new.len() > CELLS {
        return visible_lines(&format!("[-{before}-]\n{{+{after}+}}"));
    }
    let mut shown = String::new();
    let mut marked: Option<(&str, String)> = None;
    let flush = |marked: &mut Option<(&str, String)>, shown: &mut String| {
        if let Some((sign, text)) = marked.take() {
            let (open, close) = if sign == "-" {
                ("[-", "-]")
            } else {
                ("{+", "+}")
            };
            let kept = text.trim_end();
            shown.extend([open, kept, close, &text[kept.len()..]]);
        }
    };
    for (sign, word) in steps(&old, &new) {
        if marked.as_ref().is_some_and(|(last, _)| *last != sign) {
            flush(&mut marked, &mut shown);
        }
        if sign == " " {
            shown.push_str(word);
        } else {
            marked.get_or_insert((sign, String::new())).1.push_str(word);
        }
    }
    flush(&mut marked, &mut shown);
    visible_lines(&shown)
}

/// The words of a text, each with the white space behind it.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(char::is_whitespace).collect()
}

/// Which words go, come and stay: by a longest common subsequence.
fn steps<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(&'static str, &'t str)> {
    let is_same = |one: &str, other: &str| one.trim_end() == other.trim_end();
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if is_same(old[i], new[j]) {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut steps = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && is_same(old[i], new[j]) {
            steps.push((" ", new[j]));
            i += 1;
            j += 1;
        } else if j == new.len()
            || i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]
        {
            steps.push(("-", old[i]));
            i += 1;
        } else {
            steps.push(("+", new[j]));
            j += 1;
        }
    }
    steps
}

/// The lines of a text, with nothing in them that could drive the terminal.
fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_go_and_come_are_marked() {
        let shown = diff(
            "In order to see it, we went\nthere by train.",
            "To see it, we went\nthere.",
        );
        assert_eq!(
            shown,
            "[-In order to-] {+To+} see it, we went\n[-there by train.-]{+there.+}"
        );
        assert_eq!(diff("same", "same"), "same");
        assert_eq!(diff("a\u{1b}[31m b", ""), "[-a\\u{1b}[31m b-]");
    }

    #[test]
    fn long_texts_are_shown_one_after_the_other() {
        let long = "word ".repeat(3_000);
        let shown = diff(&long, &long);
        assert!(shown.starts_with("[-word") && shown.ends_with("+}"));
    }
}
