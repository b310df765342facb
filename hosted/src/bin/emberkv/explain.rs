//! Errors of the store, the device and the system, in words: what is wrong, and what to do about
//! it.

use std::io;
use std::path::Path;

use emberkv_core::{DeviceError, DeviceErrorKind, Error, StreamError};
use emberkv_file::{FileError, Reason};
use emberkv_raw::RawError;
use emberkv_raw::probe::Content;

use crate::failure::{Failure, StoreError, shown};

/// An error of the store at `path`.
pub(crate) fn store_error(path: &Path, error: StoreError) -> Failure {
    match error {
        Error::Device(error) => device_error(path, &error),
        // The variants without a device error do not depend on its type.
        other => engine_error(path, &other.map_device(|error| error.kind())),
    }
}

/// An error met while a value was streamed out of the store at `path`.
pub(crate) fn stream_error(path: &Path, error: StreamError<FileError>) -> Failure {
    store_error(path, error.0)
}

/// An error of the engine that is not one of the device.
pub(crate) fn engine_error(path: &Path, error: &Error<DeviceErrorKind>) -> Failure {
    let damaged = |at| Failure::Damaged { place: shown(path), what: error.to_string(), at };
    match error {
        Error::Corrupted(place) => damaged(Some(*place)),
        Error::DeviceTooSmall { .. } => damaged(None),
        _ => Failure::new(path, error.to_string(), advice(error)),
    }
}

fn advice(error: &Error<DeviceErrorKind>) -> &'static str {
    match error {
        Error::NotAStore => "check the path, or make a store with `emberkv create`",
        Error::UnsupportedVersion { .. } | Error::UnsupportedFeatures { .. } => {
            "open it with a newer emberkv"
        }
        Error::Full => {
            "if `emberkv stat` says that it may grow, make room on its file system; else load its \
             dump into a store with a larger --max-capacity (deleting does not free space yet)"
        }
        Error::KeydirFull { .. } => "use a machine with more memory, or several stores",
        Error::Config { .. } | Error::Geometry(_) => "choose other sizes",
        Error::KeySize { .. } => "choose another key",
        Error::ValueTooLarge { .. } => "split it",
        Error::PoolExhausted => "give more memory with --cache",
        Error::Poisoned | Error::Device(_) => "look for errors of the disk, then try again",
        Error::Exhausted => "dump it and load the dump into a new store",
        _ => "",
    }
}

/// An error of opening the block device at `path`.
pub(crate) fn raw_error(path: &Path, error: &RawError) -> Failure {
    match error {
        RawError::Device(error) => device_error(path, error),
        RawError::Holds { found, .. } => {
            Failure::new(path, format!("holds {found}, not a store"), "name another device")
        }
        other => Failure::new(path, other.to_string(), ""),
    }
}

/// A block device at `path` that is not blank, and that nobody has given up.
pub(crate) fn would_destroy(path: &Path, found: Content) -> Failure {
    let advice =
        format!("to destroy that and everything else on it, say `--destroy {}`", found.name());
    Failure::new(path, format!("holds {found}"), advice)
}

/// An error of the file or block device behind the store at `path`.
pub(crate) fn device_error(path: &Path, error: &FileError) -> Failure {
    let (what, advice) = match error.reason {
        Reason::Os(errno) => {
            let error_of_os = io::Error::from(errno);
            let what = format!("cannot {}: {}", error.operation, io_error(&error_of_os));
            (what, io_advice(&error_of_os))
        }
        Reason::Locked => ("in use by another process".to_owned(), "close it there first"),
        Reason::Exists => ("exists already".to_owned(), "choose another name, or remove it first"),
        Reason::Symlink => ("is a symbolic link".to_owned(), "name the file that it points to"),
        Reason::NotAFile => ("is not a regular file".to_owned(), "name a file"),
        Reason::NotABlockDevice => {
            ("is not a block device".to_owned(), "name a disk or a partition")
        }
        Reason::InUse => (
            "in use, or mounted".to_owned(),
            "close it, unmount it, or take it out of its volume or array first",
        ),
        _ => {
            // The rest names the path itself, which need not be the one that the user knows.
            let text = error.to_string();
            let own = format!("{}: ", error.path.display());
            (text.strip_prefix(&own).unwrap_or(&text).to_owned(), "")
        }
    };
    Failure::new(path, what, advice)
}

/// An I/O error in words, without the number that the standard library adds.
pub(crate) fn io_error(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => error.kind().to_string(),
    }
}

/// What to do about an I/O error.
pub(crate) fn io_advice(error: &io::Error) -> &'static str {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied => "check its permissions",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its file system",
        ErrorKind::ReadOnlyFilesystem => "choose a file system that can be written",
        ErrorKind::IsADirectory => "name a file",
        ErrorKind::NotADirectory => "name a directory",
        _ => "",
    }
}
