//! [`Db`]: the handle that programs hold, and its writes.
//!
//! Reading order: here, `shared` (the lock and the one loop that drives the engine), `commit` (what
//! makes a durable put return), `worker` (the background threads), `read` (where a checksum is
//! verified), `snapshot` and `iter`.

use core::fmt;
use core::task::Poll;
use std::path::Path;

use emberkv_core::engine::{Prepared, StreamSource};
use emberkv_core::types::EntryKind;
use emberkv_core::{Error as EngineError, Seq};

use crate::batch::{Batch, Write};
use crate::builder::{Builder, Durability};
use crate::counts::DeviceCounts;
use crate::error::Error;
use crate::handover::Part;
use crate::iter::Iter;
use crate::read::At;
use crate::shared::{Caller, Phase, Shared, State};
use crate::snapshot::Snapshot;
use crate::sync::{Arc, Mutex, PoisonError};
use crate::value::Value;
use crate::worker::Workers;

/// An open store. Clones share it; any number of threads may use it at once.
///
/// Puts are visible to everybody at once and durable later: see [`Durability`]. A put whose name
/// says `durable` returns when it is on the medium. Keys come back in no order. Dropping the last
/// handle writes everything out; [`close`](Self::close) does the same and tells errors.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("data.ember");
/// let db = emberkv::Db::open(&path)?;
/// db.put(b"key", b"value")?;
/// assert_eq!(db.get(b"key")?.as_deref(), Some(&b"value"[..]));
/// db.put_durable(b"key", b"on the medium when this returns")?;
/// db.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Db {
    handle: Arc<Handle>,
}

/// What the last handle ends.
struct Handle {
    shared: Arc<Shared>,
    workers: Mutex<Workers>,
}

/// What a conditional put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutIf {
    /// The value was put, at this sequence.
    Stored(Seq),
    /// The key's value is another one than expected: that of this sequence, or none. Nothing was
    /// changed.
    Changed(Option<Seq>),
}

/// Figures about an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The engine's.
    pub store: emberkv_core::Stats,
    /// Calls of the device in this session.
    pub device: DeviceCounts,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("stats", &self.stats().ok()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.close();
    }
}

impl Handle {
    fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let begun = shared.write(Caller::Anyone, |state| state.phase = Phase::Closing);
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).stop(shared);
        shared.wake_all();
        begun?;
        let closed = shared.drive(Caller::Closer, |state| {
            if state.engine.is_read_only() {
                Ok(Poll::Ready(()))
            } else {
                state.engine.poll_close()
            }
        });
        // Others may be executing operations of calls that were refused meanwhile: they tell before
        // they return.
        loop {
            let ticket = shared.progress.ticket();
            if shared.write(Caller::Closer, |state| state.in_flight)? == 0 {
                break;
            }
            shared.progress.wait(ticket, None);
        }
        drop(shared.take());
        closed
    }
}

impl Db {
    pub(crate) fn new(shared: Arc<Shared>, workers: Workers) -> Self {
        Self { handle: Arc::new(Handle { shared, workers: Mutex::new(workers) }) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Opens the store at `path` with defaults; makes one where there is nothing.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(path)
    }

    /// Everything that can be chosen.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Puts a value. Visible at once; durable as [`Builder::durability`] says. Values up to 2^40
    /// bytes; those beyond some 32 KiB are kept in chunks.
    ///
    /// # Errors
    /// [`Error::KeySize`], [`Error::ValueTooLarge`], [`Error::Full`], [`Error::KeydirFull`],
    /// [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Closed`]; nothing changed.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let durable = self.shared().durability == Durability::Immediate;
        self.put_with(key.as_ref(), value.as_ref(), durable.into())
    }

    /// Puts a value, and returns when it is durable. Many threads that do so share device writes.
    ///
    /// # Errors
    /// As [`put`](Self::put); of an error of the device the outcome is unknown.
    pub fn put_durable(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.put_with(key.as_ref(), value.as_ref(), Ack::Durable)
    }

