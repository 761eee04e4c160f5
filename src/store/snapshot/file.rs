//! The snapshot's file.
//!
//! ```text
//! "PGNSNAP1"  boot id (36 bytes)  uptime in ms  Unix time in ms
//! for each entry: length of the value, fingerprint (32 bytes), value (see `codec`)
//! a length of zero, then the SHA-256 of all before it
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::moment::Moment;
use crate::fingerprint::Fingerprint;
use crate::store::{SharedEntry, codec};

pub(super) const MAGIC: [u8; 8] = *b"PGNSNAP1";
/// What the files of all versions begin with.
pub(super) const NAME: &[u8] = b"PGNSNAP";
const DIGEST: usize = 32;

/// Writes a whole file, which must not be there yet, and says how many entries it has.
pub(super) fn write(
    path: &Path,
    now: &Moment,
    all: impl Iterator<Item = (Fingerprint, SharedEntry)>,
) -> io::Result<usize> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        // Answers are as private as the questions.
        .mode(0o600)
        .open(path)?;
    let mut out = Hashing {
        inner: BufWriter::new(file),
        hash: Sha256::new(),
    };
    now.write(&mut out)?;
    let mut entries = 0;
    for (fingerprint, entry) in all {
        // Larger than any value may be: it is asked for again.
        let Some(value) = codec::encode(fingerprint, &entry, 0, entry.age()) else {
            continue;
        };
        let length = u32::try_from(value.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(fingerprint.as_bytes())?;
        out.write_all(&value)?;
        entries += 1;
    }
    out.write_all(&0_u32.to_le_bytes())?;
    let Hashing { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.into_inner().map_err(io::Error::other)?.sync_all()?;
    Ok(entries)
}

/// The entries of a whole file, one by one, and how long ago it was written.
pub(super) fn open(path: &Path, now: &Moment) -> io::Result<(Entries, Duration)> {
    let mut file = File::open(path)?;
    verify(&mut file)?;
    let mut reader = BufReader::new(file);
    let written = Moment::read(&mut reader)?;
    let since = now.since(&written);
    Ok((Entries { reader }, since))
}

/// Fails unless the file ends with the digest of what is before it.
fn verify(file: &mut File) -> io::Result<()> {
    let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it is torn, or no snapshot");
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|_| foreign())?;
    if magic != MAGIC {
        return Err(foreign());
    }
    let length = file.metadata()?.len();
    let covered = length
        .checked_sub(DIGEST as u64 + MAGIC.len() as u64)
        .ok_or_else(foreign)?;
    let mut hash = Sha256::new_with_prefix(magic);
    let mut rest = BufReader::with_capacity(1 << 16, &mut *file).take(covered);
    let copied = io::copy(&mut rest, &mut HashOnly(&mut hash))?;
    let mut digest = [0; DIGEST];
    rest.into_inner()
        .read_exact(&mut digest)
        .map_err(|_| foreign())?;
    if copied != covered || hash.finalize()[..] != digest {
        return Err(foreign());
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// The entries of a file that has been verified.
pub(super) struct Entries {
    reader: BufReader<File>,
}

impl Iterator for Entries {
    type Item = (Fingerprint, codec::Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let length = usize::try_from(u32::from_le_bytes(array(&mut self.reader).ok()?)).ok()?;
            if length == 0 || length > codec::MAX_HEAD + codec::MAX_BODY {
                return None;
            }
            let fingerprint = Fingerprint::from_bytes(array(&mut self.reader).ok()?);
            let mut value = vec![0; length];
            self.reader.read_exact(&mut value).ok()?;
            // One of another version is passed over.
            if let Some(value) = codec::decode(fingerprint, &value) {
                return Some((fingerprint, value));
            }
        }
    }
}

pub(super) fn array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes and hashes the same bytes.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes what is written to it.
struct HashOnly<'h>(&'h mut Sha256);

impl Write for HashOnly<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
