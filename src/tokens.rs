//! Counts tokens exactly as the two public vocabularies do, so that the compressor keeps an edit of a
//! request's text only if it pays.
//!
//! A text is cut into pieces (see `split.rs`) that no token crosses: a word with the blank before it, three
//! digits, some signs. Most pieces are one token, which a look into a table tells (`table.rs`); the others
//! are merged from their bytes (`merge.rs`). The tables are made by the build script and lie in the binary:
//! nothing is loaded or built at run time. Time and memory are bounded for every input: a text of one piece
//! takes n log n steps, and little memory beside the text.
//!
//! Special tokens are unknown here: their spelling in a prompt is ordinary text.

mod class;
mod hash;
mod merge;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod window;

use std::ops::Range;

/// One of the public vocabularies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vocabulary {
    /// `o200k_base`, of the models since GPT-4o.
    O200k,
    /// `cl100k_base`, of GPT-4 and of the embedding models.
    Cl100k,
}

/// By how many tokens a text grows, in both vocabularies; negative where it shrinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Difference {
    /// In tokens of [`Vocabulary::O200k`].
    pub o200k: isize,
    /// In tokens of [`Vocabulary::Cl100k`].
    pub cl100k: isize,
}

impl Vocabulary {
    /// The number of tokens of a text.
    pub fn count(self, text: &str) -> usize {
        // The loop is compiled for each vocabulary by itself.
        match self {
            Self::O200k => count_pieces(text, &table::O200K, split::o200k),
            Self::Cl100k => count_pieces(text, &table::CL100K, split::cl100k),
        }
    }

    /// Whether a text has `n` tokens or more; it looks at no more than the first 128 bytes for each of `n`.
    pub fn has_at_least(self, text: &str, n: usize) -> bool {
        let (table, piece): (_, fn(&str, usize) -> usize) = match self {
            Self::O200k => (&table::O200K, split::o200k),
            Self::Cl100k => (&table::CL100K, split::cl100k),
        };
        let (mut tokens, mut at) = (0, 0);
        // The bytes that are left are at least so many tokens, and at most one each.
        while tokens + (text.len() - at).div_ceil(hash::LONGEST) < n {
            if tokens + (text.len() - at) < n {
                return false;
            }
            let end = piece(text, at);
            tokens += merge::count(table, text.as_bytes(), at, end);
            at = end;
        }
        true
    }
}

/// By how many tokens `text` grows when `text[at]` is replaced by `with`: exact, though only the surroundings
/// of the edit are looked at. A range that does not lie on characters of the text changes nothing.
pub fn difference(text: &str, at: Range<usize>, with: &str) -> Difference {
    difference_all(text, &[(at, with)])
}

/// By how many tokens `text` grows when all of these edits are made. Their ranges are in order and do not
/// overlap; from the first on that breaks this, or does not lie on characters of the text, none counts.
pub fn difference_all(text: &str, edits: &[(Range<usize>, &str)]) -> Difference {
    let mut total = Difference::default();
    each_part(text, edits, |part| {
        let part = part.difference();
        total.o200k += part.o200k;
        total.cl100k += part.cl100k;
    });
    total
}

/// A part of a text that some edits change; no token crosses its borders, before or after.
#[derive(Debug)]
pub struct Part<'a> {
    /// The numbers of the edits that it holds.
    pub edits: Range<usize>,
    /// Its bytes in the text.
    pub at: Range<usize>,
    /// What stands there.
    pub before: &'a str,
    /// What will stand there when all of its edits are made.
    pub after: &'a str,
}

/// Calls `look` with each part of `text` that the edits change, in order. Edits are in one part where a token
/// could reach from one to the other: each part can be changed or left alone by itself.
pub fn each_part(text: &str, edits: &[(Range<usize>, &str)], mut look: impl FnMut(Part<'_>)) {
    window::each(text, edits, |edits, at, before, after| {
        look(Part {
            edits,
            at,
            before,
            after,
        });
    });
}

impl Part<'_> {
    /// By how many tokens the text grows when the part's edits are made.
    pub fn difference(&self) -> Difference {
        let change = |vocabulary: Vocabulary| {
            vocabulary.count(self.after).cast_signed() - vocabulary.count(self.before).cast_signed()
        };
        Difference {
            o200k: change(Vocabulary::O200k),
            cl100k: change(Vocabulary::Cl100k),
        }
    }
}

#[inline]
fn count_pieces(text: &str, table: &table::Table, piece: impl Fn(&str, usize) -> usize) -> usize {
    let (mut tokens, mut at) = (0, 0);
    while at < text.len() {
        let end = piece(text, at);
        tokens += merge::count(table, text.as_bytes(), at, end);
        at = end;
    }
    tokens
}
