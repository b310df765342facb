//! Snapshots: which sequences are being read, and the old versions that they need.
//!
//! A record that is overwritten while a snapshot sees it moves to the version table instead of dying. Room there is made
//! before anything is written, so a put never fails halfway. A release is O(1); what it sets free is given back a few
//! entries at a time, by the puts and merge steps that follow.

use core::task::Poll;

use super::core_state::Engine;
use super::iterate::Cursor;
use super::read::Record;
use crate::config::SnapshotPressure;
use crate::error::Error;
use crate::keydir::Entry;
use crate::parts::{CHUNKS, SNAPSHOTS};
use crate::snapshot::{SnapshotGone, SnapshotId, Superseded, Version, Versions};
use crate::types::{EntryKind, Fingerprint, FrameId, Seq};

/// Versions that a put looks at after a release.
const STEP_OF_PUT: u32 = 4;
/// Versions that a merge step looks at.
const STEP_OF_MERGE: u32 = 64;

impl Engine<'_> {
    /// Takes a snapshot of everything that is visible now. It is not durable by itself.
    ///
    /// # Errors
    /// `SnapshotsFull`.
    pub fn snapshot(&mut self) -> Result<SnapshotId, Error> {
        let full = |full: crate::snapshot::SnapshotsFull| Error::SnapshotsFull {
            capacity: u32::from(full.capacity),
        };
        if !SNAPSHOTS {
            return Err(Error::LeftOut { feature: "snapshots" });
        }
        self.snapshots.acquire(self.published_seq).map_err(full)
    }

    /// Gives a snapshot back.
    ///
    /// # Errors
    /// `SnapshotGone` where it was given back before, or expired.
    pub fn release_snapshot(&mut self, id: SnapshotId) -> Result<(), Error> {
        self.versions.release(&mut self.snapshots, id).map_err(gone)
    }

    /// The sequence that a snapshot reads at.
    ///
    /// # Errors
    /// `SnapshotGone`, `SnapshotExpired`.
    pub fn read_seq(&self, id: SnapshotId) -> Result<Seq, Error> {
        self.snapshots.read_seq(id).map_err(gone)
    }

    /// The entry that a key had at a snapshot, if it had a value.
    ///
    /// # Errors
    /// As for [`read_seq`](Self::read_seq); `Poisoned`.
    pub fn locate_at(&self, id: SnapshotId, key: &[u8]) -> Result<Option<Entry>, Error> {
        let seq = self.read_seq(id)?;
        if key.is_empty() || key.len() > usize::from(self.port.layout.key_bytes_max) {
            return Ok(None);
        }
        let fingerprint = self.keydir.fingerprint(key);
        self.entry_at(&fingerprint, self.keydir.get(&fingerprint), seq)
    }

    pub(super) fn entry_at(
        &self,
        fingerprint: &Fingerprint,
        newest: Option<Entry>,
        seq: Seq,
    ) -> Result<Option<Entry>, Error> {
        let entry = match newest.filter(|entry| entry.seq <= seq) {
            Some(entry) => Some(entry),
            None => self.versions.find(fingerprint, seq).map(|version| version.entry),
        };
        self.check_certain(entry.as_ref())?;
        let entry =
            entry.filter(|entry| matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead));
        if let Some(entry) = &entry {
            self.check_readable(entry)?;
        }
        Ok(entry)
    }

    /// The next key that had a value at a snapshot, and the cursor behind it. Writes may come between two steps.
    ///
    /// # Errors
    /// As for [`locate_at`](Self::locate_at).
    pub fn next_entry_at(
        &self,
        id: SnapshotId,
        cursor: Cursor,
    ) -> Result<Option<(Cursor, Entry)>, Error> {
        let seq = self.read_seq(id)?;
        let mut after = cursor.after;
        while let Some((position, newest)) = self.keydir.next_after(after) {
            after = Some(position);
            if newest.kind == EntryKind::Chunk {
                continue;
            }
            let fingerprint = self.keydir.fingerprint_at(&position);
            match self.entry_at(&fingerprint, Some(newest), seq) {
                Ok(Some(entry)) => return Ok(Some((Cursor { after }, entry))),
                // In doubt, as the end will say.
                Ok(None) | Err(Error::Corrupted(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.check_certain(None)?;
        Ok(None)
    }

    /// Neighbouring frames for one key and value.
    pub(crate) fn take_fold_run(&mut self) -> Result<(FrameId, u32), Error> {
        let layout = &self.port.layout;
        let record_pages = layout.record_bytes_max.div_ceil(layout.page_bytes());
        let want = record_pages.max(self.port.pool.frames() / 8);
        self.port.pool.take_long_run(want).ok_or(Error::PoolExhausted)
    }

    pub(crate) fn release_run(&mut self, run: (FrameId, u32)) {
        for index in 0..run.1 {
            self.port.pool.release(FrameId(run.0.0 + index));
        }
    }

    pub(crate) fn run_bytes(&self, run: (FrameId, u32)) -> &[u8] {
        self.port.pool.run(run.0, run.1)
    }

    /// Whether a key and a value of so many bytes fit the frames; answers where they end.
    pub(crate) fn check_run(
        &self,
        run: (FrameId, u32),
        key_bytes: u32,
        value_bytes: u64,
    ) -> Result<u32, Error> {
        let needed = u64::from(key_bytes) + value_bytes;
        if needed > u64::from(run.1 * self.port.layout.page_bytes()) {
            return Err(Error::BufferTooSmall { needed });
        }
        Ok(needed as u32)
    }

    /// Copies key and value of the record that is being read to the frames; answers where they end.
    pub(crate) fn record_to_run(
        &mut self,
        run: (FrameId, u32),
        record: &Record,
    ) -> Result<u32, Error> {
        let end = self.check_run(run, record.key_bytes(), u64::from(record.value_bytes()))?;
        self.copy_to_run(run, 0, record.body());
        Ok(end)
    }

    /// Copies the value of the record that is being read behind `at`; `None` where it would reach beyond `end`.
    pub(crate) fn value_to_run(
        &mut self,
        run: (FrameId, u32),
        at: u32,
        end: u32,
        record: &Record,
    ) -> Option<u32> {
        let (body, bytes) = record.body();
        let value = (body + record.key_bytes(), bytes - record.key_bytes());
        let filled = at.checked_add(value.1).filter(|&filled| filled <= end)?;
        self.copy_to_run(run, at, value);
        Some(filled)
    }

    /// Copies from pinned pages: `bytes` bytes from `from` on.
    fn copy_to_run(&mut self, run: (FrameId, u32), at: u32, (from, bytes): (u32, u32)) {
        let page_bytes = self.port.layout.page_bytes();
        let mut done = 0;
        while done < bytes {
            let (source, target) = (from + done, at + done);
            let room = page_bytes - (source % page_bytes).max(target % page_bytes);
            let piece = room.min(bytes - done);
            let frame = self.pinned_frame(source / page_bytes);
            let to = FrameId(run.0.0 + target / page_bytes);
            self.port.pool.copy((frame, source % page_bytes), (to, target % page_bytes), piece);
            done += piece;
        }
    }

    /// CRC-64 of bytes in the frames, continued.
    pub(crate) fn run_digest(&self, run: (FrameId, u32), earlier: u64, range: (u32, u32)) -> u64 {
        (self.sums.crc64)(earlier, &self.run_bytes(run)[range.0 as usize..range.1 as usize])
    }

    /// Makes room for `count` versions, if `old` (or any of several) would be kept.
    ///
    /// # Errors
    /// `VersionsFull`, where the configuration does not let the oldest snapshot expire.
    pub(crate) fn ensure_version_room(&mut self, count: u32) -> Result<(), Error> {
        // Each turn frees versions, or expires a snapshot, or ends.
        while self.versions.room() < count {
            if self.step_versions(STEP_OF_MERGE) > 0 {
                continue;
            }
            let may_expire = self.pressure == SnapshotPressure::ExpireOldest;
            let expired = may_expire && self.versions.expire_oldest(&mut self.snapshots).is_some();
            if !expired {
                return Err(Error::VersionsFull { capacity: self.versions.capacity() });
            }
        }
        Ok(())
    }

    /// Whether a snapshot needs this entry once something newer has replaced it.
    pub(crate) fn is_kept(&self, old: &Entry) -> bool {
        SNAPSHOTS && Versions::is_kept(&self.snapshots, old, self.next_seq)
    }

    /// A record was replaced by one of this sequence: it is kept for a snapshot, or dead.
    pub(crate) fn supersede(&mut self, fingerprint: &Fingerprint, old: &Entry, by: Seq) {
        if !SNAPSHOTS {
            self.bury(old);
            if old.kind == EntryKind::ChunkHead {
                self.doom_head(*old);
            }
            return;
        }
        match self.versions.insert(&self.snapshots, fingerprint, old, by) {
            Ok(Superseded::Kept) => {
                self.chunked_versions += u32::from(old.kind == EntryKind::ChunkHead);
            }
            Ok(Superseded::Dead) => {
                self.bury(old);
                if old.kind == EntryKind::ChunkHead {
                    self.doom_head(*old);
                }
            }
            Err(_) => unreachable!("room was made before anything was written"),
        }
    }

    /// Gives back versions that nobody needs any more: looks at up to `budget` of them.
    fn step_versions(&mut self, budget: u32) -> u32 {
        if !SNAPSHOTS {
            return 0;
        }
        // Their chunks wait in a short queue; one place is for what the caller replaces.
        let room = (self.doomed.capacity() - self.doomed.len()).saturating_sub(1) as u32;
        let budget = if self.chunked_versions > 0 { budget.min(room) } else { budget };
        let (layout, segments) = (self.port.layout, &mut self.segments);
        let (doomed, chunked) = (&mut self.doomed, &mut self.chunked_versions);
        self.versions.step(&self.snapshots, budget, |Version { entry, .. }| {
            segments.subtract_live(layout.segment_of(entry.location.address), entry);
            if CHUNKS && entry.kind == EntryKind::ChunkHead {
                *chunked -= 1;
                let _ = doomed.push_back(super::chunks::Doomed::Head(*entry));
            }
        })
    }

    /// What a put does for released snapshots.
    pub(crate) fn pay_for_releases(&mut self) {
        if SNAPSHOTS && self.versions.waiting() > 0 {
            self.step_versions(STEP_OF_PUT);
        }
    }

    /// What a merge step does for released snapshots and dead chunks; ready with whether more is to do.
    pub(crate) fn poll_releases(&mut self) -> Result<Poll<bool>, Error> {
        super::ready!(self.poll_first_doomed()?);
        self.step_versions(STEP_OF_MERGE);
        Ok(Poll::Ready(self.has_releases()))
    }

    /// Whether something that died is not given back yet.
    pub(crate) fn has_releases(&self) -> bool {
        self.versions.waiting() > 0 || !self.doomed.is_empty()
    }
}

fn gone(gone: SnapshotGone) -> Error {
    match gone {
        SnapshotGone::Stale => Error::SnapshotGone,
        SnapshotGone::Expired => Error::SnapshotExpired,
    }
}
