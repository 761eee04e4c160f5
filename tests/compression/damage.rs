//! Damages texts on purpose, one small thing at a time, to prove that the metric notices.

use std::ops::Range;

use fastrand::Rng;

use crate::metric::{
    code_lines, fences, json_blobs,
    patterns::{
        ANSI, CONSTRAINT, ENTITY, FOREIGN, IDENTIFIER, INLINE, NEGATION, NUMBER, PATH, PLACEHOLDER,
        Pattern, QUOTED, TAG, URL,
    },
};

/// Damages a text at a place the generator picks; `None` where there is nothing of the kind.
pub(crate) type Damage = fn(&str, &mut Rng) -> Option<String>;

/// Every damage by name, with the share of its cases, in per cent, that must be noticed at least.
/// The last of all and "lower-case everything" do no harm to most messages: plain prose survives.
/// Capitals at the start of a sentence are no names.
pub(crate) const DAMAGES: &[(&str, u32, Damage)] = &[
    ("drop a negation", 100, |text, rng| {
        cut(text, pick(NEGATION.places(text), rng)?)
    }),
    ("drop a constraint", 100, |text, rng| {
        cut(text, pick(CONSTRAINT.places(text), rng)?)
    }),
    ("drop a number", 100, |text, rng| {
        cut(text, pick(numbers(text), rng)?)
    }),
    ("drop an identifier", 100, |text, rng| {
        cut(text, pick(IDENTIFIER.places(text), rng)?)
    }),
    ("drop a placeholder", 100, |text, rng| {
        cut(text, pick(PLACEHOLDER.places(text), rng)?)
    }),
    ("drop a tag", 100, |text, rng| {
        cut(text, pick(TAG.places(text), rng)?)
    }),
    ("drop a quotation", 100, |text, rng| {
        cut(text, pick(QUOTED.places(text), rng)?)
    }),
    ("drop a URL", 100, |text, rng| {
        cut(text, pick(URL.places(text), rng)?)
    }),
    ("drop a path", 100, |text, rng| {
        cut(text, pick(PATH.places(text), rng)?)
    }),
    ("drop inline code", 100, |text, rng| {
        cut(text, pick(INLINE.places(text), rng)?)
    }),
    ("drop a letter with an accent", 100, |text, rng| {
        cut(text, pick(letters(text), rng)?)
    }),
    ("drop a name", 99, |text, rng| {
        cut(text, pick(ENTITY.places(text), rng)?)
    }),
    ("lower-case a name", 99, |text, rng| {
        lower(text, pick(ENTITY.places(text), rng)?)
    }),
    ("lower-case everything", 65, |text, _| {
        changed(text, text.to_lowercase())
    }),
    ("change a digit", 100, |text, rng| {
        rewrite(text, pick(numbers(text), rng)?, turned)
    }),
    ("change a quotation", 100, |text, rng| {
        garble(text, &QUOTED, rng)
    }),
    ("change inline code", 100, |text, rng| {
        garble(text, &INLINE, rng)
    }),
    ("change a URL", 100, |text, rng| garble(text, &URL, rng)),
    ("drop a line of a fence", 100, drop_fenced_line),
    ("swap two lines of a fence", 100, swap_fenced_lines),
    ("break the indentation of a fence", 100, dedent_fence),
    ("drop a line of code", 100, |text, rng| {
        cut(text, pick(code(text), rng)?)
    }),
    ("break the indentation of code", 100, |text, rng| {
        dedent(text, pick(code(text), rng)?)
    }),
    ("change a JSON value", 100, |text, rng| {
        json_value(text, rng, |_| "0.125".to_owned())
    }),
    ("spell a JSON number anew", 100, |text, rng| {
        json_value(text, rng, |old| format!("{old}.0"))
    }),
    ("drop a JSON member", 100, |text, rng| {
        in_blob(text, rng, without_member)
    }),
    ("make up a negation", 100, |text, rng| {
        insert(text, rng, "not")
    }),
    ("make up a constraint", 100, |text, rng| {
        insert(text, rng, "must")
    }),
    ("make up a number", 100, |text, rng| {
        insert(text, rng, "8317")
    }),
    ("make up an identifier", 100, |text, rng| {
        insert(text, rng, "made_up_9")
    }),
    ("collapse all white space", 25, |text, _| {
        changed(text, text.split_whitespace().collect::<Vec<_>>().join(" "))
    }),
];

fn pick<T>(mut places: Vec<T>, rng: &mut Rng) -> Option<T> {
    (!places.is_empty()).then(|| places.swap_remove(rng.usize(..places.len())))
}

fn changed(text: &str, damaged: String) -> Option<String> {
    (damaged != text).then_some(damaged)
}

/// `text` with what `edit` makes of one place in it.
fn rewrite(text: &str, at: Range<usize>, edit: impl FnOnce(&str) -> String) -> Option<String> {
    let edited = edit(&text[at.clone()]);
    changed(text, [&text[..at.start], &edited, &text[at.end..]].concat())
}

fn cut(text: &str, at: Range<usize>) -> Option<String> {
    rewrite(text, at, |_| String::new())
}

fn lower(text: &str, at: Range<usize>) -> Option<String> {
    rewrite(text, at, str::to_lowercase)
}

