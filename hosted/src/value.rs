//! A value that was read.

use core::fmt;
use core::ops::{Deref, Range};

use emberkv_core::Seq;

/// The bytes of a value, and the sequence at which it was written. Owned: it stays what it is
/// whatever is written later.
#[derive(Clone)]
pub struct Value {
    /// The whole record, so that a read copies once.
    bytes: Vec<u8>,
    value: Range<usize>,
    seq: Seq,
}

/// More than this many unused bytes are not kept.
const SLACK_BYTES: usize = 1024;

impl Value {
    pub(crate) fn new(mut bytes: Vec<u8>, value: Range<usize>, seq: Seq) -> Self {
        if bytes.capacity() - bytes.len() > SLACK_BYTES {
            bytes.shrink_to_fit();
        }
        Self { bytes, value, seq }
    }

    /// When it was written: greater than that of everything written before. For
    /// [`Db::put_if`](crate::Db::put_if).
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.value.clone()]
    }

    /// The bytes, as a vector of their own.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        let Self { mut bytes, value, .. } = self;
        bytes.truncate(value.end);
        bytes.drain(..value.start);
        bytes
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Value> for Vec<u8> {
    fn from(value: Value) -> Self {
        value.into_vec()
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        self.as_slice() == other.as_ref()
    }
}

/// The length only: the bytes are the user's.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("bytes", &self.value.len())
            .field("seq", &self.seq.0)
            .finish_non_exhaustive()
    }
}
