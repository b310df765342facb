//! What can go wrong with a file or a block device: which operation, on which path, why, and what
//! to do about it.

use core::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use emberkv_core::{DeviceError, DeviceErrorKind};
use rustix::io::Errno;

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Making a new file.
    Create,
    /// Opening a file.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Erasing, which a file does not need; its range is checked all the same.
    Erase,
    /// Giving space back.
    Discard,
    /// Making writes durable.
    Flush,
    /// Growing.
    Grow,
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The operating system says so.
    Os(Errno),
    /// Another process, or another part of this one, has the file open.
    Locked,
    /// There is something under the name of the new file.
    Exists,
    /// The last component of the path is a symbolic link, which is not followed.
    Symlink,
    /// The path is not a regular file: a directory, a pipe, a device.
    NotAFile,
    /// The path is not a block device: a file, a directory, a pipe, a character device.
    NotABlockDevice,
    /// The block device is held: mounted, part of a volume or an array, used for swap, or open in
    /// another process or another part of this one. The kernel does not tell which.
    InUse,
    /// It was opened for reading only.
    ReadOnly,
    /// It is shorter than it was when it was opened.
    Shrunk,
    /// The operating system transferred nothing, several times, and gave no error.
    NoProgress,
    /// Address or length is not a multiple of the unit.
    Misaligned {
        /// Where.
        address: u64,
        /// How many bytes.
        bytes: u64,
        /// What both must be multiples of.
        unit: u32,
    },
    /// A buffer does not start at a multiple of
    /// [`buffer_align`](emberkv_core::Geometry::buffer_align).
    BufferMisaligned {
        /// What it must be a multiple of.
        align: u32,
    },
    /// The range passes the end of the device.
    OutOfBounds {
        /// Where.
        address: u64,
        /// How many bytes.
        bytes: u64,
        /// Bytes of the device.
        capacity: u64,
    },
    /// More bytes than one transfer may have.
    TransferTooLong {
        /// How many bytes.
        bytes: u64,
        /// The most that are allowed.
        max: u32,
    },
}

/// An error of a [`FileDevice`](crate::FileDevice) or another device over a
/// [`Descriptor`](crate::Descriptor).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileError {
    /// What was being done.
    pub operation: Operation,
    /// The file or block device.
    pub path: Arc<Path>,
    /// Why it failed.
    pub reason: Reason,
}

impl FileError {
    /// An error of a device on `path`.
    #[must_use]
    pub fn new(operation: Operation, path: Arc<Path>, reason: impl Into<Reason>) -> Self {
        Self { operation, path, reason: reason.into() }
    }

    /// The number of the operating system's error, if it was one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self.reason {
            Reason::Os(errno) => Some(errno.raw_os_error()),
            _ => None,
        }
    }
}

impl DeviceError for FileError {
    fn kind(&self) -> DeviceErrorKind {
        match self.reason {
            Reason::Os(errno) => errno_kind(self.operation, errno),
            Reason::ReadOnly => DeviceErrorKind::ReadOnly,
            Reason::Shrunk => DeviceErrorKind::Gone,
            Reason::Misaligned { .. } | Reason::BufferMisaligned { .. } => {
                DeviceErrorKind::Misaligned
            }
            Reason::OutOfBounds { .. } | Reason::TransferTooLong { .. } => {
                DeviceErrorKind::OutOfBounds
            }
            Reason::Locked
            | Reason::Exists
            | Reason::Symlink
            | Reason::NotAFile
            | Reason::NotABlockDevice
            | Reason::InUse
            | Reason::NoProgress => DeviceErrorKind::Other,
        }
    }
}

fn errno_kind(operation: Operation, errno: Errno) -> DeviceErrorKind {
    match errno {
        // ENODATA is what a disk's uncorrectable sector becomes on some paths, EILSEQ one of its
        // protection.
        Errno::IO | Errno::NODATA | Errno::ILSEQ => match operation {
            Operation::Read | Operation::Open => DeviceErrorKind::Uncorrectable,
            _ => DeviceErrorKind::Media,
        },
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => DeviceErrorKind::Full,
        Errno::ROFS | Errno::ACCESS | Errno::PERM => DeviceErrorKind::ReadOnly,
        Errno::NODEV | Errno::NXIO | Errno::NOENT | Errno::STALE => DeviceErrorKind::Gone,
        Errno::INTR | Errno::AGAIN => DeviceErrorKind::Transient,
        Errno::INVAL if matches!(operation, Operation::Read | Operation::Write) => {
            DeviceErrorKind::Misaligned
        }
        _ => DeviceErrorKind::Other,
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Erase => "erase",
            Self::Discard => "discard",
            Self::Flush => "make durable",
            Self::Grow => "grow",
        })
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.reason {
            Reason::Os(errno) => {
                let error = io::Error::from(errno);
                write!(f, "cannot {}: {error}{}", self.operation, advice(errno))
            }
            Reason::Locked => f.write_str("in use by another process: close it there first"),
            Reason::Exists => f.write_str("exists already: choose another name or remove it first"),
            Reason::Symlink => f.write_str("is a symbolic link: name the file that it points to"),
            Reason::NotAFile => f.write_str("is not a regular file: name a file"),
            Reason::NotABlockDevice => {
                f.write_str("is not a block device: name a disk or a partition")
            }
            Reason::InUse => f.write_str(
                "in use, or mounted: close it, unmount it or take it out of its array first",
            ),
            Reason::ReadOnly => f.write_str("is open for reading only: open it for writing"),
            Reason::Shrunk => f.write_str(
                "is shorter than when it was opened: something has cut it; restore it from a copy",
            ),
            Reason::NoProgress => {
                write!(f, "cannot {}: the operating system transfers nothing", self.operation)
            }
            Reason::Misaligned { address, bytes, unit } => {
                write!(f, "{bytes} bytes at {address} are not aligned to {unit}")
            }
            Reason::BufferMisaligned { align } => {
                write!(f, "the buffer in memory must be aligned to {align}: take an AlignedBuffer")
            }
            Reason::OutOfBounds { address, bytes, capacity } => {
                write!(f, "{bytes} bytes at {address} are not inside its {capacity} bytes")
            }
            Reason::TransferTooLong { bytes, max } => {
                write!(f, "one transfer has at most {max} bytes, not {bytes}")
            }
        }
    }
}

/// What to do about an error of the operating system, where that is known.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC | Errno::DQUOT => ": make room on its file system",
        Errno::FBIG => ": choose a smaller capacity",
        Errno::ACCESS | Errno::PERM => ": check its permissions",
        Errno::ROFS => ": open it for reading only, or mount the file system for writing",
        Errno::NOENT => ": check the path",
        Errno::IO => ": check the disk and the kernel's log; restore from a copy if it persists",
        _ => "",
    }
}

impl std::error::Error for FileError {}

/// A failure before it is known where; [`at`](At::at) adds that.
pub(crate) trait At<T> {
    /// The same failure with its operation and path.
    fn at(self, operation: Operation, path: &Arc<Path>) -> Result<T, FileError>;
}

impl<T, R: Into<Reason>> At<T> for Result<T, R> {
    fn at(self, operation: Operation, path: &Arc<Path>) -> Result<T, FileError> {
        self.map_err(|reason| FileError {
            operation,
            path: Arc::clone(path),
            reason: reason.into(),
        })
    }
}

impl From<Errno> for Reason {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}
