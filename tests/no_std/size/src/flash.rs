//! A NOR flash in static memory with the traits of `embedded-storage`: 64 KiB, words of 4 bytes, erased by 4 KiB.

use core::sync::atomic::{AtomicU8, Ordering};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

pub(crate) const BYTES: usize = 64 * 1024;

// Atomics, because a static that changes needs them or `unsafe`; loads and stores of bytes cost nothing.
static CELLS: [AtomicU8; BYTES] = [const { AtomicU8::new(0xff) }; BYTES];

/// The flash.
pub(crate) struct Flash;

fn cells(offset: u32, bytes: usize) -> Result<&'static [AtomicU8], NorFlashErrorKind> {
    let rest = CELLS.get(offset as usize..).ok_or(NorFlashErrorKind::OutOfBounds)?;
    rest.get(..bytes).ok_or(NorFlashErrorKind::OutOfBounds)
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let cells = cells(offset, bytes.len())?;
        bytes.iter_mut().zip(cells).for_each(|(byte, cell)| *byte = cell.load(Ordering::Relaxed));
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let cells = cells(from, to.saturating_sub(from) as usize)?;
        cells.iter().for_each(|cell| cell.store(0xff, Ordering::Relaxed));
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let cells = cells(offset, bytes.len())?;
        bytes.iter().zip(cells).for_each(|(byte, cell)| cell.store(*byte, Ordering::Relaxed));
        Ok(())
    }
}

#[cfg(feature = "asynchronous")]
impl embedded_storage_async::nor_flash::ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        ReadNorFlash::read(self, offset, bytes)
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

#[cfg(feature = "asynchronous")]
impl embedded_storage_async::nor_flash::NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        NorFlash::erase(self, from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        NorFlash::write(self, offset, bytes)
    }
}
