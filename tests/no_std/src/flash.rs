//! A NOR flash in static memory: 24 KiB, units of 4 bytes, erased in units of 1 KiB.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering};

use emberkv_core::{BlockDevice, Caps, DeviceError, DeviceErrorKind, Durability, Geometry};

const BYTES: usize = 24 * 1024;
const ERASE_UNIT: u32 = 1024;

// Atomics, because a static that changes needs them or `unsafe`; loads and stores of bytes cost nothing.
static CELLS: [AtomicU8; BYTES] = [const { AtomicU8::new(0xff) }; BYTES];

/// The device.
pub(crate) struct Flash(());

impl Flash {
    /// The flash, erased.
    pub(crate) fn take() -> Self {
        for cell in &CELLS {
            cell.store(0xff, Ordering::Relaxed);
        }
        Self(())
    }

    fn cells(address: u64, bytes: u64) -> Result<&'static [AtomicU8], Fault> {
        let end = address.checked_add(bytes).ok_or(Fault::OutOfBounds)?;
        CELLS.get(address as usize..end as usize).ok_or(Fault::OutOfBounds)
    }
}

/// The device's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    OutOfBounds,
    ProgrammedTwice,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfBounds => "out of bounds",
            Self::ProgrammedTwice => "programmed twice",
        })
    }
}

impl core::error::Error for Fault {}

impl DeviceError for Fault {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::OutOfBounds => DeviceErrorKind::OutOfBounds,
            Self::ProgrammedTwice => DeviceErrorKind::Other,
        }
    }
}

impl BlockDevice for Flash {
    type Error = Fault;

    fn geometry(&self) -> Geometry {
        Geometry {
            capacity: BYTES as u64,
            capacity_max: BYTES as u64,
            read_unit: 1,
            write_unit: 4,
            erase_unit: ERASE_UNIT,
            tear_unit: 4,
            buffer_align: 4,
            max_transfer: 1024,
        }
    }

    fn caps(&self) -> Caps {
        Caps {
            needs_erase: true,
            erased: Some(0xff),
            ordered: true,
            discard: false,
            durable_write: false,
        }
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let cells = Self::cells(address, buffer.len() as u64)?;
        for (byte, cell) in buffer.iter_mut().zip(cells) {
            *byte = cell.load(Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&mut self, address: u64, slices: &[&[u8]], _: Durability) -> Result<(), Fault> {
        let mut at = address;
        for slice in slices {
            for (byte, cell) in slice.iter().zip(Self::cells(at, slice.len() as u64)?) {
                if cell.load(Ordering::Relaxed) != 0xff {
                    return Err(Fault::ProgrammedTwice);
                }
                cell.store(*byte, Ordering::Relaxed);
            }
            at += slice.len() as u64;
        }
        Ok(())
    }

    fn erase(&mut self, range: Range<u64>) -> Result<(), Fault> {
        for cell in Self::cells(range.start, range.end.saturating_sub(range.start))? {
            cell.store(0xff, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
