//! What a character is to the patterns that cut a request's text into pieces.

use super::table::{CLASS_BLOCKS, CLASS_INDEX};

/// The class of a character; none has two. The build script numbers them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Whatever none of the others is: punctuation, signs, controls.
    Other,
    /// A letter in upper or title case.
    Upper,
    /// A letter in lower case.
    Lower,
    /// A letter without case, or a modifier.
    Caseless,
    /// A combining mark.
    Mark,
    /// A digit, or another number.
    Number,
    /// White space other than line ends.
    Blank,
    /// A carriage return or a line feed.
    LineEnd,
}

impl Class {
    /// Whether the patterns call it `\p{L}`.
    pub(super) const fn is_letter(self) -> bool {
        matches!(self, Self::Upper | Self::Lower | Self::Caseless)
    }

    /// Whether the patterns call it `\s`.
    pub(super) const fn is_space(self) -> bool {
        matches!(self, Self::Blank | Self::LineEnd)
    }

    /// Whether the patterns call it `[^\s\p{L}\p{N}]`.
    pub(super) const fn is_sign(self) -> bool {
        matches!(self, Self::Other | Self::Mark)
    }

    /// Whether the patterns call it `[^\r\n\p{L}\p{N}]`: it may stand before a word.
    pub(super) const fn is_lead(self) -> bool {
        matches!(self, Self::Other | Self::Mark | Self::Blank)
    }

    /// Whether the o200k pattern takes it among a word's first, upper part.
    pub(super) const fn is_upper_part(self) -> bool {
        matches!(self, Self::Upper | Self::Caseless | Self::Mark)
    }

    /// Whether the o200k pattern takes it among a word's last, lower part.
    pub(super) const fn is_lower_part(self) -> bool {
        matches!(self, Self::Lower | Self::Caseless | Self::Mark)
    }

    const fn numbered(number: u8) -> Self {
        match number {
            1 => Self::Upper,
            2 => Self::Lower,
            3 => Self::Caseless,
            4 => Self::Mark,
            5 => Self::Number,
            6 => Self::Blank,
            7 => Self::LineEnd,
            _ => Self::Other,
        }
    }
}

/// The classes of the characters of one byte.
static ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = Class::numbered(CLASS_BLOCKS[CLASS_INDEX[0] as usize * 256 + byte]);
        byte += 1;
    }
    classes
};

/// The class of the character that starts at byte `at`, and its length in bytes; none at the text's end.
#[inline]
pub(super) fn class_at(text: &str, at: usize) -> Option<(Class, usize)> {
    let &byte = text.as_bytes().get(at)?;
    match ASCII.get(usize::from(byte)) {
        Some(&class) => Some((class, 1)),
        None => beyond_ascii(text, at),
    }
}

#[inline(never)]
fn beyond_ascii(text: &str, at: usize) -> Option<(Class, usize)> {
    let character = text.get(at..)?.chars().next()?;
    Some((class_of(character), character.len_utf8()))
}

/// The class of a character.
pub(super) fn class_of(character: char) -> Class {
    let code = u32::from(character) as usize;
    let block = CLASS_INDEX.get(code >> 8).copied().map_or(0, usize::from);
    let class = CLASS_BLOCKS.get(block << 8 | code & 0xff).copied();
    class.map_or(Class::Other, Class::numbered)
}
