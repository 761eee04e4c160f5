//! Where the rule file and the statistics beside it are, and how several processes share them.
//!
//! Files are replaced in one step, so that whoever reads them sees all or nothing; whoever changes the rules holds a lock
//! from reading them to having written them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::book::{Book, Broken};
use super::statistics::Statistics;
use crate::store::directory;

/// The rule file and what stands beside it.
#[derive(Debug, Clone)]
pub struct Shelf {
    rules: PathBuf,
    /// The rules as this process changed them and could not write them, and the content of the file that they came from.
    unwritten: Arc<Mutex<Option<Unwritten>>>,
}

/// Rules that could not be written, and the content of the file that they came from.
type Unwritten = (Option<Stamp>, Book);

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    length: u64,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It cannot be read or written.
    #[error("{0}: {1}", path.display(), error)]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is something else in it.
    #[error("{0}, {1}", path.display(), broken)]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        broken: Broken,
    },
    /// There is something else in it.
    #[error("{0} holds no statistics of this version: {1}", path.display(), error)]
    Statistics {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
}

// === impl Shelf ===

impl Shelf {
    /// The rules are in this file, whether it is there yet or not.
    pub fn new(rules: PathBuf) -> Self {
        Self {
            rules,
            unwritten: Arc::default(),
        }
    }

    /// The rule file.
    pub fn path(&self) -> &Path {
        &self.rules
    }

    /// Which content the rule file has; `None` where there is none.
    pub fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.rules).ok()?;
        Some(Stamp {
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            length: metadata.len(),
        })
    }

    /// The rules; none where there is no file.
    pub fn read(&self) -> Result<Book, Trouble> {
        if let Some((stamp, book)) = &*self.unwritten.lock()
            && *stamp == self.stamp()
        {
            return Ok(book.clone());
        }
        let text = match fs::read_to_string(&self.rules) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
            Err(error) => return Err(trouble(&self.rules, error)),
        };
        Book::parse(&text).map_err(|broken| Trouble::Broken {
            path: self.rules.clone(),
            broken,
        })
    }

    /// Changes the rules while nobody else does; gives what `change` said, and what they are now. What did not change is
    /// not written.
    pub fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> Result<(T, Book), Trouble> {
        let lock = self.lock()?;
        let (said, book, is_changed) = self.edit(change)?;
        if is_changed {
            self.replace(&self.rules, book.write().as_bytes())?;
        }
        drop(lock);
        Ok((said, book))
    }

    /// The same for the service, which applies what it can read: where nothing can be written, what it changed is kept in
    /// memory for as long as the file stays what it is. Gives the trouble as well.
    pub(super) fn change_anyway<T>(
        &self,
        change: impl FnOnce(&mut Book) -> T,
    ) -> Result<(T, Book, Option<Trouble>), Trouble> {
        let lock = self.lock();
        let (said, book, is_changed) = self.edit(change)?;
        let written = lock.and_then(|lock| {
            if is_changed {
                self.replace(&self.rules, book.write().as_bytes())?;
            }
            drop(lock);
            Ok(())
        });
        let trouble = written.err();
        let kept = trouble.is_some().then(|| (self.stamp(), book.clone()));
        *self.unwritten.lock() = kept;
        Ok((said, book, trouble))
    }

    fn lock(&self) -> Result<File, Trouble> {
        let lock = self.rules.with_extension("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| trouble(&lock, error))?;
        self.belongs_with(&lock);
        file.lock().map_err(|error| trouble(&lock, error))?;
        Ok(file)
    }

    /// What `change` said, what the rules are then, and whether they are others.
    fn edit<T>(&self, change: impl FnOnce(&mut Book) -> T) -> Result<(T, Book, bool), Trouble> {
        let mut book = self.read()?;
        let before = book.clone();
        let said = change(&mut book);
        let is_changed = book != before;
        Ok((said, book, is_changed))
    }

    /// What the service has counted; nothing where there is no file.
    pub fn statistics(&self) -> Result<Statistics, Trouble> {
        let path = self.statistics_path();
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| Trouble::Statistics { path, error })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Statistics::default()),
            Err(error) => Err(trouble(&path, error)),
        }
    }

    /// Writes what was counted.
    pub fn keep(&self, statistics: &Statistics) -> Result<(), Trouble> {
        let path = self.statistics_path();
        let text = serde_json::to_vec(statistics).map_err(|error| Trouble::Statistics {
            path: path.clone(),
            error,
        })?;
        self.replace(&path, &text)
    }

    fn statistics_path(&self) -> PathBuf {
        self.rules.with_extension("stats.json")
    }

    fn replace(&self, path: &Path, text: &[u8]) -> Result<(), Trouble> {
        // A link stays one: what it leads to is replaced.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let path = &*real;
        let mut beside = path.to_path_buf().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                // What clients say is in it.
                .mode(0o600)
                .open(&beside)?;
            file.write_all(text)?;
            file.sync_all()?;
            if let Ok(known) = fs::metadata(path) {
                fs::set_permissions(&beside, known.permissions())?;
            }
            self.belongs_with(&beside);
            fs::rename(&beside, path)?;
            // The new name, too, is to survive a loss of power.
            File::open(directory(path))?.sync_all()
        };
        written().map_err(|error| {
            let _ = fs::remove_file(&beside);
            trouble(path, error)
        })
    }

    /// Gives a new file to whoever the rules belong to, else their directory: what root writes the service is to read.
    fn belongs_with(&self, path: &Path) {
        let known = fs::metadata(&self.rules).or_else(|_| fs::metadata(directory(&self.rules)));
        if let Ok(known) = known {
            // Whoever may not give files away needs not.
            let _ = chown(path, Some(known.uid()), Some(known.gid()));
        }
    }
}

