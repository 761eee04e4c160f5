//! Says for every line of a text whether it is prose, so that every rule works on the same reading
//! of the text.

use super::{blocks, code, gaps::Gaps, lines::Line, look, look::Look};

/// What each line is, after its neighbours have had their say.
pub(super) struct Layout {
    pub(super) looks: Vec<Look>,
    /// The gaps of prose lines.
    pub(super) gaps: Vec<Option<Box<Gaps>>>,
}

// === impl Layout ===

impl Layout {
    /// `None` if the text is mostly code or data: the few sentences in it are then not worth the
    /// doubt.
    pub(super) fn of(text: &str, lines: &[Line]) -> Option<Self> {
        let inside = blocks::find(text, lines);
        let looks = lines
            .iter()
            .zip(&inside)
            .map(|(line, inside)| match inside {
                true => Look::Raw,
                false if line.is_blank() => Look::Prose,
                false => look::of(text, line),
            });
        let mut layout = Self {
            looks: looks.collect(),
            gaps: Vec::with_capacity(lines.len()),
        };
        for (line, look) in lines.iter().zip(&layout.looks) {
            layout.gaps.push(if *look == Look::Prose {
                Gaps::of(text, line)
            } else {
                None
            });
        }
        let mut from = 0;
        for paragraph in lines.chunk_by(|a, b| a.is_blank() == b.is_blank()) {
            if !paragraph[0].is_blank() {
                layout.settle(text, paragraph, from);
            }
            from += paragraph.len();
        }
        // Blocks have a clear edge and say nothing about the sentences around them.
        let outside = lines.iter().zip(&inside).zip(&layout.looks);
        let outside = outside.filter(|((line, inside), _)| !line.is_blank() && !**inside);
        let (mut written, mut raw) = (0, 0);
        for (_, look) in outside {
            written += 1;
            raw += usize::from(*look == Look::Raw);
        }
        (raw * 10 <= written * 6).then_some(layout)
    }

    /// Settles one paragraph, whose first line is number `from`.
    fn settle(&mut self, text: &str, paragraph: &[Line], from: usize) {
        let to = from + paragraph.len();
        for at in from + 1..to {
            let (Some(gaps), Some(above)) = (&self.gaps[at], &self.gaps[at - 1]) else {
                continue;
            };
            if gaps.aligns_with(above) {
                self.looks[at - 1..=at].fill(Look::Raw);
            }
        }
        let looks = &mut self.looks[from..to];
        let raw = looks.iter().filter(|look| **look == Look::Raw).count();
        let entries = || {
            paragraph
                .iter()
                .filter(|line| code::is_entry(line.body(text)))
                .count()
        };
        if raw * 3 >= looks.len() || looks.len() >= 3 && entries() * 3 >= looks.len() * 2 {
            looks.fill(Look::Raw);
        } else if raw > 0 {
            for at in 0..looks.len() {
                let beside = [at.wrapping_sub(1), at + 1];
                if beside
                    .iter()
                    .any(|near| looks.get(*near) == Some(&Look::Raw))
                {
                    looks[at] = looks[at].max(Look::Kept);
                }
            }
        } else if is_verse(text, paragraph) {
            for look in looks {
                *look = (*look).max(Look::Verse);
            }
        }
    }
}

/// Three or more short lines, no list, of which most do not end as sentences do.
fn is_verse(text: &str, paragraph: &[Line]) -> bool {
    let is_short = |line: &Line| {
        let begins_item = |c: char| c.is_ascii_digit() || "-*+#•".contains(c);
        line.end - line.body < 60 && !line.body(text).starts_with(begins_item)
    };
    let ends = |line: &&Line| line.body(text).ends_with(['.', '!', '?', ':', ';']);
    paragraph.len() >= 3
        && paragraph.iter().all(is_short)
        && paragraph.iter().filter(ends).count() * 2 <= paragraph.len()
}
