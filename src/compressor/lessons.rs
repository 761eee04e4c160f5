//! What was learned on a service's own traffic: shorter texts that an operator approved, and rules that never pay there.
//!
//! A text is replaced where it stands byte for byte as it was approved, in the words of the same role, and only where that
//! lowers the token counts, as with every edit. One set of lessons never changes: what comes out stays a pure function of
//! the text, the role, the level and the set.

use std::hash::{Hash, Hasher};
use std::{collections::HashMap, fmt, ops::Range};

use aho_corasick::AhoCorasick;
use foldhash::fast::RandomState;
use sha2::{Digest as _, Sha256};

use super::{
    Role,
    document::{About, Document},
    edit::Edit,
    kind::Kind,
    phases::sentences,
    rule::Rule,
    spans,
    survey::{paragraphs, split},
};

pub use lesson::{Lesson, Refused, Unit, UnknownUnit};
pub use skips::Skips;

mod lesson;
mod skips;
#[cfg(test)]
mod tests;

/// A set of lessons.
pub struct Lessons {
    /// Names the set: equal sets have equal digests, on every machine.
    digest: u64,
    texts: HashMap<Box<str>, Vec<Shorter>, RandomState>,
    /// The lengths of the texts, a bit for each of the last six bits: most texts are known by it to be no others.
    lengths: u64,
    units: [bool; 3],
    phrases: Option<AhoCorasick>,
    skips: Skips,
    count: usize,
}

/// Whose text is replaced, as what, and by what.
type Shorter = (Role, Unit, Box<str>);

// === impl Lessons ===

impl Lessons {
    /// These lessons, and rules that are not tried in lines of some kinds.
    pub fn new(mut lessons: Vec<Lesson>, skips: Skips) -> Self {
        lessons.sort_unstable();
        lessons.dedup();
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        for (rule, kinds) in Rule::ALL
            .iter()
            .zip(skips.bits())
            .filter(|(_, kinds)| *kinds > 0)
        {
            part(rule.as_str().as_bytes());
            part(&kinds.to_le_bytes());
        }
        let mut found = Self {
            digest: 0,
            texts: HashMap::default(),
            lengths: 0,
            units: [false; 3],
            phrases: None,
            skips,
            count: lessons.len(),
        };
        let phrases = lessons.iter().filter(|lesson| lesson.unit == Unit::Phrase);
        let phrases: Vec<_> = phrases.map(|lesson| &*lesson.text).collect();
        // More than it can hold is no set that people approved one by one.
        found.phrases = (!phrases.is_empty())
            .then(|| AhoCorasick::new(&phrases).ok())
            .flatten();
        for lesson in lessons {
            let names = [lesson.role.as_str(), lesson.unit.as_str()];
            for bytes in names.into_iter().chain([&*lesson.text, &*lesson.with]) {
                part(bytes.as_bytes());
            }
            found.lengths |= 1 << (lesson.text.len() % 64);
            found.units[lesson.unit as usize] = true;
            let known = found.texts.entry(lesson.text).or_default();
            known.push((lesson.role, lesson.unit, lesson.with));
        }
        let digest: [u8; 32] = digest.finalize().into();
        found.digest = digest
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        found
    }

    /// A name for the set.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many texts it has shorter ones for.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many rules are left out in how many kinds: pairs of the two.
    pub fn skipped(&self) -> usize {
        self.skips.count()
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.skips.is_empty()
    }

    /// Rules that are not tried in lines of some kinds, if there are any.
    pub(super) fn skips(&self) -> Option<&Skips> {
        (!self.skips.is_empty()).then_some(&self.skips)
    }

