//! Which entry a model's name means. Exactly as listed first; then by rules that hold for every name of that
//! form, so that none is guessed.

use std::ops::Range;

/// `OpenRouter`'s suffixes that choose among the hosts of a model or how it is moderated: `:nitro` by speed,
/// `:floor` by price, `:exacto` by how well tools are called. The model and its list price stay the same.
/// `:online` is none of them: it adds a search with a price of its own.
const ROUTING: [&str; 4] = ["nitro", "floor", "exacto", "beta"];

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// The entry found.
    Listed(T),
    /// `OpenRouter`'s free variant, of a model that is listed or not.
    Free(Option<T>),
}

/// Looks a name up: as it is, without the date of a snapshot, without a routing suffix. Snapshots that cost
/// something else than their model are listed by themselves. Names are compared in lower case.
pub(super) fn find<T>(name: &str, listed: impl Fn(&str) -> Option<T>) -> Option<Found<T>> {
    let lower;
    let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        lower = name.to_ascii_lowercase();
        &lower
    } else {
        name
    };
    let found = |name: &str| listed(name).or_else(|| listed(undated(name)?));
    if let Some(entry) = found(name) {
        return Some(Found::Listed(entry));
    }
    let (base, suffix) = name.rsplit_once(':')?;
    match suffix {
        // Only with a provider before the name: elsewhere a suffix is a tag, as in llama3:free.
        "free" if base.contains('/') => Some(Found::Free(found(base))),
        _ if ROUTING.contains(&suffix) => found(base).map(Found::Listed),
        _ => None,
    }
}

/// A name without the date of its snapshot: `-2024-08-06` (`OpenAI`), `-20250929` (Anthropic, `OpenRouter`) or
/// `@20250929` (Vertex AI).
fn undated(name: &str) -> Option<&str> {
    let ends_in = |length: usize| {
        let (rest, date) = name.split_at_checked(name.len().checked_sub(length)?)?;
        date.is_ascii().then_some((rest, date))
    };
    if let Some((rest, date)) = ends_in("-2024-08-06".len())
        && let [b'-', _, _, _, _, b'-', _, _, b'-', _, _] = date.as_bytes()
        && is_date(&date[1..5], &date[6..8], &date[9..])
    {
        return Some(rest);
    }
    let (rest, date) = ends_in("-20240806".len())?;
    let separated = date.starts_with(['-', '@']);
    (separated && is_date(&date[1..5], &date[5..7], &date[7..])).then_some(rest)
}

fn is_date(year: &str, month: &str, day: &str) -> bool {
    let lies_in = |text: &str, range: Range<u32>| {
        text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse().is_ok_and(|number| range.contains(&number))
    };
    lies_in(year, 2020..2100) && lies_in(month, 1..13) && lies_in(day, 1..32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_its_model() {
        for (name, model) in [
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
            ("claude-sonnet-4@20250514", Some("claude-sonnet-4")),
            ("gpt-4-0613", None),
            ("grok-4-0709", None),
            ("m-2024-13-06", None),
            ("m-2024-00-06", None),
            ("m-2024-08-32", None),
            ("m-1024-08-06", None),
            ("m-20250929", Some("m")),
            ("m-20251332", None),
            ("m_20250929", None),
            ("m-2024x08-06", None),
            ("m-+2-4-08-06", None),
            ("20250929", None),
            ("x", None),
            ("", None),
            ("é-2024-08-06", Some("é")),
            ("é2024é08é06", None),
            ("€€€€€€€€", None),
        ] {
            assert_eq!(undated(name), model, "{name}");
        }
    }

    #[test]
    fn only_known_suffixes_are_dropped() {
        let listed = |name: &str| {
            ["o/m", "o/m:extended", "m", "o/m-2024-05-13"]
                .into_iter()
                .find(|listed| *listed == name)
        };
        for (name, found) in [
            ("o/m", Some(Found::Listed("o/m"))),
            ("O/M", Some(Found::Listed("o/m"))),
            ("o/m:nitro", Some(Found::Listed("o/m"))),
            ("o/m-2024-08-06:floor", Some(Found::Listed("o/m"))),
            (
                "o/m-2024-05-13:floor",
                Some(Found::Listed("o/m-2024-05-13")),
            ),
            ("o/m:extended", Some(Found::Listed("o/m:extended"))),
            ("o/m:free", Some(Found::Free(Some("o/m")))),
            ("o/x:free", Some(Found::Free(None))),
            ("m:free", None),
            ("o/m:online", None),
            ("o/m:thinking", None),
            ("o/m:nitro:nitro", None),
            ("o/x", None),
            ("o/x:nitro", None),
            (":nitro", None),
            ("", None),
        ] {
            assert_eq!(find(name, listed), found, "{name}");
        }
    }
}
