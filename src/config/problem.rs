//! What is wrong with a configuration, told so that the operator can mend it without reading code.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, built into the binary.
    Default,
    /// The `--config` file.
    File(PathBuf),
    /// An environment variable, by its name.
    Environment(String),
    /// A command line option.
    Option(&'static str),
    /// Lowered with another setting that the operator lowered, by that one's key.
    Follows(&'static str),
    /// Without effect beside another setting, by that one's key.
    SetAside(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            // A control character in a path must not break out of its line.
            Self::File(path) => write!(f, "file {}", path.to_string_lossy().escape_debug()),
            Self::Environment(name) => {
                write!(f, "environment variable {}", name.escape_debug())
            }
            Self::Option(name) => write!(f, "command line option {name}"),
            Self::Follows(key) => write!(f, "lowered to {key}"),
            Self::SetAside(key) => write!(f, "not used: {key} is set"),
        }
    }
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, such as `server.listen`, or the name that is no setting.
    pub key: String,
    /// The value as TOML, secrets masked; `None` where there is none or it must not be shown.
    pub given: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is accepted instead.
    pub accepted: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(given) = &self.given {
            write!(f, " = {given}")?;
        }
        write!(f, " ({}): {}", self.origin, self.accepted)
    }
}

/// Everything that is wrong, at least one thing; one a line when displayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// The candidate that `name` is most likely a slip of, if any is near.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.chars().count() / 4).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between two names.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    // A name is a few words; bounding it keeps the table small whatever a file holds.
    if left.len() > 100 || right.len() > 100 {
        return usize::MAX;
    }
    let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = table[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let mut best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                    best = best.min(table[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    table[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let names = ["server.listen", "server.max_in_flight", "cache.ttl"];
        assert_eq!(nearest("server.lisen", names), Some("server.listen"));
        assert_eq!(
            nearest("server.maxinflight", names),
            Some("server.max_in_flight")
        );
        assert_eq!(nearest("cache.tlt", names), Some("cache.ttl"));
        assert_eq!(nearest("cache.colour", names), None);
        assert_eq!(nearest(&"x".repeat(5000), names), None);
    }
}
