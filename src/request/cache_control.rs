//! What a client's `Cache-Control` demands (RFC 9111 section 5.2.1).

use std::time::Duration;

use http::{HeaderMap, header};

/// The request directives that the cache honours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheControl {
    /// Ask the upstream, whatever is stored.
    pub no_cache: bool,
    /// Neither answer from the cache nor keep the answer.
    pub no_store: bool,
    /// Answer from the cache or not at all.
    pub only_if_cached: bool,
    /// Take no answer that has been stored for longer.
    pub max_age: Option<Duration>,
}

impl CacheControl {
    /// Reads the header's fields; unknown directives are ignored, as RFC 9111 asks.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let values = headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .filter_map(|v| v.to_str().ok());
        for directive in values.flat_map(|value| value.split(',')) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-cache" => control.no_cache = true,
                "no-store" => control.no_store = true,
                "only-if-cached" => control.only_if_cached = true,
                "max-age" => {
                    // An argument that cannot be read counts as the strictest one.
                    let argument = argument.trim().trim_matches('"');
                    let huge = !argument.is_empty() && argument.bytes().all(|b| b.is_ascii_digit());
                    let seconds =
                        argument
                            .parse()
                            .unwrap_or(if huge { u64::from(u32::MAX) } else { 0 });
                    let age = Duration::from_secs(seconds);
                    control.max_age = Some(control.max_age.map_or(age, |known| known.min(age)));
                }
                _ => {}
            }
        }
        control
    }

    /// Whether an answer of that age may be given.
    pub fn accepts(&self, age: Duration) -> bool {
        !self.no_cache && !self.no_store && self.max_age.is_none_or(|max| age <= max)
    }

    /// Whether the client wants an answer made for it alone.
    pub fn is_bypass(&self) -> bool {
        self.no_cache || self.no_store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> CacheControl {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, value.parse().unwrap());
        }
        CacheControl::from_headers(&headers)
    }

    #[test]
    fn reads_all_directives_however_they_are_written() {
        assert_eq!(of(&[]), CacheControl::default());
        assert!(of(&["No-Cache"]).no_cache);
        assert!(of(&["max-age=5 , no-store"]).no_store);
        assert!(of(&["foo", "only-if-cached"]).only_if_cached);
        assert_eq!(
            of(&["max-age=\"60\""]).max_age,
            Some(Duration::from_mins(1))
        );
        assert_eq!(
            of(&["max-age=60", "max-age=9"]).max_age,
            Some(Duration::from_secs(9))
        );
        assert_eq!(of(&["max-age=soon"]).max_age, Some(Duration::ZERO));
        assert!(
            of(&["max-age=99999999999999999999999"]).max_age.unwrap() > Duration::from_hours(1)
        );
    }

    #[test]
    fn accepts_by_age() {
        assert!(of(&[]).accepts(Duration::from_secs(1_000_000)));
        assert!(of(&["max-age=5"]).accepts(Duration::from_secs(5)));
        assert!(!of(&["max-age=5"]).accepts(Duration::from_millis(5_001)));
        assert!(!of(&["no-cache"]).accepts(Duration::ZERO));
    }
}
