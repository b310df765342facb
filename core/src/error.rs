//! The one error type of the engine, and where damage lies.

use core::fmt;

use crate::device::{DeviceErrorKind, GeometryError};
use crate::types::{Offset, SegmentId};

/// A damaged place on the medium, found by a checksum or by something that must be there and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The segment; `None` for the superblock area.
    pub segment: Option<SegmentId>,
    /// First byte of the damaged structure, from the start of the segment (or of the device).
    pub offset: Offset,
    /// The structure that is damaged.
    pub what: Damage,
}

/// The structure that a checksum found damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A copy of the superblock.
    Superblock,
    /// A segment that must exist has no readable header.
    SegmentHeader,
    /// A segment's successor mark.
    Mark,
    /// A segment's footer.
    Footer,
    /// A group behind which the log was acknowledged.
    Group,
    /// The hints of a segment.
    Hints,
    /// One record: header, key or value.
    Record,
    /// A chunk of a chunked value is missing or does not fit it.
    Chunk,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Superblock => "superblock",
            Self::SegmentHeader => "segment header",
            Self::Mark => "successor mark",
            Self::Footer => "footer",
            Self::Group => "group",
            Self::Hints => "hints",
            Self::Record => "record",
            Self::Chunk => "chunk",
        })
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.segment {
            Some(segment) => {
                write!(
                    f,
                    "damaged {} in segment {} at offset {}",
                    self.what, segment.0, self.offset.0
                )
            }
            None => write!(f, "damaged {} at offset {}", self.what, self.offset.0),
        }
    }
}

