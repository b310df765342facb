//! The part of a medium that a device covers: the one place that checks requests and turns device
//! addresses into addresses of the medium. Every adapter asks it before it touches the medium.

use core::ops::Range;

use emberkv_core::{Caps, Durability, Geometry, GeometryError};

use crate::error::Refusal;

/// Most bytes of one transfer, where no larger unit asks for more. A bound on how long one call can
/// take: 64 KiB are about 0.1 s of programming on a SPI NOR chip.
pub(crate) const TRANSFER_BYTES: u32 = 64 << 10;

/// A partition and what it can do. Invariant: the geometry is valid, the start is a multiple of the
/// erase unit, the end does not overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    start: u64,
    geometry: Geometry,
    caps: Caps,
}

/// The abilities of a NOR flash: each write is durable when it returns, and in call order.
#[cfg(any(feature = "embedded-storage", feature = "spi-nor"))]
pub(crate) const NOR: Caps = Caps {
    needs_erase: true,
    erased: Some(0xFF),
    ordered: true,
    discard: false,
    durable_write: false,
};

/// The abilities of a medium behind a translation layer that may cache.
#[cfg(any(feature = "embedded-sdmmc", feature = "block-device-driver", feature = "embedded-io"))]
pub(crate) const SECTORS: Caps =
    Caps { needs_erase: false, erased: None, ordered: false, discard: false, durable_write: false };

impl Area {
    /// The partition of a medium with these units; its length is the geometry's capacity.
    pub(crate) fn new(
        partition: Range<u64>,
        medium_bytes: u64,
        geometry: Geometry,
        caps: Caps,
    ) -> Result<Self, GeometryError> {
        let fail = |field, value, want| Err(GeometryError { field, value, want });
        let Range { start, end } = partition;
        if end > medium_bytes {
            return fail("partition.end", end, "at most the medium's capacity");
        }
        let Some(capacity) = end.checked_sub(start).filter(|bytes| *bytes > 0) else {
            return fail("partition.end", end, "behind partition.start");
        };
        let geometry = Geometry { capacity, capacity_max: capacity, ..geometry };
        geometry.validate()?;
        if !start.is_multiple_of(u64::from(geometry.erase_unit)) {
            return fail("partition.start", start, "a multiple of erase_unit");
        }
        Ok(Self { start, geometry, caps })
    }

    /// The same area, its sectors destroyed in units of `bytes` by a power cut. The erase unit,
    /// which such a medium does not have, grows with it.
    #[cfg(any(feature = "embedded-sdmmc", feature = "block-device-driver"))]
    pub(crate) fn with_tear_unit(self, bytes: u32) -> Result<Self, GeometryError> {
        let (start, end) = (self.start, self.start + self.geometry.capacity);
        let erase_unit = self.geometry.erase_unit.max(bytes);
        let max_transfer = self.geometry.max_transfer.max(bytes);
        let geometry = Geometry { tear_unit: bytes, erase_unit, max_transfer, ..self.geometry };
        Self::new(start..end, end, geometry, self.caps)
    }

    /// The first byte, on the medium.
    #[cfg(feature = "embedded-io")]
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    pub(crate) const fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) const fn caps(&self) -> Caps {
        self.caps
    }

    /// Where on the medium a read begins.
    pub(crate) fn read(&self, address: u64, buffer: &[u8]) -> Result<u64, Refusal> {
        self.transfer(address, buffer.len() as u64, self.geometry.read_unit)
    }

    /// Where on the medium a write begins.
    pub(crate) fn write(
        &self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<u64, Refusal> {
        let unit = self.geometry.write_unit;
        let mut length = 0;
        for slice in slices {
            let bytes = slice.len() as u64;
            if !bytes.is_multiple_of(u64::from(unit)) {
                let address = address.saturating_add(length);
                return Err(Refusal::Misaligned { address, bytes, unit });
            }
            length += bytes;
        }
        let place = self.transfer(address, length, unit)?;
        if durability == Durability::Durable && !self.caps.durable_write {
            return Err(Refusal::NotDurable { address });
        }
        Ok(place)
    }

    /// Which range of the medium an erase covers.
    pub(crate) fn erase(&self, range: &Range<u64>) -> Result<Range<u64>, Refusal> {
        let capacity = self.geometry.capacity;
        let Some(bytes) = range.end.checked_sub(range.start) else {
            return Err(Refusal::OutOfBounds { address: range.start, bytes: 0, capacity });
        };
        let start = self.place(range.start, bytes, self.geometry.erase_unit)?;
        Ok(start..start + bytes)
    }

    fn transfer(&self, address: u64, bytes: u64, unit: u32) -> Result<u64, Refusal> {
        let place = self.place(address, bytes, unit)?;
        let max = self.geometry.max_transfer;
        if bytes > u64::from(max) {
            return Err(Refusal::TransferTooLong { address, bytes, max });
        }
        Ok(place)
    }

    fn place(&self, address: u64, bytes: u64, unit: u32) -> Result<u64, Refusal> {
        if !(address | bytes).is_multiple_of(u64::from(unit)) {
            return Err(Refusal::Misaligned { address, bytes, unit });
        }
        let capacity = self.geometry.capacity;
        match address.checked_add(bytes) {
            Some(end) if end <= capacity => Ok(self.start + address),
            _ => Err(Refusal::OutOfBounds { address, bytes, capacity }),
        }
    }
}
