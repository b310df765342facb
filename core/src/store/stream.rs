//! Values read piece by piece, as a stream of `embedded-io`: for [`Store`].

use super::{Store, now};
use crate::async_store::ValueCursor;
use crate::device::BlockDevice;
use crate::error::Error;

/// Reads one value piece by piece.
#[derive(Debug)]
pub struct ValueReader<'s, 'm, D: BlockDevice> {
    pub(super) store: &'s mut Store<'m, D>,
    pub(super) value: ValueCursor,
}

impl<D: BlockDevice> ValueReader<'_, '_, D> {
    /// Bytes of the whole value.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.value.bytes()
    }
}

impl<D: BlockDevice> Drop for ValueReader<'_, '_, D> {
    fn drop(&mut self) {
        self.store.inner.engine.release_record();
    }
}

/// The error of reading a value as a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError<E>(pub Error<E>);

impl<E: core::fmt::Display> core::fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: core::fmt::Debug + core::fmt::Display> core::error::Error for StreamError<E> {}

impl<E: core::fmt::Debug + core::fmt::Display> embedded_io::Error for StreamError<E> {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self.0 {
            Error::Corrupted(_) => embedded_io::ErrorKind::InvalidData,
            _ => embedded_io::ErrorKind::Other,
        }
    }
}

impl<D: BlockDevice> embedded_io::ErrorType for ValueReader<'_, '_, D> {
    type Error = StreamError<D::Error>;
}

impl<D: BlockDevice> embedded_io::Read for ValueReader<'_, '_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        now(self.store.inner.read_value(&mut self.value, buffer)).map_err(StreamError)
    }
}
