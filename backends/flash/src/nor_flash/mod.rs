//! Any NOR flash of `embedded-storage`, or `embedded-storage-async`, as a device.
//!
//! * **Units** are the trait's: `READ_SIZE`, `WRITE_SIZE`, `ERASE_SIZE`. The engine needs powers of
//!   two; anything else is a [`GeometryError`](emberkv_core::GeometryError) of `new`.
//! * **Tearing.** The trait says that a power cut leaves the words being written undefined and the
//!   rest of the page unchanged, so `tear_unit` is `WRITE_SIZE`. Where a part's manual says less,
//!   set [`NorOptions::tear_unit`].
//! * **Order.** A write is on the medium when it returns: `ordered`, and `flush` has nothing to do.
//! * **Programming twice.** The engine writes each word once per erase, so the plain `NorFlash` is
//!   enough. `MultiwriteNorFlash`, which promises that a second write clears further bits, gives it
//!   nothing more: parts with ECC, which cannot have that, are as good.
//! * **Unreadable words.** Flash with ECC refuses to read a word whose programming was cut off. The
//!   trait has no name for that error. Give a function that knows the driver's error to
//!   `with_classifier` and answer `Uncorrectable`: at the end of the log such a word then counts as
//!   torn, while any other failure stops the open instead of hiding data.
//!
//! `logic` holds the rules, once; `blocking` and `asynchronous` are the two faces.

#[cfg(feature = "embedded-storage-async")]
mod asynchronous;
mod blocking;
mod logic;

use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};
use emberkv_core::DeviceErrorKind;

use crate::verify::Verify;

#[cfg(feature = "embedded-storage-async")]
pub use asynchronous::AsyncNorFlashDevice;
pub use blocking::NorFlashDevice;

/// What the trait does not tell about a flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NorOptions {
    /// Bytes that an interrupted write may destroy around itself, a power of two; 0 for one word.
    pub tear_unit: u32,
    /// What buffers must be aligned to in memory, a power of two: 4 for QSPI with DMA, for
    /// instance.
    pub buffer_align: u32,
    /// What erased bytes read as; `None` where that is not constant (encrypted flash).
    pub erased: Option<u8>,
    /// Whether writes and erases are read back. Needs `READ_SIZE` up to 128 bytes and buffers
    /// aligned to at most 32.
    pub verify: Verify,
}

impl Default for NorOptions {
    fn default() -> Self {
        Self { tear_unit: 0, buffer_align: 1, erased: Some(0xFF), verify: Verify::ReadBack }
    }
}

/// The class of an error whose driver is not known better.
fn classify<E: NorFlashError>(error: &E) -> DeviceErrorKind {
    match error.kind() {
        NorFlashErrorKind::NotAligned => DeviceErrorKind::Misaligned,
        NorFlashErrorKind::OutOfBounds => DeviceErrorKind::OutOfBounds,
        _ => DeviceErrorKind::Other,
    }
}