    /// The lessons that a text which `role` said has a place for: as what, the text that would be replaced, and by what. More
    /// than once where it stands there more than once.
    pub fn known<'l>(&'l self, text: &str, role: Role) -> Vec<(Unit, &'l str, &'l str)> {
        if !self.may_apply(text, role) {
            return Vec::new();
        }
        let document = Document::of(text, role);
        let found = self.places(&document, role).into_iter();
        found
            .map(|(_, unit, before, with)| (unit, before, with))
            .collect()
    }

    /// Whether a text could have a place for a lesson; a scan.
    pub(super) fn may_apply(&self, text: &str, role: Role) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        let [texts, parts, _] = self.units;
        texts && self.find(text, role, Unit::Text).is_some()
            || parts
                && paragraphs(text)
                    .into_iter()
                    .any(|at| self.find(&text[at], role, Unit::Paragraph).is_some())
            || self
                .phrases
                .as_ref()
                .is_some_and(|phrases| phrases.is_match(text))
    }

    /// The edits that put the shorter texts in their places.
    pub(super) fn propose(&self, document: &Document<'_>, role: Role) -> Vec<Edit> {
        let places = self.places(document, role).into_iter();
        let edit = |(at, _, _, with): (Range<usize>, Unit, &str, &str)| Edit {
            at,
            with: with.to_owned().into(),
            rule: Rule::Learned,
        };
        places.map(edit).collect()
    }

    /// Where lessons apply: all of the text, else its paragraphs, else its sentences.
    fn places(&self, document: &Document<'_>, role: Role) -> Vec<(Range<usize>, Unit, &str, &str)> {
        let text = document.text;
        // What a person brings along may be what they ask about.
        if role == Role::User && document.about != About::Nothing {
            return Vec::new();
        }
        if let Some((before, with)) = self.find(text, role, Unit::Text) {
            return vec![(0..text.len(), Unit::Text, before, with)];
        }
        let mut places = Vec::new();
        for at in if self.units[Unit::Paragraph as usize] {
            paragraphs(text)
        } else {
            Vec::new()
        } {
            let found = self.find(&text[at.clone()], role, Unit::Paragraph);
            if let Some((before, with)) = found
                && !is_within_a_block(document, &at)
                && (role != Role::User || is_said(document, &at))
            {
                places.push((at, Unit::Paragraph, before, with));
            }
        }
        if places.is_empty() && self.phrases.is_some() {
            for line in sentences(document) {
                for at in split(text, line.clone()) {
                    if let Some((before, with)) = self.find(&text[at.clone()], role, Unit::Phrase)
                        && !is_within_marks(text, &line, &at)
                        && let Some(at) = with_its_blanks(document, &line, at, with)
                    {
                        places.push((at, Unit::Phrase, before, with));
                    }
                }
            }
        }
        places
    }

    fn find(&self, text: &str, role: Role, unit: Unit) -> Option<(&str, &str)> {
        if self.lengths & 1 << (text.len() % 64) == 0 {
            return None;
        }
        let (known, all) = self.texts.get_key_value(text)?;
        let mut all = all.iter();
        let (_, _, with) = all.find(|(of, by, _)| (*of, *by) == (role, unit))?;
        Some((known, with))
    }
}

/// Whether a paragraph stands within what is no speech: code, data, a quotation. Blank lines within such a block are of its
/// kind; what the paragraph looks like by itself was seen by whoever approved it.
fn is_within_a_block(document: &Document<'_>, at: &Range<usize>) -> bool {
    let (first, last) = (
        document.line_at(at.start),
        document.line_at(at.end.max(1) - 1),
    );
    let beside = [first.checked_sub(1), Some(last + 1)];
    let mut beside = beside
        .into_iter()
        .flatten()
        .filter_map(|near| document.kinds.get(near));
    let own = &document.kinds[first..=last];
    beside.any(|kind| match kind {
        Kind::Blank => false,
        // Between tags there may be sentences, but not where white space counts.
        Kind::Markup => own.contains(&Kind::Markup),
        _ => true,
    })
}

/// Whether a sentence stands within a quotation, code or tags on its line.
fn is_within_marks(text: &str, line: &Range<usize>, at: &Range<usize>) -> bool {
    let own = at.start - line.start..at.end - line.start;
    let is_around = |span: &Range<usize>| {
        let touches = span.start < own.end && own.start < span.end;
        touches && !(own.start <= span.start && span.end <= own.end)
    };
    let body = &text[line.clone()];
    if spans::of(body).iter().any(|(span, _)| is_around(span)) {
        return true;
    }
    let before = body[..own.start].to_ascii_lowercase();
    let after = body[own.end..].to_ascii_lowercase();
    let mut closed = after.split("</").skip(1);
    closed.any(|rest| {
        let name = rest.split('>').next().unwrap_or_default().trim_end();
        !name.is_empty() && before.contains(&format!("<{name}"))
    })
}

/// Whether a person says it themselves, as far as can be seen: no quotation, no demonstration.
fn is_said(document: &Document<'_>, at: &Range<usize>) -> bool {
    let lines = document.line_at(at.start)..=document.line_at(at.end.max(1) - 1);
    let kinds = &document.kinds[lines];
    !kinds
        .iter()
        .any(|kind| matches!(kind, Kind::Example | Kind::Quote | Kind::Fence | Kind::Diff))
}

/// A sentence with the blanks that would be left over when it goes; `None` where it is all that its line says, and other
/// lines would close up.
fn with_its_blanks(
    document: &Document<'_>,
    line: &Range<usize>,
    at: Range<usize>,
    with: &str,
) -> Option<Range<usize>> {
    if !with.is_empty() {
        return Some(at);
    }
    if at == *line {
        let number = document.line_at(at.start);
        let beside = [number.checked_sub(1), Some(number + 1)];
        let mut beside = beside.into_iter().flatten();
        let is_alone = |near| {
            document
                .kinds
                .get(near)
                .is_none_or(|kind| *kind == Kind::Blank)
        };
        return beside.all(is_alone).then_some(at);
    }
    let text = document.text;
    let after = text[at.end..line.end].len() - text[at.end..line.end].trim_start_matches(' ').len();
    if after > 0 {
        return Some(at.start..at.end + after);
    }
    let before = text[line.start..at.start].trim_end_matches(' ').len();
    Some(line.start + before..at.end)
}

impl Hash for Lessons {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for Lessons {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Lessons {}

impl fmt::Debug for Lessons {
    /// Not the texts, which are other people's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lessons({:016x})", self.digest)
    }
}