fn trouble(path: &Path, error: io::Error) -> Trouble {
    Trouble::File {
        path: path.to_path_buf(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn rules_are_changed_in_one_step_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path().join("rules.toml"));
        assert_eq!(shelf.read().unwrap(), Book::default());
        assert_eq!(shelf.stamp(), None);
        let (said, book) = shelf
            .change(|book| std::mem::replace(&mut book.version, 7))
            .unwrap();
        assert_eq!((said, book.version), (0, 7));
        let stamp = shelf.stamp().unwrap();
        assert_eq!(shelf.read().unwrap(), book);
        // What stays is not written again.
        shelf.change(|_| ()).unwrap();
        assert_eq!(shelf.stamp(), Some(stamp));
        let mode = fs::metadata(shelf.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "the rules and their lock: {left:?}");
    }

    #[test]
    fn many_who_change_them_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path().join("rules.toml"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        shelf.change(|book| book.version += 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(shelf.read().unwrap().version, 100);
    }

    #[test]
    fn a_link_to_the_rules_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (
            directory.path().join("real.toml"),
            directory.path().join("link.toml"),
        );
        fs::write(&real, "version = 1\n").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let shelf = Shelf::new(link.clone());
        shelf.change(|book| book.version = 2).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Shelf::new(real).read().unwrap().version, 2);
    }

    #[test]
    fn what_cannot_be_written_is_known_until_the_file_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path().join("rules.toml"));
        fs::write(shelf.path(), "version = 1\n").unwrap();
        // Nobody, not even root, can open a directory as a lock.
        fs::create_dir(shelf.path().with_extension("lock")).unwrap();
        assert!(shelf.change(|book| book.version = 2).is_err());
        let ((), book, trouble) = shelf.change_anyway(|book| book.version = 2).unwrap();
        assert!(book.version == 2 && trouble.is_some());
        assert_eq!(shelf.read().unwrap().version, 2);
        assert_eq!(Shelf::new(shelf.path().into()).read().unwrap().version, 1);
        fs::write(shelf.path(), "# another\nversion = 5\n").unwrap();
        assert_eq!(shelf.read().unwrap().version, 5);
    }

    #[test]
    fn a_broken_file_is_named_with_its_line_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path().join("rules.toml"));
        fs::write(shelf.path(), "version = 1\nversoin = 2\n").unwrap();
        let error = shelf.read().unwrap_err().to_string();
        assert!(
            error.contains("rules.toml, line 2: ") && error.contains("versoin"),
            "{error}"
        );
        assert!(shelf.change(|book| book.version = 9).is_err());
        assert!(
            fs::read_to_string(shelf.path())
                .unwrap()
                .contains("versoin")
        );
        fs::write(shelf.path().with_extension("stats.json"), "{").unwrap();
        assert!(
            shelf
                .statistics()
                .unwrap_err()
                .to_string()
                .contains("stats.json")
        );
    }
}
