//! Cuts a request's text into the pieces that no token crosses, as the patterns of the two vocabularies do.
//!
//! The patterns try their alternatives in order and take back characters where the rest would not fit;
//! what comes of that is written out here by hand. `L` stands for letters, `M` for marks, `N` for numbers.

use super::class::{Class, class_at};

/// Where the piece of o200k that starts at `start` ends; `text` goes on there.
#[inline]
pub(super) fn o200k(text: &str, start: usize) -> usize {
    let Some((first, width)) = class_at(text, start) else {
        return text.len();
    };
    let word = if first.is_letter() {
        match cased_word(text, start) {
            Ok(end) | Err(end) => Some(end),
        }
    } else if first.is_lead() {
        match cased_word(text, start + width) {
            Ok(end) => Some(end),
            // A mark is part of a word as well: with nothing but upper case after it, it is one by itself.
            Err(_) if first == Class::Mark => Some(start + width),
            Err(end) => (end > start + width).then_some(end),
        }
    } else {
        None
    };
    match word {
        Some(end) => end + contraction(text, end),
        None => no_word(text, start, first, width, true),
    }
}

/// Where the piece of cl100k that starts at `start` ends; `text` goes on there.
#[inline]
pub(super) fn cl100k(text: &str, start: usize) -> usize {
    let Some((first, width)) = class_at(text, start) else {
        return text.len();
    };
    if first.is_letter() {
        return run(text, start + width, Class::is_letter);
    }
    if first.is_lead() {
        let contraction = contraction(text, start);
        if contraction > 0 {
            return start + contraction;
        }
        if let Some((next, next_width)) = class_at(text, start + width)
            && next.is_letter()
        {
            return run(text, start + width + next_width, Class::is_letter);
        }
    }
    no_word(text, start, first, width, false)
}

/// The end of a word without its lead: `U*L+` if there is such a word, else as an error that of `U*`, an upper
/// part alone, which may be empty.
///
/// The upper part takes all it can. If a lower-case letter follows, the lower part goes on from there. Else
/// the lower part must take back the last character that fits both, and ends with it.
#[inline]
fn cased_word(text: &str, start: usize) -> Result<usize, usize> {
    let mut at = start;
    let mut last_of_both = None;
    while let Some((class, width)) = class_at(text, at) {
        if class == Class::Lower {
            return Ok(run(text, at + width, Class::is_lower_part));
        }
        if !class.is_upper_part() {
            break;
        }
        at += width;
        if class.is_lower_part() {
            last_of_both = Some(at);
        }
    }
    last_of_both.ok_or(at)
}

/// The length of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at `at`, zero if there is none.
#[inline]
fn contraction(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let [b'\'', rest @ ..] = rest else { return 0 };
    match rest {
        [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => 2,
        // The long s is an s to patterns that do not mind the case.
        [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..]
        | [b'l' | b'L', b'l' | b'L', ..]
        | [0xc5, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// The end of a piece that is no word: `N{1,3}`, ` ?[^\s L N]+[\r\n/]*` or white space.
#[inline]
fn no_word(text: &str, start: usize, first: Class, width: usize, slashes: bool) -> usize {
    if first == Class::Number {
        return number(text, start + width);
    }
    let space = text.as_bytes().get(start) == Some(&b' ');
    let follows = if space {
        class_at(text, start + width)
    } else {
        None
    };
    let signs = match follows {
        Some((next, next_width)) if next.is_sign() => start + width + next_width,
        _ if first.is_sign() => start + width,
        _ => return white_space(text, start),
    };
    let mut end = run(text, signs, Class::is_sign);
    while let Some(b'\r' | b'\n' | b'/') = text.as_bytes().get(end) {
        if !slashes && text.as_bytes().get(end) == Some(&b'/') {
            break;
        }
        end += 1;
    }
    end
}

/// The end of a number whose first digit ends at `at`.
#[inline]
fn number(text: &str, mut at: usize) -> usize {
    for _ in 0..2 {
        match class_at(text, at) {
            Some((Class::Number, width)) => at += width,
            _ => break,
        }
    }
    at
}

/// The end of `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end if there is one; else all but the last
/// blank, which is left to what follows if there is something else to take.
#[inline]
fn white_space(text: &str, start: usize) -> usize {
    let (mut at, mut last, mut line_end) = (start, start, None);
    while let Some((class, width)) = class_at(text, at) {
        if !class.is_space() {
            return line_end.unwrap_or(if last > start { last } else { at });
        }
        last = at;
        at += width;
        if class == Class::LineEnd {
            line_end = Some(at);
        }
    }
    line_end.unwrap_or(at)
}

/// Where characters of this kind end, from `at` on.
#[inline]
fn run(text: &str, mut at: usize, kind: impl Fn(Class) -> bool) -> usize {
    while let Some((class, width)) = class_at(text, at)
        && kind(class)
    {
        at += width;
    }
    at
}
