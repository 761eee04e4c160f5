//! Decides which texts are accepted for the places where answers are kept.

use std::path::PathBuf;

use crate::metering::ledger::Place;
use crate::store::directory;

/// A file that can be written; empty is none.
pub(in crate::config) fn snapshot(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(text);
    // A directory, but also a device or a pipe, which would be replaced.
    if path.file_name().is_none() || path.exists() && !path.is_file() {
        return Err("expected the path of a file, not of a directory or a device".to_owned());
    }
    if !directory(&path).is_dir() {
        return Err("expected the path of a file in a directory that exists".to_owned());
    }
    Ok(Some(path))
}

/// Where the ledger is: a file, the memory of the process, or nowhere.
pub(in crate::config) fn ledger(text: &str) -> Result<Option<Place>, String> {
    match text {
        "" | "off" => Ok(None),
        ":memory:" => Ok(Some(Place::Memory)),
        path => Ok(snapshot(path)?.map(Place::File)),
    }
}

/// A part of a Redis key: no character that separates parts or that a pattern interprets.
pub(in crate::config) fn namespace(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, dots, dashes and underscores".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_files_in_directories_that_exist() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("answers");
        assert_eq!(snapshot(""), Ok(None));
        assert_eq!(snapshot(file.to_str().unwrap()), Ok(Some(file)));
        assert_eq!(snapshot("answers"), Ok(Some("answers".into())));
        for text in [
            "/",
            "/dev/null",
            "..",
            directory.path().to_str().unwrap(),
            "/no/such/file",
        ] {
            assert!(snapshot(text).is_err(), "{text}");
        }
    }

    #[test]
    fn namespaces_have_no_wildcards() {
        assert!(namespace("team-a.prod_2").is_ok());
        for text in ["", "a:b", "a*", "a b", "{a}", &"a".repeat(65)] {
            assert!(namespace(text).is_err(), "{text}");
        }
    }
}
