//! The first tier on disk, so that a restart on one machine finds what was there.
//!
//! The file is written beside its place and moved there when it is complete, and it is read only if its digest is
//! right: a torn or foreign one is ignored as a whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::{Generation, Memory};

use moment::Moment;

mod file;
mod moment;

/// Keeps a [`Memory`] in a file. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    path: Arc<Path>,
    memory: Memory,
    /// How long an answer is of any use.
    life: Duration,
    /// One at a time, in order: what a clear writes must not be replaced by what was there before it, and nothing
    /// is written over what has not been read yet.
    turn: Arc<Semaphore>,
    /// Whether it was said that something else is in its place.
    is_told: Arc<AtomicBool>,
}

impl Snapshot {
    /// Keeps `memory`, whose answers are of use for `life`, at `path`.
    pub fn new(path: PathBuf, memory: Memory, life: Duration) -> Self {
        Self {
            path: path.into(),
            memory,
            life,
            turn: Arc::new(Semaphore::new(1)),
            is_told: Arc::default(),
        }
    }

    /// Writes what is there now, and says whether that is done. A failure is logged: the answers are still in memory.
    pub async fn write(&self) -> bool {
        let written = self.in_turn(|this| this.write_at(&Moment::now())).await;
        match &written {
            Ok(entries) => tracing::debug!(entries, "snapshot written"),
            Err(error) => self.complain(error, "snapshot not written"),
        }
        written.is_ok()
    }

    /// Writes what a clear has left. Where that fails the file is taken away: better no answers after a crash than
    /// cleared ones.
    pub async fn write_cleared(&self) {
        if !self.write().await {
            let forget = |this: &Self| {
                this.spare_what_is_not_ours()?;
                std::fs::remove_file(&this.path)
                    .or_else(|_| File::options().write(true).open(&this.path)?.set_len(0))
            };
            if let Err(error) = self.in_turn(forget).await
                && error.kind() != io::ErrorKind::NotFound
            {
                self.complain(&error, "snapshot of before the clear not removed");
            }
        }
    }

    /// Reads what an earlier process wrote; what is in memory by then stays as it is.
    pub async fn read(&self) {
        let begun = self.memory.generation();
        let read = self.in_turn(move |this| this.read_at(&Moment::now(), begun));
        match read.await {
            Ok(entries) => tracing::info!(entries, "snapshot read"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.complain(&error, "snapshot ignored"),
        }
    }

    /// Once, where something else is in its place: that does not change by being tried again.
    fn complain(&self, error: &io::Error, what: &str) {
        let is_foreign = error.kind() == io::ErrorKind::AlreadyExists;
        if !(is_foreign && self.is_told.swap(true, Ordering::Relaxed)) {
            tracing::warn!(%error, path = %self.path.display(), "{what}");
        }
    }

    /// Waits until nobody works on the file: at the start, until it has been read.
    pub async fn settled(&self) {
        let _ = self.turn.acquire().await;
    }

    /// Works on the file when its turn comes, which lasts until the work is done: also if nobody waits for it any more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let this = self.clone();
        let done = spawn_blocking(move || {
            let _turn = turn;
            work(&this)
        });
        done.await.map_err(io::Error::other).flatten()
    }

    fn read_at(&self, now: &Moment, begun: Generation) -> io::Result<u64> {
        tidy(&self.path);
        self.spare_what_is_not_ours()?;
        let (entries, since) = file::open(&self.path, now)?;
        let mut restored = 0;
        for (fingerprint, value) in entries {
            let age = value.head.life.saturating_add(since);
            if age <= self.life {
                let entry = Arc::new(value.into_entry(age));
                restored += u64::from(self.memory.restore(fingerprint, entry, begun));
            }
        }
        Ok(restored)
    }

    fn write_at(&self, now: &Moment) -> io::Result<usize> {
        self.spare_what_is_not_ours()?;
        let beside = beside(&self.path, std::process::id());
        // What a process of this number left there that was killed.
        let _ = std::fs::remove_file(&beside);
        let written = file::write(&beside, now, self.memory.entries());
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        let entries = written?;
        std::fs::rename(&beside, &self.path)?;
        // The new name, too, is to survive a loss of power.
        File::open(directory(&self.path))?.sync_all()?;
        Ok(entries)
    }

    /// Fails where a file is in the way that never was a snapshot: a slip in a path must not cost anybody theirs.
    fn spare_what_is_not_ours(&self) -> io::Result<()> {
        let other = || {
            let kind = io::ErrorKind::AlreadyExists;
            let error = io::Error::new(kind, "something else is in its place, which stays");
            Err(error)
        };
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            // A device or a pipe must not even be opened.
            Ok(metadata) if !metadata.is_file() => return other(),
            Ok(_) => {}
        }
        let mut beginning = Vec::new();
        let file = File::open(&self.path)?;
        file.take(file::NAME.len() as u64)
            .read_to_end(&mut beginning)?;
        // An empty one, or the beginning of one, is nobody's.
        if file::NAME.starts_with(&beginning) {
            return Ok(());
        }
        other()
    }
}

/// Where a process writes a file before it is complete: in the same directory, so that moving it is one step.
fn beside(path: &Path, process: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{process}.tmp"));
    path.with_file_name(name)
}

/// Removes what processes left that were killed while they wrote.
fn tidy(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for other in std::fs::read_dir(directory(path))
        .into_iter()
        .flatten()
        .flatten()
    {
        let file = other.file_name();
        let process = file
            .to_str()
            .and_then(|file| {
                file.strip_prefix(&*name)?
                    .strip_prefix('.')?
                    .strip_suffix(".tmp")
            })
            .and_then(|process| process.parse::<u32>().ok());
        if let Some(process) = process
            && !Path::new(&format!("/proc/{process}")).exists()
        {
            let _ = std::fs::remove_file(other.path());
        }
    }
}

/// The directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
