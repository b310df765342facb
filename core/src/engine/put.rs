//! Single writes: put and delete.

use core::task::Poll;

use super::core_state::Engine;
use super::ready;
use crate::canary::Canary;
use crate::error::Error;
use crate::format::parser::Bounds;
use crate::format::record::{EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, RecordKind};
use crate::keydir::{Entry, FingerprintHasher};
use crate::log::NewRecord;
use crate::parts::CHUNKS;
use crate::recover::ScanContext;
use crate::types::EntryKind;

impl Engine<'_> {
    /// Checks a key's size.
    ///
    /// # Errors
    /// `KeySize`.
    pub fn check_key(&self, key: &[u8]) -> Result<(), Error> {
        let max = usize::from(self.port.layout.key_bytes_max);
        if key.is_empty() || key.len() > max {
            Err(Error::KeySize { bytes: key.len(), max })
        } else {
            Ok(())
        }
    }

    /// Most bytes of a value that lies in one record with this key.
    #[must_use]
    pub fn single_value_max(&self, key: &[u8]) -> usize {
        // A merge's copy of it carries its sequence, and must fit as well.
        let most = self.port.layout.record_bytes_max - RECORD_HEADER_BYTES - EXPLICIT_SEQ_BYTES;
        // A key that is too long is refused behind this.
        (most as usize).saturating_sub(key.len())
    }

    /// What scanning groups needs to know.
    pub(crate) fn scan_context(&self) -> ScanContext {
        let layout = &self.port.layout;
        let bounds = Bounds {
            data_end: layout.data_end,
            align: layout.align,
            commit_unit: layout.commit_unit,
        };
        ScanContext {
            cage: self.cage,
            sums: self.sums,
            store_id: self.store_id,
            secret: self.secret,
            bounds,
        }
    }

    /// The hasher for keys of records of a kind: internal keys of chunks never meet those of users.
    pub(crate) fn hasher_for(&self, kind: RecordKind) -> FingerprintHasher {
        self.scan_context().hasher(kind)
    }

    /// Stages a put. It is visible at once and durable after the next sync.
    ///
    /// # Errors
    /// `KeySize`, `ValueTooLarge` (for one record: larger values are streams), `Full`, `KeydirFull`, `Poisoned`, `ReadOnly`;
    /// nothing changed.
    pub fn poll_put(&mut self, key: &[u8], value: &[u8]) -> Result<Poll<()>, Error> {
        self.check_key(key)?;
        let max = self.single_value_max(key);
        if value.len() > max {
            return Err(Error::ValueTooLarge { bytes: value.len() as u64, max: max as u64 });
        }
        self.poll_entry(&NewRecord { kind: RecordKind::Value, key, value })
    }

    /// Stages a delete; ready with whether the key had a value. Where it had none, nothing is written,
    /// unless damage puts that in doubt.
    ///
    /// # Errors
    /// As for [`poll_put`](Self::poll_put).
    pub fn poll_delete(&mut self, key: &[u8]) -> Result<Poll<bool>, Error> {
        self.check_key(key)?;
        self.check_writable()?;
        let fingerprint = self.keydir.fingerprint(key);
        let entry = self.keydir.get(&fingerprint);
        if !entry.is_some_and(|entry| matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead))
        {
            if self.check_certain(entry.as_ref()).is_err() {
                // It may have had a value: now it has none for sure. Unlike other tombstones, this one replaces nothing.
                let tombstone = NewRecord { kind: RecordKind::Tombstone, key, value: &[] };
                let cost = self.record_cost(tombstone.record_bytes());
                ready!(self.poll_admission(cost, entry.as_ref())?);
                ready!(self.poll_entry(&tombstone)?);
            }
            return Ok(Poll::Ready(false));
        }
        ready!(self.poll_entry(&NewRecord { kind: RecordKind::Tombstone, key, value: &[] })?);
        Ok(Poll::Ready(true))
    }

    /// Appends a record of a user and publishes it.
    pub(crate) fn poll_entry(&mut self, record: &NewRecord<'_>) -> Result<Poll<()>, Error> {
        if CHUNKS && !self.doomed.is_empty() {
            ready!(self.poll_doomed()?);
        }
        let fingerprint = if CHUNKS && record.kind == RecordKind::Chunk {
            let mut hasher = self.hasher_for(record.kind);
            hasher.write(record.key);
            hasher.finish()
        } else {
            self.keydir.fingerprint(record.key)
        };
        self.check_writable()?;
        self.keydir.ensure_room(&fingerprint)?;
        self.pay_for_releases();
        let old = self.keydir.get(&fingerprint);
        let is_kept = old.as_ref().is_some_and(|old| self.is_kept(old));
        if is_kept {
            self.ensure_version_room(1)?;
        }
        // A delete that leaves what it deletes to a snapshot takes room like any other write.
        if record.kind != RecordKind::Tombstone || is_kept {
            ready!(self.poll_admission(self.record_cost(record.record_bytes()), old.as_ref())?);
        }
        if self.may_be_short(record) {
            ready!(self.make_room_for_short(record)?);
            return self.append_short(fingerprint, *record).map(Poll::Ready);
        }
        ready!(self.make_room(record.record_bytes())?);
        self.append_entry(fingerprint, *record)?;
        Ok(Poll::Ready(()))
    }

    /// What keeping a record of `record_bytes` costs the log.
    pub(crate) fn record_cost(&self, record_bytes: u32) -> u64 {
        u64::from(self.segments.cost.of(record_bytes))
    }

    /// What keeping the record behind an entry costs the log.
    pub(crate) fn entry_cost(&self, entry: &Entry) -> u64 {
        let segment = self.port.layout.segment_of(entry.location.address);
        u64::from(self.segments.cost_of(segment, entry))
    }

    /// Ready where there is room for `bytes` more to be kept, once `old` is dead; grows the device where it can. Merges
    /// always find a victim as long as nothing passes here that is more: see `merge/victim.rs`. Deletes need not ask: a
    /// tombstone is not longer than what it replaces, unless a snapshot keeps that.
    ///
    /// # Errors
    /// `Full`.
    pub(crate) fn poll_admission(
        &mut self,
        bytes: u64,
        old: Option<&Entry>,
    ) -> Result<Poll<()>, Error> {
        let dies = old.filter(|old| !self.is_kept(old));
        let freed = dies.map_or(0, |old| self.entry_cost(old));
        let live = (self.segments.live_total() + bytes).saturating_sub(freed);
        // What does not take more room than there is taken now is always let in.
        let is_beyond = live > self.live_bytes_max(self.segments.count()) && bytes > freed;
        if is_beyond && !self.cage.holds(Canary::NoAdmission) {
            return self.poll_grow();
        }
        Ok(Poll::Ready(()))
    }
}
