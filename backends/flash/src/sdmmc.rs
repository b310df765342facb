//! A block device of `embedded-sdmmc` (an SD card on SPI, or one's own) as a device.
//!
//! * **Bounce blocks.** The trait moves its own `Block` type, so bytes are copied through blocks
//!   that the device holds: one by default, or as many as the caller gives. More blocks make longer
//!   commands, which SD cards reward: several blocks in one command are many times faster.
//! * **What flush is worth.** The trait has no barrier. A card programs what it was given while it
//!   says "busy", and takes no further command before it is done; but a driver may return before
//!   that (the SPI driver of `embedded-sdmmc` does, after several blocks in one command). So
//!   `flush` reads the block that was written last: when that is answered, the card has finished
//!   programming. Whether a cache inside the card is beyond that, no one can ask here: the device
//!   does not claim `ordered`, and a card that acknowledges what it does not keep will lose it.
//! * **Tearing.** A card programs pages, and moves whole allocation units behind the scenes. The
//!   default `tear_unit`, 512 bytes, protects against a torn block only; take 4,096 or more, memory
//!   permitting, on cards whose power may fail.
//!
//! A card that a desktop shall read too is best formatted with `tear_unit` 4096: devices with
//! larger units cannot open a store of smaller ones.

use core::ops::Range;

use embedded_sdmmc_types::{Block, BlockDevice as Blocks, BlockIdx};
use emberkv_core::{BlockDevice, Caps, DeviceErrorKind, Durability, Geometry, GeometryError};

use crate::area::{Area, SECTORS, TRANSFER_BYTES};
use crate::error::FlashError;

const BLOCK: u64 = Block::LEN as u64;

/// A partition of an `embedded-sdmmc` block device. `S` holds the bounce blocks.
#[derive(Debug)]
pub struct SdmmcDevice<B: Blocks, S = [Block; 1]> {
    blocks: B,
    bounce: S,
    area: Area,
    classify: fn(&B::Error) -> DeviceErrorKind,
    /// The block written last, if none was read since: the card may still be programming it.
    unsettled: Option<u64>,
}

impl<B: Blocks> SdmmcDevice<B> {
    /// A device over the blocks `partition`, with one bounce block.
    ///
    /// # Errors
    /// `Geometry` if the partition does not fit, `Medium` if the card does not tell its size.
    pub fn new(blocks: B, partition: Range<u32>) -> Result<Self, FlashError<B::Error>> {
        Self::with_bounce(blocks, partition, [Block::new()])
    }
}

impl<B: Blocks, S: AsMut<[Block]>> SdmmcDevice<B, S> {
    /// As `new`, with the caller's bounce blocks: an array, or a mutable slice that lies where the
    /// card's driver can move it by DMA.
    ///
    /// # Errors
    /// As `new`, or there is no bounce block.
    pub fn with_bounce(
        blocks: B,
        partition: Range<u32>,
        mut bounce: S,
    ) -> Result<Self, FlashError<B::Error>> {
        if bounce.as_mut().is_empty() {
            let want = "at least one block";
            return Err(GeometryError { field: "bounce", value: 0, want }.into());
        }
        let count = blocks.num_blocks().map_err(|error| FlashError::Medium {
            address: 0,
            kind: DeviceErrorKind::Other,
            error,
        })?;
        let geometry = Geometry {
            capacity: 0,
            capacity_max: 0,
            read_unit: Block::LEN_U32,
            write_unit: Block::LEN_U32,
            erase_unit: Block::LEN_U32,
            tear_unit: Block::LEN_U32,
            buffer_align: 1,
            max_transfer: TRANSFER_BYTES,
        };
        let bytes = u64::from(partition.start) * BLOCK..u64::from(partition.end) * BLOCK;
        let area = Area::new(bytes, u64::from(count.0) * BLOCK, geometry, SECTORS)?;
        Ok(Self { blocks, bounce, area, classify: |_| DeviceErrorKind::Other, unsettled: None })
    }

    /// The same device with another unit of tearing, a power of two from 512 on. The partition must
    /// be whole such units.
    ///
    /// # Errors
    /// The unit does not fit the partition.
    pub fn with_tear_unit(mut self, bytes: u32) -> Result<Self, FlashError<B::Error>> {
        self.area = self.area.with_tear_unit(bytes)?;
        Ok(self)
    }

    /// The same device, its medium's errors classed by `classify`; all are `Other` without.
    #[must_use]
    pub fn with_classifier(mut self, classify: fn(&B::Error) -> DeviceErrorKind) -> Self {
        self.classify = classify;
        self
    }

    /// Gives the block device back.
    #[must_use]
    pub fn into_inner(self) -> B {
        self.blocks
    }

    fn failed(&self, address: u64, error: B::Error) -> FlashError<B::Error> {
        FlashError::Medium { address, kind: (self.classify)(&error), error }
    }

    /// Writes the first `count` bounce blocks behind one another from `at`.
    fn write_bounce(&mut self, at: u64, count: usize) -> Result<(), FlashError<B::Error>> {
        let index = BlockIdx((at / BLOCK) as u32);
        self.unsettled = Some(at + (count as u64 - 1) * BLOCK);
        let result = self.blocks.write(&self.bounce.as_mut()[..count], index);
        result.map_err(|error| self.failed(at, error))
    }
}

impl<B: Blocks, S: AsMut<[Block]>> BlockDevice for SdmmcDevice<B, S> {
    type Error = FlashError<B::Error>;

    fn geometry(&self) -> Geometry {
        self.area.geometry()
    }
    fn caps(&self) -> Caps {
        self.area.caps()
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let mut at = self.area.read(address, buffer)?;
        let room = self.bounce.as_mut().len() * Block::LEN;
        for part in buffer.chunks_mut(room) {
            let bounce = &mut self.bounce.as_mut()[..part.len() / Block::LEN];
            let result = self.blocks.read(bounce, BlockIdx((at / BLOCK) as u32));
            result.map_err(|error| self.failed(at, error))?;
            for (bytes, block) in part.chunks_mut(Block::LEN).zip(self.bounce.as_mut()) {
                bytes.copy_from_slice(&block.contents);
            }
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        let mut at = self.area.write(address, slices, durability)?;
        let room = self.bounce.as_mut().len();
        let mut count = 0;
        // Blocks of neighbouring slices share a command.
        for bytes in slices.iter().flat_map(|slice| slice.chunks(Block::LEN)) {
            self.bounce.as_mut()[count].contents.copy_from_slice(bytes);
            count += 1;
            if count == room {
                self.write_bounce(at, count)?;
                at += count as u64 * BLOCK;
                count = 0;
            }
        }
        if count > 0 {
            self.write_bounce(at, count)?;
        }
        Ok(())
    }

    /// Nothing to do: blocks are overwritten as they are.
    fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        self.area.erase(&range)?;
        Ok(())
    }

    /// Waits until the card has finished programming, by reading: see the module's text.
    fn flush(&mut self) -> Result<(), Self::Error> {
        let Some(at) = self.unsettled else { return Ok(()) };
        let bounce = &mut self.bounce.as_mut()[..1];
        let result = self.blocks.read(bounce, BlockIdx((at / BLOCK) as u32));
        result.map_err(|error| self.failed(at, error))?;
        self.unsettled = None;
        Ok(())
    }
}
