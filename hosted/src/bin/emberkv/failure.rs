//! What a verb answers: done, not there, or the one line that says what went wrong and what to do.
//!
//! Every line on standard error has the form `emberkv: PLACE: what; what to do`.

use std::fmt;
use std::io;
use std::path::Path;

use emberkv_core::{Corruption, Error};
use emberkv_file::FileError;

use crate::explain;

/// A verb that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// The key is not there, or `check` or `salvage` found damage: exit code 1.
    Negative,
}

/// The error of the store as the command line opens it.
pub(crate) type StoreError = Error<FileError>;

/// A verb that did not.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read standard output has gone: nobody is left to tell, and nothing is wrong.
    PipeClosed,
    /// The store is damaged.
    Damaged {
        /// The store.
        place: String,
        /// What is damaged.
        what: String,
        /// Where, if a checksum found it.
        at: Option<Corruption>,
    },
    /// Anything else.
    Told {
        /// The file that the line is about.
        place: String,
        /// What is wrong.
        what: String,
        /// What to do about it.
        advice: String,
    },
}

impl Failure {
    /// A failure at `path`.
    pub(crate) fn new(path: &Path, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Told { place: shown(path), what: what.into(), advice: advice.into() }
    }

    /// An I/O error at `path` that happened while `doing`.
    pub(crate) fn io(path: &Path, doing: &str, error: &io::Error) -> Self {
        Self::new(path, format!("{doing}: {}", explain::io_error(error)), explain::io_advice(error))
    }

    /// The same failure with a remark about what is still true.
    pub(crate) fn with_remark(self, remark: &str) -> Self {
        match self {
            Self::PipeClosed => Self::PipeClosed,
            Self::Damaged { place, what, at } => {
                Self::Damaged { place, what: format!("{what} ({remark})"), at }
            }
            Self::Told { place, what, advice } => {
                Self::Told { place, what: format!("{what} ({remark})"), advice }
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PipeClosed => Ok(()),
            Self::Damaged { place, what, .. } => {
                write!(f, "emberkv: {place}: {what}; `emberkv check` lists all damage")
            }
            Self::Told { place, what, advice } if advice.is_empty() => {
                write!(f, "emberkv: {place}: {what}")
            }
            Self::Told { place, what, advice } => write!(f, "emberkv: {place}: {what}; {advice}"),
        }
    }
}

/// Puts the place to an error.
pub(crate) trait At<T> {
    /// This result, its error told as one of the store at `path`.
    fn at(self, path: &Path) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, StoreError> {
    fn at(self, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| explain::store_error(path, error))
    }
}

/// A path on one line of a terminal: control characters and bytes that are not UTF-8 are escaped.
pub(crate) fn shown(path: &Path) -> String {
    text(path.as_os_str().as_encoded_bytes())
}

/// Bytes on one line of a terminal.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Failure, text};
    use std::path::Path;

    #[test]
    fn a_failure_is_one_line_whatever_the_path_holds() {
        let line = Failure::new(Path::new("a\nb"), "what", "do this").to_string();
        assert_eq!(line, "emberkv: a\\nb: what; do this");
        assert_eq!(text(b"a\xffb"), "a\\xffb");
    }
}