/// Another digit for the last one.
fn turned(number: &str) -> String {
    let kept = number.trim_end_matches(|digit: char| !digit.is_ascii_digit());
    match kept.bytes().next_back() {
        Some(digit) => {
            let other = char::from(b'0' + (digit - b'0' + 1) % 10);
            format!(
                "{}{other}{}",
                &kept[..kept.len() - 1],
                &number[kept.len()..]
            )
        }
        None => String::new(),
    }
}

/// Doubles the letter in the middle of one match.
fn garble(text: &str, pattern: &Pattern, rng: &mut Rng) -> Option<String> {
    rewrite(text, pick(pattern.places(text), rng)?, |found| {
        let middle = found.chars().count() / 2;
        let double = |(nth, letter)| std::iter::repeat_n(letter, 1 + usize::from(nth == middle));
        found.chars().enumerate().flat_map(double).collect()
    })
}

/// A word of its own between two others.
fn insert(text: &str, rng: &mut Rng, word: &str) -> Option<String> {
    let gaps: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let at = pick(gaps, rng)?;
    rewrite(text, at..at, |_| format!(" {word}"))
}

/// The numbers of a text, those of terminal colours left out.
fn numbers(text: &str) -> Vec<Range<usize>> {
    outside(NUMBER.places(text), &ANSI.places(text))
}

/// The `places` that lie in none of `others`.
fn outside(mut places: Vec<Range<usize>>, others: &[Range<usize>]) -> Vec<Range<usize>> {
    places.retain(|place| {
        !others
            .iter()
            .any(|other| other.start < place.end && place.start < other.end)
    });
    places
}

fn letters(text: &str) -> Vec<Range<usize>> {
    let first = |run: Range<usize>| {
        let letter = text[run.start..].chars().next().map_or(0, char::len_utf8);
        run.start..run.start + letter
    };
    FOREIGN.places(text).into_iter().map(first).collect()
}

/// Where each part of `text` stands, given as slices of it.
fn places<'t>(text: &'t str, parts: impl Iterator<Item = &'t str>) -> Vec<Range<usize>> {
    let place = |part: &str| {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        start..start + part.len()
    };
    parts.map(place).collect()
}

/// The lines that look like code, outside of fences and of JSON.
fn code(text: &str) -> Vec<Range<usize>> {
    let fences: Vec<_> = fences(text).into_iter().map(|fence| fence.whole).collect();
    let lines = outside(places(text, code_lines(text)), &fences);
    outside(lines, &blobs(text))
}

fn blobs(text: &str) -> Vec<Range<usize>> {
    places(text, json_blobs(text).into_iter().map(|blob| blob.text))
}

fn dedent(text: &str, line: Range<usize>) -> Option<String> {
    rewrite(text, line, |line| line.trim_start().to_owned())
}

/// The lines of one fence that hold anything.
fn fenced_lines(text: &str, rng: &mut Rng) -> Option<Vec<Range<usize>>> {
    let fence = pick(fences(text), rng)?;
    let lines = text[fence.body]
        .split('\n')
        .filter(|line| !line.trim().is_empty());
    Some(places(text, lines))
}

fn drop_fenced_line(text: &str, rng: &mut Rng) -> Option<String> {
    let line = pick(fenced_lines(text, rng)?, rng)?;
    cut(text, line)
}

fn swap_fenced_lines(text: &str, rng: &mut Rng) -> Option<String> {
    let lines = fenced_lines(text, rng)?;
    let [one, other] = lines.get(..2)? else {
        return None;
    };
    rewrite(text, one.start..other.end, |_| {
        [&text[other.clone()], "\n", &text[one.clone()]].concat()
    })
}

fn dedent_fence(text: &str, rng: &mut Rng) -> Option<String> {
    let lines = outside(fenced_lines(text, rng)?, &blobs(text));
    let line = lines
        .into_iter()
        .find(|line| text[line.clone()].starts_with([' ', '\t']))?;
    dedent(text, line)
}

fn in_blob(text: &str, rng: &mut Rng, edit: fn(&str) -> Option<String>) -> Option<String> {
    let blob = pick(blobs(text), rng)?;
    let edited = edit(&text[blob.clone()])?;
    rewrite(text, blob, |_| edited)
}

/// Puts another number for one of a blob's numbers.
fn json_value(text: &str, rng: &mut Rng, edit: fn(&str) -> String) -> Option<String> {
    let blob = pick(blobs(text), rng)?;
    let is_value = |at: &Range<usize>| {
        let before = text[..at.start].trim_end_matches(' ');
        let after = &text[at.end..];
        before.ends_with([':', '[', ',']) && after.starts_with([',', '}', ']', '\n', ' '])
    };
    let mut numbers = NUMBER.places(&text[blob.clone()]);
    for at in &mut numbers {
        *at = at.start + blob.start..at.end + blob.start;
    }
    numbers.retain(is_value);
    rewrite(text, pick(numbers, rng)?, edit)
}

/// A blob without the member before its last comma.
fn without_member(blob: &str) -> Option<String> {
    let comma = blob.rfind(',')?;
    let start = blob[..comma].rfind([',', '{', '['])? + 1;
    (start < comma).then(|| [&blob[..start], &blob[comma + 1..]].concat())
}
