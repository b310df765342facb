//! Snapshots: what was visible at one moment, held until dropped.

use core::fmt;

use emberkv_core::{Seq, SnapshotId};

use crate::db::Db;
use crate::error::Error;
use crate::iter::Iter;
use crate::read::At;
use crate::shared::Caller;
use crate::sync::Arc;
use crate::value::Value;

/// The store as it was at one moment. Clones share it. It keeps the store open.
///
/// Old values that it sees are kept on the medium as long as it lives. If there are too many of
/// them, the oldest snapshot expires and its reads answer [`Error::SnapshotExpired`].
#[derive(Clone)]
pub struct Snapshot {
    held: Arc<Held>,
}

pub(crate) struct Held {
    pub(crate) db: Db,
    pub(crate) id: SnapshotId,
    seq: Seq,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.db.shared().release(self.id);
    }
}

impl Snapshot {
    pub(crate) fn new(db: &Db) -> Result<Self, Error> {
        let (id, seq) = db.shared().write(Caller::Anyone, |state| {
            let id = state.engine.snapshot();
            let taken = id.and_then(|id| Ok((id, state.engine.read_seq(id)?)));
            taken.map_err(|error| state.translate(error))
        })??;
        Ok(Self { held: Arc::new(Held { db: db.clone(), id, seq }) })
    }

    /// The value that a key had.
    ///
    /// # Errors
    /// As [`Db::get`]; [`Error::SnapshotExpired`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        self.held.db.shared().value(At::Snapshot(self.held.id), key.as_ref())
    }

    /// Whether a key had a value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let (shared, key) = (self.held.db.shared(), key.as_ref());
        let at = At::Snapshot(self.held.id);
        Ok(shared.fetch(at, &shared.preparer.fingerprint(key), key)?.is_some())
    }

    /// All keys and values, in no order.
    #[must_use]
    pub fn iter(&self) -> Iter {
        Iter::new(Arc::clone(&self.held))
    }

    /// The sequence of the newest write that it sees.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.held.seq
    }
}

impl IntoIterator for &Snapshot {
    type Item = Result<(Vec<u8>, Value), Error>;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("seq", &self.held.seq.0).finish_non_exhaustive()
    }
}
