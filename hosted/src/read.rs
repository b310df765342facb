//! Reads: where a record is is asked of the engine under a lock that readers share; its bytes are
//! verified, and where the pool does not have them read, without any lock.
//!
//! A record that does not verify has moved, or is damaged: which, a second question to the engine
//! tells. Each repetition needs that somebody else wrote or merged meanwhile, so somebody always
//! gets on.

use core::ops::Range;

use emberkv_core::engine::{ChunkHead, Parts, ReadPlan};
use emberkv_core::keydir::Entry;
use emberkv_core::types::{EntryKind, Fingerprint};
use emberkv_core::{Damage, Error as EngineError, SnapshotId};
use emberkv_file::FileError;

use crate::bounce::{keep_buffer, take_buffer};
use crate::error::Error;
use crate::shared::{Shared, State};
use crate::sync::Ordering;
use crate::value::Value;

/// Larger records are not allocated ahead.
const GUESS_BYTES_MAX: usize = 2048;
/// Of so many cached reads of a thread one marks its pages as used.
const TOUCH_EVERY: u32 = 16;

/// Which version of a key is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// The newest.
    Newest,
    /// That of a snapshot.
    Snapshot(SnapshotId),
}

/// A record, verified.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: Parts,
}

/// What the engine knew of a record, and those of its bytes that the pool had.
pub(crate) struct Planned {
    pub(crate) plan: ReadPlan,
    pub(crate) missing: Option<Range<u32>>,
    pub(crate) bytes: Vec<u8>,
}

