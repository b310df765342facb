//! Writes whose hashing was done before the engine was asked: what a host does outside of its lock.
//!
//! A [`Prepared`] carries the key's fingerprint and the checksum of key and value, so that staging it is two copies and a
//! few table look-ups. [`Engine::poll_put_all`] stages many of them as one group: all or nothing, like a batch, without
//! the batch's frames.

use core::task::Poll;

use super::chunks::{ChunkHead, chunk_key};
use super::core_state::Engine;
use super::ready;
use crate::error::Error;
use crate::format::checksum::Checksums;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupKind};
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind, RecordShape};
use crate::keydir::{Entry, FingerprintHasher, fingerprint};
use crate::types::{EntryKind, Fingerprint, Seq};

/// Hashes keys and records as one store does. Of no use to another store.
#[derive(Clone)]
pub struct Preparer {
    secret: [u8; 16],
    chunk_hasher: FingerprintHasher,
    sums: Checksums,
}

/// The secret is not shown.
impl core::fmt::Debug for Preparer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Preparer").finish_non_exhaustive()
    }
}

impl Preparer {
    /// The fingerprint of a user's key.
    #[must_use]
    pub fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        fingerprint(&self.secret, key)
    }

    /// A put of one record.
    #[must_use]
    pub fn put<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Prepared<'a> {
        self.prepare(RecordKind::Value, key, value)
    }

    /// A delete.
    #[must_use]
    pub fn delete<'a>(&self, key: &'a [u8]) -> Prepared<'a> {
        self.prepare(RecordKind::Tombstone, key, &[])
    }

    /// The fingerprint of a chunk of a value.
    #[must_use]
    pub fn chunk_fingerprint(&self, head: &ChunkHead, index: u32) -> Fingerprint {
        let mut hasher = self.chunk_hasher.clone();
        hasher.write(&chunk_key(head.value_id, index));
        hasher.finish()
    }

    /// CRC-64 of a chunked value, continued.
    #[must_use]
    pub fn digest(&self, earlier: u64, bytes: &[u8]) -> u64 {
        (self.sums.crc64)(earlier, bytes)
    }

    fn prepare<'a>(&self, kind: RecordKind, key: &'a [u8], value: &'a [u8]) -> Prepared<'a> {
        let inner = (self.sums.crc32c)((self.sums.crc32c)(0, key), value);
        Prepared { kind, key, value, fingerprint: self.fingerprint(key), inner }
    }
}

/// A write that is ready to be staged.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    kind: RecordKind,
    key: &'a [u8],
    value: &'a [u8],
    fingerprint: Fingerprint,
    inner: u32,
}

/// Sizes only: keys and values are the user's.
impl core::fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Prepared")
            .field("kind", &self.kind)
            .field("key_bytes", &self.key.len())
            .field("value_bytes", &self.value.len())
            .finish_non_exhaustive()
    }
}

impl Prepared<'_> {
    /// The key's fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn record_bytes(&self) -> u32 {
        RECORD_HEADER_BYTES + (self.key.len() + self.value.len()) as u32
    }
}

