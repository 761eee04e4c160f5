//! What sums are grouped by, and how its keys are shown.

use jiff::Timestamp;

/// What sums are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Days, in UTC.
    Day,
    /// Hours.
    Hour,
    /// The model that was asked.
    Model,
    /// Whose requests they are.
    Caller,
    /// Whom their clients attribute them to.
    User,
    /// The endpoint.
    Endpoint,
    /// Where the answers came from.
    Source,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Day,
        Self::Hour,
        Self::Model,
        Self::Caller,
        Self::User,
        Self::Endpoint,
        Self::Source,
    ];

    /// Its name in requests and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Model => "model",
            Self::Caller => "caller",
            Self::User => "user",
            Self::Endpoint => "endpoint",
            Self::Source => "source",
        }
    }

    /// The expression that it is in SQL.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Day => "hour - hour % 86400000",
            Self::User => "\"user\"",
            other => other.as_str(),
        }
    }

    /// Makes a key one for people.
    pub(super) fn show(self, key: &mut String) {
        let format = match self {
            Self::Day => "%Y-%m-%d",
            Self::Hour => "%Y-%m-%dT%H:%M:%SZ",
            _ => return,
        };
        let time = key
            .parse()
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        if let Some(time) = time {
            *key = time.strftime(format).to_string();
        }
    }
}
