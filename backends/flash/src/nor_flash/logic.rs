//! Reads, writes and erases of a partition of a NOR flash, with reading back: what the blocking and
//! the asynchronous device share.

use core::ops::Range;

use emberkv_core::{Caps, DeviceErrorKind, Durability, Geometry, GeometryError};

use super::NorOptions;
use crate::area::{Area, NOR, TRANSFER_BYTES};
use crate::error::FlashError;
use crate::verify::{PIECE, PIECE_ALIGN, Piece, Verify, Want};

/// A flash, blocking or not.
pub(super) trait Medium {
    type Error;
    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error>;
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error>;
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error>;
}

/// The constants and the capacity of a flash.
pub(super) struct Sizes {
    pub(super) read: usize,
    pub(super) write: usize,
    pub(super) erase: usize,
    pub(super) capacity: usize,
}

/// A partition of a flash. The area ends below 4 GiB, so its addresses fit the traits' `u32`.
#[derive(Debug)]
pub(super) struct Partition<M: Medium> {
    pub(super) medium: M,
    pub(super) classify: fn(&M::Error) -> DeviceErrorKind,
    area: Area,
    erased: Option<u8>,
    verify: Verify,
}

fn unit(field: &'static str, value: usize) -> Result<u32, GeometryError> {
    let want = "a power of two below 4 GiB";
    u32::try_from(value).ok().filter(|unit| unit.is_power_of_two()).ok_or(GeometryError {
        field,
        value: value as u64,
        want,
    })
}

impl<M: Medium> Partition<M> {
    pub(super) fn new(
        medium: M,
        sizes: &Sizes,
        partition: Range<u32>,
        options: &NorOptions,
        classify: fn(&M::Error) -> DeviceErrorKind,
    ) -> Result<Self, GeometryError> {
        let read_unit = unit("READ_SIZE", sizes.read)?;
        let write_unit = unit("WRITE_SIZE", sizes.write)?;
        let erase_unit = unit("ERASE_SIZE", sizes.erase)?;
        let &NorOptions { tear_unit, buffer_align, erased, verify } = options;
        let geometry = Geometry {
            // The partition's, which `Area` puts in.
            capacity: 0,
            capacity_max: 0,
            read_unit,
            write_unit,
            erase_unit,
            tear_unit: if tear_unit == 0 { write_unit } else { tear_unit },
            buffer_align,
            max_transfer: TRANSFER_BYTES.max(read_unit).max(write_unit),
        };
        if verify == Verify::ReadBack {
            let fail = |field, value, want| Err(GeometryError { field, value, want });
            if read_unit as usize > PIECE {
                return fail("READ_SIZE", u64::from(read_unit), "at most 128 to be read back");
            }
            if buffer_align > PIECE_ALIGN {
                return fail("buffer_align", u64::from(buffer_align), "at most 32 to be read back");
            }
        }
        let partition = u64::from(partition.start)..u64::from(partition.end);
        let caps = Caps { erased, ..NOR };
        let area = Area::new(partition, sizes.capacity as u64, geometry, caps)?;
        Ok(Self { medium, classify, area, erased, verify })
    }

    pub(super) const fn geometry(&self) -> Geometry {
        self.area.geometry()
    }

    pub(super) const fn caps(&self) -> Caps {
        self.area.caps()
    }

    fn failed(&self, address: u64, error: M::Error) -> FlashError<M::Error> {
        FlashError::Medium { address, kind: (self.classify)(&error), error }
    }

    pub(super) async fn read(
        &mut self,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), FlashError<M::Error>> {
        let at = self.area.read(address, buffer)?;
        let result = self.medium.read(at as u32, buffer).await;
        result.map_err(|error| self.failed(at, error))
    }

    pub(super) async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), FlashError<M::Error>> {
        let mut at = self.area.write(address, slices, durability)?;
        // Each slice is whole words, so none has to be joined with the next.
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let result = self.medium.write(at as u32, slice).await;
            result.map_err(|error| self.failed(at, error))?;
            self.check(at, Want::Bytes(slice)).await?;
            at += slice.len() as u64;
        }
        Ok(())
    }

    pub(super) async fn erase(&mut self, range: Range<u64>) -> Result<(), FlashError<M::Error>> {
        let range = self.area.erase(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        let result = self.medium.erase(range.start as u32, range.end as u32).await;
        result.map_err(|error| self.failed(range.start, error))?;
        match self.erased {
            Some(byte) => {
                self.check(range.start, Want::Erased(byte, range.end - range.start)).await
            }
            None => Ok(()),
        }
    }

    /// Reads a range back, widened to read units, if this device does that.
    async fn check(&mut self, start: u64, want: Want<'_>) -> Result<(), FlashError<M::Error>> {
        if self.verify == Verify::Trust {
            return Ok(());
        }
        let unit = u64::from(self.geometry().read_unit);
        let end = start + want.len();
        let mut piece = Piece([0; PIECE]);
        let mut at = start - start % unit;
        // At least one unit a round.
        while at < end {
            let bytes = (end.next_multiple_of(unit) - at).min(PIECE as u64) as usize;
            let found = &mut piece.0[..bytes];
            let result = self.medium.read(at as u32, found).await;
            result.map_err(|error| self.failed(at, error))?;
            let from = start.saturating_sub(at) as usize;
            let until = (end - at).min(bytes as u64) as usize;
            let behind = at + from as u64;
            if let Some(index) = want.differs(behind - start, &piece.0[from..until]) {
                return Err(FlashError::Mismatch { address: behind + index as u64 });
            }
            at += bytes as u64;
        }
        Ok(())
    }
}