impl Engine<'_> {
    /// What prepares writes and look-ups for this store.
    #[must_use]
    pub fn preparer(&self) -> Preparer {
        let chunk_hasher = self.hasher_for(RecordKind::Chunk);
        Preparer { secret: self.secret, chunk_hasher, sums: self.sums }
    }

    fn check_prepared(&self, write: &Prepared<'_>) -> Result<(), Error> {
        self.check_key(write.key)?;
        let max = self.single_value_max(write.key);
        if write.value.len() > max {
            return Err(Error::ValueTooLarge { bytes: write.value.len() as u64, max: max as u64 });
        }
        Ok(())
    }

    /// Stages a put or a delete, as [`poll_put`](Self::poll_put) does; ready with its sequence. A delete is staged whether
    /// or not the key has a value.
    ///
    /// # Errors
    /// As for `poll_put`; nothing changed.
    pub fn poll_put_prepared(&mut self, write: &Prepared<'_>) -> Result<Poll<Seq>, Error> {
        self.check_prepared(write)?;
        ready!(self.poll_doomed()?);
        self.check_writable()?;
        self.keydir.ensure_room(&write.fingerprint)?;
        self.pay_for_releases();
        let old = self.keydir.get(&write.fingerprint);
        if old.as_ref().is_some_and(|old| self.is_kept(old)) {
            self.ensure_version_room(1)?;
        }
        if write.kind != RecordKind::Tombstone || !old.as_ref().is_some_and(has_value) {
            ready!(self.poll_admission(self.record_cost(write.record_bytes()), old.as_ref())?);
        }
        ready!(self.make_room(write.record_bytes())?);
        self.append_prepared(write).map(Poll::Ready)
    }

    /// Stages all writes as one group, in order: after a crash all of them are there or none. Ready with the last one's
    /// sequence.
    ///
    /// # Errors
    /// As for `poll_put`, and `BatchTooLarge`; nothing changed.
    pub fn poll_put_all(&mut self, writes: &[Prepared<'_>]) -> Result<Poll<Seq>, Error> {
        ready!(self.poll_doomed()?);
        self.check_writable()?;
        let Some(need) = self.need_of(writes)? else {
            return Ok(Poll::Ready(self.published_seq));
        };
        self.pay_for_releases();
        if !self.keydir.has_room_for(need.new_keys) {
            return Err(Error::KeydirFull { capacity: u64::from(self.keydir.capacity()) });
        }
        if self.snapshots.distinct() > 0 {
            // A key that the batch writes twice replaces one of its own records, which no snapshot sees.
            self.ensure_version_room(need.replaced)?;
        }
        ready!(self.poll_admission(need.cost.saturating_sub(need.freed), None)?);
        ready!(self.make_room_for(need.log_bytes, writes.len() as u32, self.batch_bytes_max)?);
        let mut last = self.published_seq;
        for write in writes {
            match self.append_prepared(write) {
                Ok(seq) => last = seq,
                Err(error) => {
                    // A part is visible and its group is open: nothing but a reopening can take it back.
                    self.poison();
                    return Err(error);
                }
            }
        }
        Ok(Poll::Ready(last))
    }

    /// What a batch takes; `None` for an empty one.
    fn need_of(&self, writes: &[Prepared<'_>]) -> Result<Option<Need>, Error> {
        if writes.is_empty() {
            return Ok(None);
        }
        let most = self.batch_room(u32::try_from(writes.len()).unwrap_or(u32::MAX));
        let mut need = Need::default();
        for write in writes {
            self.check_prepared(write)?;
            // Cannot overflow: it was below `most` before, and a record is small.
            need.log_bytes += self.port.layout.aligned(write.record_bytes());
            if need.log_bytes > most || writes.len() >= usize::from(u16::MAX) {
                return Err(Error::BatchTooLarge { max: most });
            }
            need.cost += self.record_cost(write.record_bytes());
            match self.keydir.get(&write.fingerprint) {
                None => need.new_keys += 1,
                Some(old) => {
                    need.replaced += 1;
                    if !self.is_kept(&old) {
                        need.freed += self.entry_cost(&old);
                    }
                }
            }
        }
        debug_assert!(need.log_bytes <= self.batch_bytes_max - AROUND, "batch_room leaves that");
        Ok(Some(need))
    }

    fn append_prepared(&mut self, write: &Prepared<'_>) -> Result<Seq, Error> {
        self.open_group(GroupKind::Data);
        let sizes = (write.key.len() as u16, write.value.len() as u32);
        let shape = RecordShape::plain(write.kind, sizes, write.inner);
        let begun = self.begin_record(&shape, Seq(0));
        self.write_bytes(write.key);
        self.write_bytes(write.value);
        let entry = self.end_record(begun, &write.fingerprint);
        self.publish(write.fingerprint, entry)?;
        Ok(entry.seq)
    }
}

const AROUND: u32 = GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES;

/// What a batch takes of everything.
#[derive(Default)]
struct Need {
    log_bytes: u32,
    new_keys: u32,
    replaced: u32,
    cost: u64,
    freed: u64,
}

fn has_value(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead)
}
