//! What can go wrong with the database, by what is to be done then.

use std::error::Error as _;
use std::fmt;

use tokio::time::error::Elapsed;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why something could not be done, in one line that holds nothing of what was to be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server will never take it as it is.
    Refused(String),
    /// Somebody else was in the way: at another time it may be done.
    Clash(String),
    /// The connection is of no use any more. What was under way may have been done, or not.
    Away(String),
}

impl Trouble {
    /// The server took too long.
    pub(super) fn slow(_: Elapsed) -> Self {
        Self::Away("the server does not answer in time".to_owned())
    }

    /// Whether it is but the consequence of an earlier one.
    pub(super) fn is_consequence(error: &Error) -> bool {
        error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let Some(told) = error.as_db_error() else {
            return Self::Away(whole(&error));
        };
        // Not its details: they quote what was to be entered.
        let code = told.code().code();
        let what = format!("{} (SQLSTATE {code})", told.message());
        match &code[..2] {
            // Data that it cannot hold, that breaks a rule, or that is too much.
            "22" | "23" | "54" => Self::Refused(what),
            // Deadlocks and the like.
            "40" => Self::Clash(what),
            _ if *told.code() == SqlState::LOCK_NOT_AVAILABLE => Self::Clash(what),
            _ => Self::Away(what),
        }
    }
}

impl From<rustls::Error> for Trouble {
    fn from(error: rustls::Error) -> Self {
        Self::Away(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(what) | Self::Clash(what) | Self::Away(what)) = self;
        f.write_str(what)
    }
}

/// An error with its causes.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say their cause themselves.
        if !text.contains(&more) {
            text = text + ": " + &more;
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
