//! Upkeep on demand: merging now, verifying everything, copying a store while it is in use.

use core::task::Poll;
use std::path::Path;

use emberkv_core::{Corruption, Pass, ScrubProgress};

use crate::builder::{Builder, Durability};
use crate::db::Db;
use crate::error::Error;
use crate::shared::{Caller, Shared};

/// Bytes of work between two looks at who else wants the store: some microseconds under the lock.
const STEP_BYTES: u64 = 16 << 10;

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubReport {
    /// Bytes that were read from the medium and verified.
    pub bytes: u64,
    /// Damaged places.
    pub damages: Vec<Corruption>,
}

/// What a backup copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl Db {
    /// Merges until nothing is worth it: dead space is given back. The background does so by itself
    /// when nobody writes; this is for who does not want to wait. Others may use the store
    /// meanwhile.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn merge(&self) -> Result<(), Error> {
        let shared = self.shared();
        loop {
            let mut left = STEP_BYTES;
            let more = shared.drive(Caller::Anyone, |state| state.engine.poll_merge(&mut left))?;
            if !more {
                return Ok(());
            }
            shared.give_way();
        }
    }

    /// Verifies every checksum on the medium, once. Others may use the store meanwhile. Nothing is
    /// repaired: what is damaged and alive answers [`Error::Corrupted`] when it is read.
    ///
    /// # Errors
    /// [`Error::Device`] where the device cannot be read at all; [`Error::Closed`].
    pub fn scrub(&self) -> Result<ScrubReport, Error> {
        let shared = self.shared();
        let mut report = ScrubReport::default();
        loop {
            let step = scrub_step(shared)?;
            report.bytes += step.bytes;
            report.damages.extend(step.damage);
            if step.pass == Pass::Complete {
                return Ok(report);
            }
            shared.give_way();
        }
    }

    /// Copies everything that is visible now to a new store at `path`, while others write. It
    /// appears there when it is whole and durable. Keys that are deleted or overwritten meanwhile
    /// are kept for so long.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("data.ember");
    /// # let copy = directory.path().join("copy.ember");
    /// let db = emberkv::Db::open(&path)?;
    /// db.put(b"key", b"value")?;
    /// assert_eq!(db.backup(&copy)?.keys, 1);
    /// assert!(emberkv::Db::open(&copy)?.contains_key(b"key")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Exists`] where there is something at `path`; as [`Db::iter`] and
    /// [`put`](Self::put). Nothing is left behind then.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackupReport, Error> {
        let snapshot = self.snapshot()?;
        let stats = self.stats()?.store;
        // Written once and synced at the end; the pool need not hold it.
        let builder = Builder::default()
            .capacity(stats.live_cost + stats.live_cost / 2 + 4 * u64::from(stats.segment_bytes))
            .max_capacity(stats.capacity_max)
            .segment_bytes(stats.segment_bytes)
            .cache_bytes(8 << 20)
            .durability(Durability::Buffered);
        builder.create_filled(path.as_ref(), |copy| {
            let mut report = BackupReport::default();
            for pair in &snapshot {
                let (key, value) = pair?;
                copy.put(&key, &value)?;
                report.keys += 1;
                report.bytes += (key.len() + value.len()) as u64;
            }
            Ok(report)
        })
    }
}

fn scrub_step(shared: &Shared) -> Result<ScrubProgress, Error> {
    let mut progress = ScrubProgress::default();
    shared.drive(Caller::Anyone, |state| {
        Ok(match state.engine.poll_scrub(STEP_BYTES, &mut progress)? {
            Poll::Ready(()) => Poll::Ready(progress),
            Poll::Pending => Poll::Pending,
        })
    })
}
