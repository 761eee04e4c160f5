//! Finds what no wording rule may touch inside one line of prose.
//!
//! One pass from left to right: a delimiter protects all up to its partner, every other word is judged
//! by its own letters. When in doubt a word is protected. Searches for a partner remember where the
//! last one was found, so that a line full of openers costs no more than one full of letters.

mod partner;
#[cfg(test)]
mod tests;
mod word;

use std::ops::Range;

use partner::{Partners, Ticks, backticks};

/// Why a span is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SpanKind {
    /// Between runs of backticks.
    Code,
    /// `$x$`, `\(x\)`, `\[x\]`, `\alpha{x}`.
    Math,
    /// `[text](target)` and `![text](target)`.
    Link,
    /// `{x}`, `{{x}}`, `${x}`, `{% x %}`, `%s`, `[x]`, `[[x]]`, `$X`.
    Placeholder,
    /// `<x>`.
    Tag,
    /// Between quotation marks of any kind.
    Quote,
    /// `https://…`, `www.…`.
    Url,
    /// `/a/b`, `~/a`, `C:\a`, `a/b`.
    Path,
    /// `a@b.c`.
    Email,
    /// A word that no dictionary has: `snake_case`, `camelCase`, `--flag`, `f()`, `a.b`, `@name`.
    Identifier,
    /// `ALL CAPS`, word by word.
    Caps,
    /// A word with a digit, with its unit.
    Number,
    /// A word with a letter beyond ASCII.
    Foreign,
}

// === impl SpanKind ===

impl SpanKind {
    /// The word for it in what users read.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Math => "math",
            Self::Link => "link",
            Self::Placeholder => "placeholder",
            Self::Tag => "tag",
            Self::Quote => "quotation",
            Self::Url => "url",
            Self::Path => "path",
            Self::Email => "e-mail",
            Self::Identifier => "identifier",
            Self::Caps => "all caps",
            Self::Number => "number",
            Self::Foreign => "not ASCII",
        }
    }
}

/// The protected spans of a line: ascending, not overlapping.
pub(super) fn of(line: &str) -> Vec<(Range<usize>, SpanKind)> {
    let bytes = line.as_bytes();
    // A quotation that starts or ends on another line: nothing tells which side of the mark it is on.
    if line.matches('"').count() % 2 == 1 {
        return vec![(0..line.len(), SpanKind::Quote)];
    }
    let ticks = backticks(bytes);
    let mut scan = Scan {
        line,
        ticks,
        tick: 0,
        partners: Partners::new(bytes),
    };
    let mut spans: Vec<(Range<usize>, SpanKind)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let found = scan.delimited(at).or_else(|| scan.word(at));
        let Some((end, kind)) = found else {
            at += scan.plain(at);
            continue;
        };
        debug_assert!(end > at, "a span holds at least one byte");
        if let Some(kind) = kind {
            spans.push((at..end, kind));
        }
        at = end;
    }
    spans
}

struct Scan<'a> {
    line: &'a str,
    ticks: Vec<Ticks>,
    tick: usize,
    partners: Partners<'a>,
}

// === impl Scan ===

