//! What the simulator asks of a store: EmberKV's blocking API, so that a toy can stand in for it.

use emberkv_core::{Error, SnapshotId};

use super::device::SimDevice;
use super::profile::Setup;

/// A family of stores.
pub trait Engine: 'static {
    /// The name in replay lines.
    const NAME: &'static str;
    /// An open store.
    type Store<'m>: Kv;

    /// Bytes of memory that a store of this setup needs.
    fn arena_bytes(setup: &Setup) -> usize;

    /// Formats the device.
    ///
    /// # Errors
    /// As the store's `format`.
    fn format<'m>(
        device: &'m mut SimDevice,
        arena: &'m mut [u8],
        setup: &Setup,
    ) -> Result<Self::Store<'m>, Error>;

    /// Opens the store on the device.
    ///
    /// # Errors
    /// As the store's `open`.
    fn open<'m>(
        device: &'m mut SimDevice,
        arena: &'m mut [u8],
        setup: &Setup,
        access: Opening,
    ) -> Result<Self::Store<'m>, Error>;
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To read and write.
    ReadWrite,
    /// To read: the device must not be written.
    ReadOnly,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A put.
    Put(&'a [u8], &'a [u8]),
    /// A delete.
    Delete(&'a [u8]),
}

/// What becomes of a batch after its changes were staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// It is committed.
    Commit,
    /// It is dropped.
    Abort,
}

/// Numbers that a store gives out about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvStats {
    /// Keys.
    pub keys: u64,
    /// Largest sequence number given out.
    pub seq: u64,
}

/// Where a store with merges stands: for the oracles of space, and for coverage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Segments on the device.
    pub segments: u32,
    /// Segments in use, and free ones.
    pub used: u32,
    /// See `used`.
    pub free: u32,
    /// Keydir entries: keys, tombstones, chunks.
    pub entries: u64,
    /// What the live records cost, and the most that they may; `u64::MAX` where nothing is merged.
    pub live_cost: u64,
    /// See `live_cost`.
    pub live_cost_max: u64,
    /// Most bytes of one record.
    pub record_bytes_max: u32,
    /// Segments announced as free by this session.
    pub announced: u64,
    /// Segments given back by this session.
    pub freed: u64,
    /// Tombstones that merges of this session retired, and copied.
    pub tombstones_retired: u64,
    /// See `tombstones_retired`.
    pub tombstones_copied: u64,
    /// Segments that the sweep of this session went through.
    pub swept: u64,
    /// Segments that this open passed over because their announcement is durable.
    pub passed_over: u32,
    /// Segments kept although records in them cannot be read.
    pub damaged: u32,
    /// Work left of the merges that are under way.
    pub debt: u64,
    /// Snapshots held, and old versions kept for them or not given back yet; the most that are.
    pub snapshots: u32,
    /// See `snapshots`.
    pub versions: u32,
    /// See `snapshots`.
    pub versions_max: u32,
    /// Whether snapshots expire when there are too many versions.
    pub may_expire: bool,
    /// What keeping a record costs beside its own bytes; 0 where none is kept.
    pub extra: u32,
    /// What a record costs more, at most, where short records are counted by what their copies take.
    pub short: u32,
}

/// A key and its value.
pub type Pair<'b> = (&'b [u8], &'b [u8]);

/// An open store on a simulated device. Every error is the store's own.
#[expect(clippy::missing_errors_doc, reason = "each one is documented at the store's own method")]
pub trait Kv {
    /// A position of an iteration.
    type Cursor: Default;

    /// The device below.
    fn device(&mut self) -> &mut SimDevice;
    /// Stages a value.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error>;
    /// Stages a delete; whether the key was there.
    fn delete(&mut self, key: &[u8]) -> Result<bool, Error>;
    /// Reads a value.
    fn get<'b>(&mut self, key: &[u8], buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, Error>;
    /// Reads a value as a stream, in small pieces, into `buffer`; its length.
    fn get_streamed(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>, Error>;
    /// The length of a value.
    fn value_len(&mut self, key: &[u8]) -> Result<Option<u64>, Error>;
    /// Whether a key is there.
    fn contains(&mut self, key: &[u8]) -> Result<bool, Error>;
    /// Stages changes and commits or drops them.
    fn batch(&mut self, changes: &[Change<'_>], end: BatchEnd) -> Result<(), Error>;
    /// Makes everything durable.
    fn sync(&mut self) -> Result<(), Error>;
    /// The next pair.
    fn next<'b>(
        &mut self,
        cursor: &mut Self::Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<Pair<'b>>, Error>;
    /// Puts a value from a stream that may end before `bytes`.
    fn put_stream(&mut self, key: &[u8], bytes: u64, source: &mut Source<'_>) -> Result<(), Error>;
    /// Verifies every checksum: the first damage in words, if there is one.
    fn check(&mut self) -> Result<Option<String>, Error>;
    /// Numbers.
    fn stats(&self) -> KvStats;
    /// Merges for about `budget` bytes of work; whether there is more.
    fn merge(&mut self, budget: u64) -> Result<bool, Error> {
        let _ = budget;
        Ok(false)
    }
    /// Takes a snapshot. A store without them has no room for one.
    fn snapshot(&mut self) -> Result<SnapshotId, Error> {
        Err(Error::SnapshotsFull { capacity: 0 })
    }
    /// Reads a value at a snapshot.
    fn get_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        key: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error> {
        let _ = (snapshot, key, buffer);
        Err(Error::SnapshotGone)
    }
    /// The next pair at a snapshot.
    fn next_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        cursor: &mut Self::Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<Pair<'b>>, Error> {
        let _ = (snapshot, cursor, buffer);
        Err(Error::SnapshotGone)
    }
    /// Calls `each` with all pairs at a snapshot.
    fn fold(
        &mut self,
        snapshot: SnapshotId,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        let _ = (snapshot, each);
        Err(Error::SnapshotGone)
    }
    /// Gives a snapshot back.
    fn release(&mut self, snapshot: SnapshotId) -> Result<(), Error> {
        let _ = snapshot;
        Err(Error::SnapshotGone)
    }
    /// Where a store with merges stands.
    fn space(&self) -> Option<Space> {
        None
    }
    /// Closes the store cleanly.
    fn close(self) -> Result<(), Error>;
    /// Which rare paths the engine took since it was opened, one bit each: for coverage.
    fn marks(&self) -> u64 {
        0
    }
}

/// The reader of `put_stream`: gives uneven pieces and may end early.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl<'a> Source<'a> {
    /// A stream of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, piece: 1 }
    }
}

impl embedded_io::ErrorType for Source<'_> {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let count = self.bytes.len().min(buffer.len()).min(self.piece);
        self.piece = self.piece * 3 % 601 + 1;
        let (head, rest) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(head);
        self.bytes = rest;
        Ok(count)
    }
}
