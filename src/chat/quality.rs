//! What kind of complete answer one is, and which kinds may be given to others.

/// What kind of complete answer one is, from the best to the worst. Of several choices the worst one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Quality {
    /// Finished text.
    Stop,
    /// Finished, with calls that a client can carry out.
    ToolCalls,
    /// Cut off at the limit of tokens.
    Length,
    /// Cut off or withheld by the provider's filter.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// Finished without saying anything.
    Empty,
    /// Calls without a name or with arguments that are no JSON, or a promise of calls without any.
    BrokenToolCalls,
    /// Its text holds half a character, which was mended: not what the model wrote.
    Mended,
    /// A `finish_reason` or content of a kind that nobody here knows.
    #[default]
    Unknown,
    /// Without a `finish_reason`.
    Unfinished,
}

/// The kinds of answers that are kept and given to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admit(u8);

// === impl Quality ===

impl Quality {
    /// All kinds, the best first.
    pub const ALL: [Self; 10] = [
        Self::Stop,
        Self::ToolCalls,
        Self::Length,
        Self::ContentFilter,
        Self::Refusal,
        Self::Empty,
        Self::BrokenToolCalls,
        Self::Mended,
        Self::Unknown,
        Self::Unfinished,
    ];

    /// Those that may be kept where the operator says so; the others never are.
    pub const ADMISSIBLE: [Self; 5] = [
        Self::Stop,
        Self::ToolCalls,
        Self::Length,
        Self::ContentFilter,
        Self::Refusal,
    ];

    /// Its name in settings and statistics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::Empty => "empty",
            Self::BrokenToolCalls => "broken_tool_calls",
            Self::Mended => "mended",
            Self::Unknown => "unknown",
            Self::Unfinished => "unfinished",
        }
    }
}

// === impl Admit ===

impl Admit {
    /// Whether answers of this kind are kept.
    pub const fn has(self, quality: Quality) -> bool {
        self.0 & bit(quality) != 0
    }
}

impl Default for Admit {
    /// Finished answers alone.
    fn default() -> Self {
        Self(bit(Quality::Stop) | bit(Quality::ToolCalls))
    }
}

impl FromIterator<Quality> for Admit {
    /// Of these kinds, those that may be kept at all.
    fn from_iter<I: IntoIterator<Item = Quality>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | bit(kind)))
    }
}

/// Its place in an [`Admit`]; kinds that are never kept have none.
const fn bit(quality: Quality) -> u8 {
    match quality {
        Quality::Stop => 1,
        Quality::ToolCalls => 1 << 1,
        Quality::Length => 1 << 2,
        Quality::ContentFilter => 1 << 3,
        Quality::Refusal => 1 << 4,
        Quality::Empty
        | Quality::BrokenToolCalls
        | Quality::Mended
        | Quality::Unknown
        | Quality::Unfinished => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_answers_alone_are_kept_by_default() {
        let kept: Vec<_> = Quality::ALL
            .into_iter()
            .filter(|kind| Admit::default().has(*kind))
            .collect();
        assert_eq!(kept, [Quality::Stop, Quality::ToolCalls]);
    }

    #[test]
    fn what_may_never_be_kept_cannot_be_admitted() {
        let all: Admit = Quality::ALL.into_iter().collect();
        for kind in Quality::ALL {
            assert_eq!(
                all.has(kind),
                Quality::ADMISSIBLE.contains(&kind),
                "{kind:?}"
            );
            let alone: Admit = [kind].into_iter().collect();
            assert_eq!(alone.has(kind), all.has(kind));
            assert!(
                !Quality::ALL
                    .iter()
                    .any(|other| *other != kind && alone.has(*other))
            );
        }
    }

    #[test]
    fn kinds_stand_in_their_order_and_have_names_of_their_own() {
        assert!(Quality::ALL.is_sorted());
        let names: std::collections::BTreeSet<_> =
            Quality::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Quality::ALL.len());
    }
}
