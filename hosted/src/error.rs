//! The one error of [`Db`](crate::Db): what is wrong, the limit and the value, and what to do.
//! Never a byte of a key or of a value.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkv_core::Corruption;
use emberkv_core::Error as EngineError;
use emberkv_file::{FileError, Reason};
use emberkv_raw::RawError;

/// What can go wrong with a [`Db`](crate::Db). An operation that fails leaves the store as it was,
/// unless it says otherwise; an error from a durable write means that its outcome is unknown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file or device is open elsewhere.
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// There is something under the name of a new store.
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// There is no EmberKV store. Nothing was written.
    NotAStore,
    /// The store is full, and cannot grow. Deletes still pass.
    Full {
        /// Its bytes.
        capacity: u64,
        /// The most that it may grow to.
        capacity_max: u64,
    },
    /// As many keys as the memory limit allows.
    KeydirFull {
        /// Entries, deleted keys that are not yet merged away among them.
        capacity: u64,
    },
    /// The key is empty or too long.
    KeySize {
        /// Its bytes.
        bytes: usize,
        /// The most.
        max: usize,
    },
    /// The value is too long.
    ValueTooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most.
        max: u64,
    },
    /// The batch has more bytes than can be atomic.
    BatchTooLarge {
        /// The most that its records may have together.
        max: u32,
    },
    /// The store was opened for reading only.
    ReadOnly,
    /// A write or a flush of the device failed: what was durable then can be read, nothing is
    /// written any more.
    Poisoned {
        /// The device's last error, where there is one.
        cause: Option<Arc<FileError>>,
    },
    /// The medium is damaged at this place.
    Corrupted(Corruption),
    /// The file or block device failed, or could not be opened.
    Device(Arc<FileError>),
    /// A block device holds something that is not a store.
    Raw(Arc<RawError>),
    /// The snapshot expired, because there was no room to keep what it sees.
    SnapshotExpired,
    /// No place for one more snapshot.
    SnapshotsFull {
        /// Snapshots at once.
        capacity: u32,
    },
    /// The store was closed through another handle.
    Closed,
    /// A thread ended in a panic while it held the store, which answers nothing any more. Reopen
    /// it: what was durable is there.
    Panicked,
    /// There is not so much memory.
    NoMemory {
        /// Bytes.
        bytes: usize,
    },
    /// A call of the operating system failed.
    Io {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// Anything else that the engine refuses; its text says what.
    Engine(EngineError),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source: Arc::new(source) }
    }

    /// From the engine, where `cause` is the device's last error.
    pub(crate) fn from_engine(error: EngineError, cause: Option<Arc<FileError>>) -> Self {
        match error {
            EngineError::Device(kind) => match cause {
                Some(cause) => Self::Device(cause),
                None => Self::Engine(EngineError::Device(kind)),
            },
            EngineError::NotAStore => Self::NotAStore,
            EngineError::KeydirFull { capacity } => Self::KeydirFull { capacity },
            EngineError::KeySize { bytes, max } => Self::KeySize { bytes, max },
            EngineError::ValueTooLarge { bytes, max } => Self::ValueTooLarge { bytes, max },
            EngineError::BatchTooLarge { max } => Self::BatchTooLarge { max },
            EngineError::ReadOnly => Self::ReadOnly,
            EngineError::Poisoned => Self::Poisoned { cause },
            EngineError::Corrupted(place) => Self::Corrupted(place),
            EngineError::SnapshotExpired => Self::SnapshotExpired,
            EngineError::SnapshotsFull { capacity } => Self::SnapshotsFull { capacity },
            other => Self::Engine(other),
        }
    }

    /// From formatting or opening.
    pub(crate) fn from_store(error: EngineError<FileError>) -> Self {
        match error {
            EngineError::Device(error) => error.into(),
            other => Self::from_engine(
                other.map_device(|error| emberkv_core::DeviceError::kind(&error)),
                None,
            ),
        }
    }

    const fn advice(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "close it there first",
            Self::Exists { .. } => "open it, or choose another name",
            Self::NotAStore => "check the path",
            Self::Full { .. } => "delete something, or make a store with a larger max_capacity",
            Self::KeydirFull { .. } => "open it with a larger memory_limit or max_keys",
            Self::KeySize { .. } => "choose another key",
            Self::ValueTooLarge { .. } | Self::BatchTooLarge { .. } => "split it",
            Self::ReadOnly => "open it without read_only",
            Self::Poisoned { .. } => "look for errors of the disk, then open the store again",
            Self::Corrupted(_) => {
                "restore a backup, or `emberkv check` to see what else is damaged"
            }
            Self::SnapshotExpired => "read faster, or take a new one",
            Self::SnapshotsFull { .. } => "drop those that are not needed",
            Self::Closed | Self::Panicked => "open the store again",
            Self::NoMemory { .. } => "set a smaller cache_bytes or memory_limit",
            Self::Device(_) | Self::Raw(_) | Self::Io { .. } | Self::Engine(_) => "",
        }
    }

    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => write!(f, "{}: in use elsewhere", path.display()),
            Self::Exists { path } => write!(f, "{}: exists already", path.display()),
            Self::NotAStore => f.write_str("not an EmberKV store"),
            Self::Full { capacity, capacity_max } => {
                write!(f, "the store is full: it has {capacity} bytes and may have {capacity_max}")
            }
            Self::KeydirFull { capacity } => {
                write!(f, "the keydir is full: it holds {capacity} keys")
            }
            Self::KeySize { bytes, max } => {
                write!(f, "a key of {bytes} bytes: keys have 1 to {max} bytes")
            }
            Self::ValueTooLarge { bytes, max } => {
                write!(f, "a value of {bytes} bytes: at most {max} are possible")
            }
            Self::BatchTooLarge { max } => {
                write!(f, "the batch is too large: its records may have {max} bytes together")
            }
            Self::ReadOnly => f.write_str("the store is open for reading only"),
            Self::Poisoned { cause: Some(cause) } => {
                write!(f, "nothing is written any more, since a write failed: {cause}")
            }
            Self::Poisoned { cause: None } => {
                f.write_str("nothing is written any more, since a write failed")
            }
            Self::Corrupted(place) => write!(f, "{place}"),
            Self::Device(error) => write!(f, "{error}"),
            Self::Raw(error) => write!(f, "{error}"),
            Self::SnapshotExpired => {
                f.write_str("the snapshot expired: there was no room to keep what it sees")
            }
            Self::SnapshotsFull { capacity } => {
                write!(f, "{capacity} snapshots are held, and there is room for no more")
            }
            Self::Closed => f.write_str("the store was closed"),
            Self::Panicked => f.write_str("a thread that used the store has panicked"),
            Self::NoMemory { bytes } => write!(f, "there is no memory for {bytes} bytes"),
            Self::Io { what, path, source } => write!(f, "{}: {what}: {source}", path.display()),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what(f)?;
        match self.advice() {
            "" => Ok(()),
            advice => write!(f, "; {advice}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(error) => Some(&**error),
            Self::Poisoned { cause: Some(error) } => Some(&**error),
            Self::Raw(error) => Some(&**error),
            Self::Io { source, .. } => Some(&**source),
            Self::Engine(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error.reason {
            Reason::Locked | Reason::InUse => Self::Locked { path: error.path.to_path_buf() },
            Reason::Exists => Self::Exists { path: error.path.to_path_buf() },
            _ => Self::Device(Arc::new(error)),
        }
    }
}

impl From<RawError> for Error {
    fn from(error: RawError) -> Self {
        match error {
            RawError::Device(error) => error.into(),
            other => Self::Raw(Arc::new(other)),
        }
    }
}
