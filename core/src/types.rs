//! Newtypes for every index, sequence and place that the engine talks about.

/// Index of a segment on the device, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

/// A sequence number: the engine's only clock. 0 is never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Number of a writing session of a store; each open that writes takes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u32);

/// A byte offset inside a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u32);

/// Index of a frame of the buffer pool, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// Index of a page on the device: its address divided by the page size, counted from the first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

/// A byte position in the log area: segment index times segment size plus offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogAddress(pub u64);

/// What a keydir entry and the record behind it stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A record that holds the value.
    Value = 0,
    /// A deleted key.
    Tombstone = 1,
    /// A record that describes a chunked value.
    ChunkHead = 2,
    /// One chunk of a chunked value, under an internal key.
    Chunk = 3,
}

impl EntryKind {
    /// The kind for two bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Value,
            1 => Self::Tombstone,
            2 => Self::ChunkHead,
            _ => Self::Chunk,
        }
    }
}

/// Where the newest record of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Position of the record's first byte.
    pub address: LogAddress,
    /// Bytes of the record: header, key and value.
    pub record_bytes: u32,
}

/// 80 bits of keyed hash that stand for a key in the keydir and in hints.
///
/// The order of `(shard, position)` is the keydir's iteration order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Chooses the shard, and tells keys of one shard further apart.
    pub shard: u16,
    /// Chooses the slot inside the shard.
    pub position: u64,
}