    fn put_with(&self, key: &[u8], value: &[u8], ack: Ack) -> Result<(), Error> {
        let shared = self.shared();
        if value.len() > shared.record_bytes_max.saturating_sub(key.len()) {
            self.put_chunked(key, value)?;
            return self.acknowledge(ack);
        }
        let write = shared.preparer.put(key, value);
        self.stage(ack, |state| state.engine.poll_put_prepared(&write))
    }

    /// Drives a call that stages, and what makes it durable.
    fn stage(
        &self,
        ack: Ack,
        mut call: impl FnMut(&mut State<'_>) -> Result<Poll<Seq>, EngineError>,
    ) -> Result<(), Error> {
        let shared = self.shared();
        let (part, seq) = shared.drive(Caller::Anyone, |state| {
            let Poll::Ready(seq) = call(state)? else { return Ok(Poll::Pending) };
            Ok(Poll::Ready(match ack {
                Ack::Staged => {
                    shared.staged(state);
                    (Part::Nothing, seq)
                }
                Ack::Durable => (shared.join(state, seq), seq),
            }))
        })?;
        shared.commit(part, seq)
    }

    fn acknowledge(&self, ack: Ack) -> Result<(), Error> {
        match ack {
            Ack::Staged => Ok(()),
            Ack::Durable => self.sync(),
        }
    }

    fn put_chunked(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let shared = self.shared();
        let bytes = value.len() as u64;
        let mut stream = shared.drive(Caller::Anyone, |state| {
            state.engine.poll_begin_stream(key, bytes, StreamSource::Slice)
        })?;
        let mut put = || loop {
            let whole = shared.drive(Caller::Anyone, |state| {
                if state.engine.stream_is_complete(&stream) {
                    return Ok(Poll::Ready(true));
                }
                Ok(state.engine.poll_chunk(&mut stream, value)?.map(|()| false))
            })?;
            if whole {
                return shared.drive(Caller::Anyone, |state| {
                    let poll = state.engine.poll_end_stream(&stream, key)?;
                    if poll.is_ready() {
                        shared.staged(state);
                    }
                    Ok(poll)
                });
            }
        };
        let result = put();
        if result.is_err() {
            // Its chunks are dead. Where the store is closed the next open finds them without a
            // head.
            let _ = shared.write(Caller::Anyone, |state| state.engine.abort_stream(&stream));
        }
        result
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::Corrupted`], [`Error::Device`]; [`Error::Poisoned`] for what is newer than the last
    /// that was durable.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        self.shared().value(At::Newest, key.as_ref())
    }

    /// Whether a key has a value. Reads its record: only that tells for sure.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let (shared, key) = (self.shared(), key.as_ref());
        let found = shared.fetch(At::Newest, &shared.preparer.fingerprint(key), key)?;
        Ok(found.is_some())
    }

    /// The values of many keys, all of one moment. Faster than one after the other where the device
    /// must be read.
    ///
    /// # Errors
    /// As [`get`](Self::get), for any of them.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        self.shared().values(keys)
    }

    /// Deletes a key; answers whether it had a value. Where it had none, nothing is written.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let key = key.as_ref();
        let mut had = false;
        let ack = (self.shared().durability == Durability::Immediate).into();
        self.stage(ack, |state| {
            let poll = state.engine.poll_delete(key)?;
            Ok(poll.map(|was| {
                had = was;
                state.engine.published_seq()
            }))
        })?;
        Ok(had)
    }

    /// Puts a value if the key's value is still the one of sequence `expected` ([`Value::seq`]);
    /// `None` for a key that must have none.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("data.ember");
    /// # let db = emberkv::Db::open(&path)?;
    /// use emberkv::PutIf;
    ///
    /// // Only one thread makes it.
    /// assert!(matches!(db.put_if(b"leader", b"me", None)?, PutIf::Stored(_)));
    /// let seq = db.get(b"leader")?.map(|value| value.seq());
    /// assert!(matches!(db.put_if(b"leader", b"still me", seq)?, PutIf::Stored(_)));
    /// assert!(matches!(db.put_if(b"leader", b"too late", seq)?, PutIf::Changed(Some(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`put`](Self::put); [`Error::ValueTooLarge`] already for what does not fit one record.
    pub fn put_if(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expected: Option<Seq>,
    ) -> Result<PutIf, Error> {
        let shared = self.shared();
        let write = shared.preparer.put(key.as_ref(), value.as_ref());
        let mut outcome = PutIf::Changed(None);
        let ack = (shared.durability == Durability::Immediate).into();
        self.stage(ack, |state| {
            let found = state.engine.locate_fingerprint(write.fingerprint())?;
            let found = found.map(|entry| entry.seq);
            if found != expected {
                outcome = PutIf::Changed(found);
                return Ok(Poll::Ready(Seq(0)));
            }
            let poll = state.engine.poll_put_prepared(&write)?;
            Ok(poll.map(|seq| {
                outcome = PutIf::Stored(seq);
                seq
            }))
        })?;
        Ok(outcome)
    }

    /// Writes a batch: visible all at once, and after a crash there as a whole or not at all.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`Error::BatchTooLarge`]; nothing changed.
    pub fn write(&self, batch: &Batch) -> Result<(), Error> {
        self.write_with(batch, (self.shared().durability == Durability::Immediate).into())
    }

    /// Writes a batch, and returns when it is durable.
    ///
    /// # Errors
    /// As [`write`](Self::write); of an error of the device the outcome is unknown.
    pub fn write_durable(&self, batch: &Batch) -> Result<(), Error> {
        self.write_with(batch, Ack::Durable)
    }

    fn write_with(&self, batch: &Batch, ack: Ack) -> Result<(), Error> {
        let preparer = &self.shared().preparer;
        let writes: Vec<Prepared<'_>> = batch
            .writes()
            .map(|write| match write {
                Write::Put(key, value) => preparer.put(key, value),
                Write::Delete(key) => preparer.delete(key),
            })
            .collect();
        self.stage(ack, |state| state.engine.poll_put_all(&writes))
    }

    /// Returns when everything that was written before is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`] where it may not be.
    pub fn sync(&self) -> Result<(), Error> {
        self.shared().sync_all(Caller::Anyone)
    }

    /// What is visible now, to be read while others write. It is given back when the snapshot and
    /// its iterators are dropped.
    ///
    /// # Errors
    /// [`Error::SnapshotsFull`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::new(self)
    }

    /// All keys and values of this moment, in no order.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub fn iter(&self) -> Result<Iter, Error> {
        Ok(self.snapshot()?.iter())
    }

    /// Figures about the store.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Panicked`].
    pub fn stats(&self) -> Result<Stats, Error> {
        let shared = self.shared();
        let store = shared.read(|state| state.engine.stats())?;
        Ok(Stats { store, device: shared.counts.now() })
    }

    /// Makes everything durable and closes the store, for other handles as well: their calls answer
    /// [`Error::Closed`]. The file is let go of when the last handle is dropped.
    ///
    /// # Errors
    /// As [`sync`](Self::sync); the store is closed all the same.
    pub fn close(self) -> Result<(), Error> {
        self.handle.close()
    }
}

/// When a write returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    /// When it is visible.
    Staged,
    /// When it is durable.
    Durable,
}

impl From<bool> for Ack {
    fn from(durable: bool) -> Self {
        if durable { Self::Durable } else { Self::Staged }
    }
}

impl Shared {
    /// Whether an entry stands for a value of several records.
    pub(crate) fn is_chunked(kind: EntryKind) -> bool {
        kind == EntryKind::ChunkHead
    }
}