thread_local! {
    static READS: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

impl Planned {
    /// To be asked under the lock. `bytes` is an empty buffer.
    pub(crate) fn new(
        state: &State<'_>,
        entry: &Entry,
        mut bytes: Vec<u8>,
    ) -> Result<Self, EngineError> {
        let plan = state.engine.read_plan(entry)?;
        bytes.resize(plan.record_bytes(), 0);
        let missing = state.engine.copy_resident(&plan, &mut bytes);
        Ok(Self { plan, missing, bytes })
    }
}

/// What comes of a record that was planned and read.
pub(crate) enum Outcome {
    Whole(Found),
    /// It did not verify, or could not be read.
    Not(ReadPlan, Option<FileError>),
}

/// What the short way of a read found.
enum Cached {
    Value(Vec<u8>, Entry),
    /// The key has no value.
    Nothing,
    /// The long way must be gone.
    No,
}

impl Shared {
    pub(crate) fn locate(
        state: &State<'_>,
        at: At,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Entry>, EngineError> {
        match at {
            At::Newest => state.engine.locate_fingerprint(fingerprint),
            At::Snapshot(id) => state.engine.locate_fingerprint_at(id, fingerprint),
        }
    }

    /// The record of a key, chunked values' heads among them.
    pub(crate) fn fetch(
        &self,
        at: At,
        fingerprint: &Fingerprint,
        key: &[u8],
    ) -> Result<Option<Found>, Error> {
        let found = self.fetch_by(fingerprint, |state| Self::locate(state, at, fingerprint))?;
        // Another key with the same fingerprint is not this one.
        Ok(found.filter(|found| found.bytes[found.parts.key.clone()] == *key))
    }

    /// The record of an entry that `locate` finds, again and again where it moves.
    pub(crate) fn fetch_by(
        &self,
        fingerprint: &Fingerprint,
        mut locate: impl FnMut(&State<'_>) -> Result<Option<Entry>, EngineError>,
    ) -> Result<Option<Found>, Error> {
        let mut failed: Option<Entry> = None;
        loop {
            let guess = self.record_guess.load(Ordering::Relaxed) as usize;
            let bytes = Vec::with_capacity(guess.min(GUESS_BYTES_MAX));
            let planned = self.read(|state| {
                let planned = match locate(state) {
                    Ok(Some(entry)) => Planned::new(state, &entry, bytes).map(Some),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                };
                planned.map_err(|error| state.translate(error))
            })??;
            let Some(planned) = planned else { return Ok(None) };
            match self.read_planned(planned, Some(fingerprint)) {
                Outcome::Whole(found) => {
                    if found.bytes.len() != guess {
                        self.record_guess.store(found.bytes.len() as u32, Ordering::Relaxed);
                    }
                    return Ok(Some(found));
                }
                Outcome::Not(plan, error) if failed == Some(*plan.entry()) => {
                    return Err(match error {
                        Some(error) => error.into(),
                        None => Error::from_engine(plan.damaged(), None),
                    });
                }
                Outcome::Not(plan, _) => failed = Some(*plan.entry()),
            }
        }
    }

    /// Reads what is missing and verifies the whole.
    pub(crate) fn read_planned(
        &self,
        planned: Planned,
        fingerprint: Option<&Fingerprint>,
    ) -> Outcome {
        let Planned { plan, missing, bytes } = planned;
        let Some(pages) = missing else {
            let Some(parts) = plan.verify(&bytes) else { return Outcome::Not(plan, None) };
            self.touch(plan.entry());
            return Outcome::Whole(Found { entry: *plan.entry(), bytes, parts });
        };
        let (address, length) = plan.device_range(&pages);
        let mut buffer = take_buffer(length);
        if let Err(error) = self.read_device(address, &mut buffer[..length]) {
            keep_buffer(buffer);
            return Outcome::Not(plan, Some(error));
        }
        let planned = Planned { plan, missing: Some(pages), bytes };
        let outcome = self.complete(planned, fingerprint, &buffer[..length]);
        keep_buffer(buffer);
        outcome
    }

    /// Verifies a record whose missing pages were read. They are kept in the pool, if that needs no
    /// waiting.
    pub(crate) fn complete(
        &self,
        planned: Planned,
        fingerprint: Option<&Fingerprint>,
        read: &[u8],
    ) -> Outcome {
        let Planned { plan, missing, mut bytes } = planned;
        let pages = missing.unwrap_or_default();
        let (from, to) = plan.overlap(&pages);
        bytes[to].copy_from_slice(&read[from]);
        let Some(parts) = plan.verify(&bytes) else { return Outcome::Not(plan, None) };
        if let Some(fingerprint) = fingerprint {
            let _ = self.try_write(|state| {
                state.engine.keep_pages(fingerprint, &plan, &pages, read);
            });
        }
        Outcome::Whole(Found { entry: *plan.entry(), bytes, parts })
    }

    fn read_device(&self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        let most = self.device.geometry().max_transfer as usize;
        let mut at = address;
        for piece in buffer.chunks_mut(most) {
            self.counts.read(piece.len() as u64);
            self.device.read(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Now and then a cached read marks its pages: often enough for what is hot, and seldom enough
    /// to cost nothing.
    fn touch(&self, entry: &Entry) {
        let reads = READS.get().wrapping_add(1);
        READS.set(reads);
        // A writer's access stops all readers: only where it changes something.
        if reads.is_multiple_of(TOUCH_EVERY)
            && self.read(|state| !state.engine.is_hot(entry)).unwrap_or(false)
        {
            let _ = self.try_write(|state| state.engine.touch(entry));
        }
    }

    /// The value of a key.
    pub(crate) fn value(&self, at: At, key: &[u8]) -> Result<Option<Value>, Error> {
        let fingerprint = self.preparer.fingerprint(key);
        match self.cached(at, &fingerprint, key)? {
            Cached::Value(bytes, entry) => {
                self.touch(&entry);
                let whole = 0..bytes.len();
                return Ok(Some(Value::new(bytes, whole, entry.seq)));
            }
            Cached::Nothing => return Ok(None),
            Cached::No => {}
        }
        let Some(found) = self.fetch(at, &fingerprint, key)? else { return Ok(None) };
        if found.entry.kind == EntryKind::Value {
            return Ok(Some(found.into_value()));
        }
        if let At::Snapshot(_) = at {
            return self.chunked(&found).map(Some);
        }
        // Chunks live as long as their head is the newest, or seen by a snapshot.
        let guard = self.hold()?;
        self.value(At::Snapshot(guard.id), key)
    }

    /// The short way: a record that lies in one page of the pool is verified there and its value
    /// copied, all beside other readers.
    fn cached(&self, at: At, fingerprint: &Fingerprint, key: &[u8]) -> Result<Cached, Error> {
        let guess = self.record_guess.load(Ordering::Relaxed) as usize;
        let mut bytes = Vec::with_capacity(guess.min(GUESS_BYTES_MAX));
        self.read(|state| {
            let entry = match Self::locate(state, at, fingerprint) {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(Cached::Nothing),
                Err(error) => return Err(state.translate(error)),
            };
            match state.engine.peek_cached(key, &entry) {
                Some(Ok(Some(value))) => {
                    bytes.extend_from_slice(value);
                    Ok(Cached::Value(bytes, entry))
                }
                Some(Ok(None)) => Ok(Cached::Nothing),
                // Damage too: the long way looks again and tells.
                Some(Err(_)) | None => Ok(Cached::No),
            }
        })?
    }

    /// The whole of a chunked value, whose head a snapshot sees.
    pub(crate) fn chunked(&self, found: &Found) -> Result<Value, Error> {
        let head = self.head(found)?;
        let damaged = || Error::Corrupted(self.place(found));
        let mut value = Vec::new();
        let bytes = usize::try_from(head.bytes).map_err(|_| damaged())?;
        value.try_reserve_exact(bytes).map_err(|_| Error::NoMemory { bytes })?;
        let mut digest = 0;
        for index in 0..head.count {
            let chunk = self.chunk(found, &head, index)?;
            let bytes = &chunk.bytes[chunk.parts.value.clone()];
            digest = self.preparer.digest(digest, bytes);
            value.extend_from_slice(bytes);
        }
        if value.len() as u64 != head.bytes || digest != head.digest {
            return Err(damaged());
        }
        let whole = 0..value.len();
        Ok(Value::new(value, whole, found.entry.seq))
    }

    pub(crate) fn head(&self, found: &Found) -> Result<ChunkHead, Error> {
        let head = ChunkHead::decode(&found.bytes[found.parts.value.clone()]);
        head.ok_or_else(|| Error::Corrupted(self.place(found)))
    }

    pub(crate) fn chunk(
        &self,
        found: &Found,
        head: &ChunkHead,
        index: u32,
    ) -> Result<Found, Error> {
        let fingerprint = self.preparer.chunk_fingerprint(head, index);
        let chunk = self.fetch_by(&fingerprint, |state| {
            state.engine.chunk_entry(&found.entry, head, index).map(Some)
        })?;
        chunk.ok_or_else(|| Error::Corrupted(self.place(found)))
    }

    fn place(&self, found: &Found) -> emberkv_core::Corruption {
        let location = found.entry.location;
        let what = Damage::Chunk;
        let place = self.read(|state| state.engine.place_of(&location, what));
        place.unwrap_or(emberkv_core::Corruption {
            segment: None,
            offset: emberkv_core::types::Offset(0),
            what,
        })
    }

    /// A snapshot of this moment, for a read that needs several steps.
    pub(crate) fn hold(&self) -> Result<Hold<'_>, Error> {
        let taken = self.write(crate::shared::Caller::Anyone, |state| {
            state.engine.snapshot().map_err(|error| state.translate(error))
        })?;
        Ok(Hold { shared: self, id: taken? })
    }

    pub(crate) fn release(&self, id: SnapshotId) {
        // One that expired, or whose store was closed, is gone anyway.
        let _ = self.write(crate::shared::Caller::Anyone, |state| {
            let _ = state.engine.release_snapshot(id);
        });
    }
}

/// A snapshot that is given back when this is dropped.
pub(crate) struct Hold<'s> {
    shared: &'s Shared,
    pub(crate) id: SnapshotId,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.shared.release(self.id);
    }
}

impl Found {
    pub(crate) fn into_value(self) -> Value {
        Value::new(self.bytes, self.parts.value, self.entry.seq)
    }
}