impl Scan<'_> {
    /// The span that a delimiter at `at` opens.
    fn delimited(&mut self, at: usize) -> Option<(usize, Option<SpanKind>)> {
        let bytes = self.line.as_bytes();
        let protect = |end: usize, kind| Some((end, Some(kind)));
        match bytes[at] {
            b'`' => {
                while self.ticks[self.tick].start < at {
                    self.tick += 1;
                }
                let run = &self.ticks[self.tick];
                // Without a partner it may be code that another line ends: the rest is code.
                let end = run
                    .partner
                    .map_or(bytes.len(), |partner| partner + run.length);
                protect(end, SpanKind::Code)
            }
            b'"' => {
                let end = self.partners.next(b'"', at + 1)?;
                protect(end + 1, SpanKind::Quote)
            }
            b'\'' if !self.follows_word(at) => {
                let end = self.partners.closing_quote(at + 1)?;
                protect(end + 1, SpanKind::Quote)
            }
            b'{' => {
                let close = self.partners.next(b'}', at + 1);
                let mut end = close.map_or(bytes.len(), |close| close + 1);
                while bytes.get(end) == Some(&b'}') {
                    end += 1;
                }
                protect(end, SpanKind::Placeholder)
            }
            b'<' => {
                let close = self.partners.next(b'>', at + 1)?;
                let again = self.partners.next(b'<', at + 1).unwrap_or(usize::MAX);
                (close < again && close > at + 1 && !bytes[at + 1].is_ascii_whitespace())
                    .then_some((close + 1, Some(SpanKind::Tag)))
            }
            b'[' => self.bracket(at),
            b'!' if bytes.get(at + 1) == Some(&b'[') => self.bracket(at + 1),
            b'$' => self.dollar(at),
            b'\\' => self.backslash(at),
            byte if byte >= 0x80 => self.typographic(at),
            _ => None,
        }
    }

    fn bracket(&mut self, at: usize) -> Option<(usize, Option<SpanKind>)> {
        let bytes = self.line.as_bytes();
        let mut end = self.partners.next(b']', at + 1)? + 1;
        while bytes.get(end) == Some(&b']') {
            end += 1;
        }
        if bytes.get(end) == Some(&b'(')
            && let Some(close) = self.partners.next(b')', end + 1)
        {
            return Some((close + 1, Some(SpanKind::Link)));
        }
        Some((end, Some(SpanKind::Placeholder)))
    }

    fn dollar(&mut self, at: usize) -> Option<(usize, Option<SpanKind>)> {
        let bytes = self.line.as_bytes();
        let after = *bytes.get(at + 1)?;
        if after == b'{' {
            let close = self
                .partners
                .next(b'}', at + 2)
                .map_or(bytes.len(), |close| close + 1);
            return Some((close, Some(SpanKind::Placeholder)));
        }
        // An amount of money is a number and opens nothing.
        if after.is_ascii_whitespace() || after.is_ascii_digit() {
            return None;
        }
        let from = at + 1 + usize::from(after == b'$');
        if let Some(close) = self.partners.next(b'$', from) {
            let end = close + 1 + usize::from(after == b'$' && bytes.get(close + 1) == Some(&b'$'));
            return Some((end, Some(SpanKind::Math)));
        }
        None
    }

    fn backslash(&mut self, at: usize) -> Option<(usize, Option<SpanKind>)> {
        let bytes = self.line.as_bytes();
        let end = match bytes.get(at + 1)? {
            open @ (b'(' | b'[') => {
                let close = if *open == b'(' { b')' } else { b']' };
                self.partners
                    .next(close, at + 2)
                    .map_or(bytes.len(), |close| close + 1)
            }
            letter if letter.is_ascii_alphabetic() => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end].is_ascii_alphabetic() {
                    end += 1;
                }
                while bytes.get(end) == Some(&b'{')
                    && let Some(close) = self.partners.next(b'}', end + 1)
                {
                    end = close + 1;
                }
                end
            }
            _ => return None,
        };
        Some((end, Some(SpanKind::Math)))
    }

    fn typographic(&mut self, at: usize) -> Option<(usize, Option<SpanKind>)> {
        let open = self.line[at..].chars().next()?;
        let close: &[char] = match open {
            '“' | '„' | '”' => &['”', '“'],
            '«' => &['»'],
            '»' => &['«'],
            '‹' => &['›'],
            '「' => &['」'],
            '『' => &['』'],
            '‘' | '‚' => &['’', '‘'],
            _ => return None,
        };
        let from = at + open.len_utf8();
        let end = self.partners.next_char(close, from, self.line);
        // The rest of the line is quoted speech that another line ends.
        Some((end.unwrap_or(self.line.len()), Some(SpanKind::Quote)))
    }

    /// The word at `at`, and its kind if it is protected.
    fn word(&self, at: usize) -> Option<(usize, Option<SpanKind>)> {
        let end = word::end(self.line, at);
        (end > at).then(|| (end, word::kind(&self.line[at..end])))
    }

    fn plain(&self, at: usize) -> usize {
        self.line[at..].chars().next().map_or(1, char::len_utf8)
    }

    fn follows_word(&self, at: usize) -> bool {
        self.line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '\'')
    }
}
