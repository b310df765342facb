//! Why a device was not given out.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use emberkv_file::FileError;

use crate::probe::Content;

/// An error of opening or claiming a block device. Nothing was written to it, unless writing is
/// what failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawError {
    /// The device cannot be opened, read or wiped;
    /// [`Reason::NotABlockDevice`](crate::Reason::NotABlockDevice) and
    /// [`Reason::InUse`](crate::Reason::InUse) are among the reasons.
    Device(FileError),
    /// It holds something that must not be opened, or not be overwritten.
    Holds {
        /// The device.
        path: Arc<Path>,
        /// What it holds.
        found: Content,
    },
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Holds { path, found } => write!(f, "{}: holds {found}", path.display()),
        }
    }
}

impl std::error::Error for RawError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(error) => Some(error),
            Self::Holds { .. } => None,
        }
    }
}

impl From<FileError> for RawError {
    fn from(error: FileError) -> Self {
        Self::Device(error)
    }
}
