//! The cache reads no clock that can be set: all its times are those of tokio's, which is monotonic.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file at or below a path.
fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
    }
    for entry in fs::read_dir(path).into_iter().flatten() {
        sources(&entry.unwrap().path(), found);
    }
}

#[test]
fn the_clock_on_the_wall_is_read_for_the_snapshot_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for part in ["store", "store.rs", "layers", "request", "request.rs"] {
        sources(&src.join(part), &mut found);
    }
    assert!(found.len() > 30, "{found:?}");
    let own = Path::new(file!()).file_name();
    let readers: Vec<_> = found
        .iter()
        .filter(|path| path.file_name() != own)
        .filter(|path| {
            fs::read_to_string(path)
                .unwrap()
                .contains("SystemTime::now")
        })
        .map(|path| path.strip_prefix(&src).unwrap().to_str().unwrap())
        .collect();
    // The breaker tells operators when a call failed last; Retry-After can be a date.
    let expected = [
        "layers/breaker/circuit.rs",
        "layers/retry.rs",
        "store/snapshot/moment.rs",
    ];
    let mut sorted = readers.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
}