/// What can go wrong. `E` is the device's error.
///
/// An operation that fails leaves the store as it was, unless its documentation says otherwise. An error never
/// contains bytes of a key or of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E = DeviceErrorKind> {
    /// The device failed; the operation had no effect, or for a durable write an unknown one.
    Device(E),
    /// The device's geometry cannot carry a store.
    Geometry(GeometryError),
    /// There is no EmberKV store on the device. Nothing was written.
    NotAStore,
    /// The device is not blank, so it was not formatted.
    NotBlank,
    /// The store was written by a newer version of the format.
    UnsupportedVersion {
        /// The version found.
        found: u16,
    },
    /// The store uses a feature that this version does not know.
    UnsupportedFeatures {
        /// The unknown bits.
        bits: u32,
    },
    /// The device is smaller than the store on it.
    DeviceTooSmall {
        /// Bytes that the store needs.
        want: u64,
        /// Bytes that the device has.
        have: u64,
    },
    /// The device's units do not fit the store on it: written on a device with smaller ones.
    UnitMismatch {
        /// The unit on the medium, in bytes.
        medium: u32,
        /// The unit of the device, in bytes.
        device: u32,
    },
    /// A configuration value does not fit the device or another value.
    Config {
        /// The field.
        field: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// The arena is too small.
    ArenaTooSmall {
        /// Bytes that this configuration needs.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// The medium is damaged at this place.
    Corrupted(Corruption),
    /// The key is empty or longer than the store allows.
    KeySize {
        /// Its bytes.
        bytes: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// The value is longer than the store allows.
    ValueTooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most that are allowed.
        max: u64,
    },
    /// The batch does not fit one group. What was staged before stays staged.
    BatchTooLarge {
        /// The most bytes that the batch's records may have together.
        max: u32,
    },
    /// The caller's buffer cannot hold the value.
    BufferTooSmall {
        /// Bytes needed.
        needed: u64,
    },
    /// No space left on the device. Nothing was written.
    Full,
    /// No entry left in the keydir. Nothing was written.
    KeydirFull {
        /// Entries that it holds.
        capacity: u64,
    },
    /// No room to keep an old version for a snapshot. Nothing was written.
    VersionsFull {
        /// Versions that are kept at most.
        capacity: u32,
    },
    /// No place for one more snapshot.
    SnapshotsFull {
        /// Snapshots at once.
        capacity: u32,
    },
    /// This snapshot was given back before.
    SnapshotGone,
    /// This snapshot expired, because there was no room to keep what it sees.
    SnapshotExpired,
    /// The store or the configuration needs a part of the engine that this program was built without.
    LeftOut {
        /// The cargo feature.
        feature: &'static str,
    },
    /// All frames of the buffer pool are in use.
    PoolExhausted,
    /// A write or flush failed before; only what was durable then can be read. Reopen the store.
    Poisoned,
    /// The store was opened read-only.
    ReadOnly,
    /// The reader of a stream ended before the announced length, or failed.
    Stream,
    /// A sequence or boot number is used up: the store can only be read.
    Exhausted,
}

impl<E> Error<E> {
    /// The same error with the device's error translated.
    pub fn map_device<F>(self, translate: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::Device(error) => Error::Device(translate(error)),
            Self::Geometry(error) => Error::Geometry(error),
            Self::NotAStore => Error::NotAStore,
            Self::NotBlank => Error::NotBlank,
            Self::UnsupportedVersion { found } => Error::UnsupportedVersion { found },
            Self::UnsupportedFeatures { bits } => Error::UnsupportedFeatures { bits },
            Self::DeviceTooSmall { want, have } => Error::DeviceTooSmall { want, have },
            Self::UnitMismatch { medium, device } => Error::UnitMismatch { medium, device },
            Self::Config { field, want } => Error::Config { field, want },
            Self::ArenaTooSmall { need, have } => Error::ArenaTooSmall { need, have },
            Self::Corrupted(place) => Error::Corrupted(place),
            Self::KeySize { bytes, max } => Error::KeySize { bytes, max },
            Self::ValueTooLarge { bytes, max } => Error::ValueTooLarge { bytes, max },
            Self::BatchTooLarge { max } => Error::BatchTooLarge { max },
            Self::BufferTooSmall { needed } => Error::BufferTooSmall { needed },
            Self::Full => Error::Full,
            Self::KeydirFull { capacity } => Error::KeydirFull { capacity },
            Self::VersionsFull { capacity } => Error::VersionsFull { capacity },
            Self::SnapshotsFull { capacity } => Error::SnapshotsFull { capacity },
            Self::SnapshotGone => Error::SnapshotGone,
            Self::SnapshotExpired => Error::SnapshotExpired,
            Self::LeftOut { feature } => Error::LeftOut { feature },
            Self::PoolExhausted => Error::PoolExhausted,
            Self::Poisoned => Error::Poisoned,
            Self::ReadOnly => Error::ReadOnly,
            Self::Stream => Error::Stream,
            Self::Exhausted => Error::Exhausted,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Geometry(error) => write!(f, "{error}"),
            Self::NotAStore => f.write_str("not an EmberKV store"),
            Self::NotBlank => f.write_str("the device is not blank: it was not formatted"),
            Self::UnsupportedVersion { found } => {
                write!(f, "the store has format version {found}, which is newer than this program")
            }
            Self::UnsupportedFeatures { bits } => {
                write!(f, "the store uses features that this program does not know: {bits:#x}")
            }
            Self::DeviceTooSmall { want, have } => {
                write!(f, "the store has {want} bytes, the device only {have}: was it cut short?")
            }
            Self::UnitMismatch { medium, device } => {
                write!(
                    f,
                    "the store was written in units of {medium} bytes, the device needs {device}"
                )
            }
            Self::Config { field, want } => write!(f, "configuration: {field} must be {want}"),
            Self::ArenaTooSmall { need, have } => {
                write!(f, "this configuration needs {need} bytes of memory, {have} were given")
            }
            Self::Corrupted(place) => write!(f, "{place}"),
            Self::KeySize { bytes, max } => {
                write!(f, "a key of {bytes} bytes: keys have 1 to {max} bytes")
            }
            Self::ValueTooLarge { bytes, max } => {
                write!(f, "a value of {bytes} bytes: at most {max} are possible")
            }
            Self::BatchTooLarge { max } => {
                write!(f, "the batch is too large: its records may have {max} bytes together")
            }
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: {needed} bytes are needed")
            }
            Self::Full => f.write_str("the store is full"),
            Self::KeydirFull { capacity } => {
                write!(f, "the keydir is full: it holds {capacity} keys")
            }
            Self::VersionsFull { capacity } => {
                write!(
                    f,
                    "{capacity} old versions are kept for snapshots, and there is room for no more"
                )
            }
            Self::SnapshotsFull { capacity } => {
                write!(f, "{capacity} snapshots are held, and there is room for no more")
            }
            Self::SnapshotGone => f.write_str("the snapshot was given back before"),
            Self::SnapshotExpired => {
                f.write_str("the snapshot expired: there was no room to keep what it sees")
            }
            Self::LeftOut { feature } => {
                write!(f, "this program was built without the feature `{feature}`")
            }
            Self::PoolExhausted => f.write_str("all frames of the buffer pool are in use"),
            Self::Poisoned => f.write_str("an earlier write or flush failed: reopen the store"),
            Self::ReadOnly => f.write_str("the store is open for reading only"),
            Self::Stream => f.write_str("the stream ended before its announced length"),
            Self::Exhausted => f.write_str("the store has used up its sequence numbers"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}
