//! Moments that another process can place, so that ages go on while nobody counts.

use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

use super::file::{MAGIC, array};

/// A moment that another process can place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Names the machine's current run; empty where the system does not tell.
    pub(super) boot: String,
    /// Since its beginning, suspended or not; it never jumps.
    pub(super) uptime: Duration,
    /// What the clock on the wall says.
    pub(super) unix: Duration,
}

impl Moment {
    pub(super) fn now() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime = uptime
            .split_whitespace()
            .next()
            .and_then(|seconds| seconds.parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            boot: boot.trim().to_owned(),
            uptime: uptime.unwrap_or_default(),
            unix: unix.unwrap_or_default(),
        }
    }

    /// How long `earlier` is ago: by the machine's uptime, which nobody sets, or after a restart of the machine by the
    /// clock on the wall, for want of a better one.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        if !self.boot.is_empty() && self.boot == earlier.boot {
            self.uptime.saturating_sub(earlier.uptime)
        } else {
            self.unix.saturating_sub(earlier.unix)
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut boot = [b' '; 36];
        for (place, byte) in boot.iter_mut().zip(self.boot.bytes()) {
            *place = byte;
        }
        out.write_all(&MAGIC)?;
        out.write_all(&boot)?;
        for time in [self.uptime, self.unix] {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            out.write_all(&millis.to_le_bytes())?;
        }
        Ok(())
    }

    pub(super) fn read(reader: &mut impl Read) -> io::Result<Self> {
        let _magic: [u8; MAGIC.len()] = array(reader)?;
        let boot: [u8; 36] = array(reader)?;
        let mut millis =
            || array(reader).map(|bytes| Duration::from_millis(u64::from_le_bytes(bytes)));
        let (uptime, unix) = (millis()?, millis()?);
        Ok(Self {
            boot: String::from_utf8_lossy(&boot).trim().to_owned(),
            uptime,
            unix,
        })
    }
}
