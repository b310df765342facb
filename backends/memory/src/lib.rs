//! A device in RAM: for tests, for measuring the engine without a medium, and for data that need
//! not outlive the program.
//!
//! [`MemoryDevice`] works on bytes that the caller gives: a slice, an array, a `Vec`. It allocates
//! nothing and does not need `std`. Two kinds of medium can be imitated, chosen by [`Rules`]:
//!
//! * `Block`: sectors that may be overwritten at any time, as of a disk;
//! * `Nor`: units that are erased to `0xFF` before they are programmed, once each, as of a NOR
//!   flash.
//!
//! Every rule of the device contract that costs next to nothing is enforced with a typed error:
//! alignment, bounds, `max_transfer`, programming twice, durable writes that were not offered. A
//! write is one `memcpy` (for `Nor` after one scan of the target), so a benchmark over this device
//! measures the engine.
//!
//! The device has no power to lose: what happens then is the business of the simulator in the tests
//! package.
#![no_std]

mod error;
mod rules;

use core::ops::Range;

use emberkv_core::{AsyncBlockDevice, BlockDevice, Caps, Durability, Geometry};

pub use error::MemoryError;
pub use rules::Rules;

/// What an erased byte of a NOR flash reads as.
const ERASED: u8 = 0xFF;

/// Most bytes of one transfer, where no larger unit asks for more: what a disk takes at once.
const TRANSFER_BYTES: u32 = 1 << 20;

/// How often each operation succeeded, and the bytes that it moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes, durable ones among them; a write of several slices is one.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Writes that were asked to be durable on return.
    pub durable_writes: u64,
    /// Erase units erased.
    pub erases: u64,
    /// Flushes.
    pub flushes: u64,
}

/// A device over the bytes of `S`.
///
/// ```
/// use emberkv_core::{BlockDevice, Durability};
/// use emberkv_memory::{MemoryDevice, Rules};
///
/// let mut bytes = [0; 8192];
/// let mut device = MemoryDevice::new(&mut bytes[..], Rules::block(512))?;
/// device.write(512, &[&[7; 512]], Durability::Buffered)?;
/// let mut sector = [0; 512];
/// device.read(512, &mut sector)?;
/// assert_eq!(sector, [7; 512]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryDevice<S> {
    bytes: S,
    rules: Rules,
    geometry: Geometry,
    growable: bool,
    counters: Counters,
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> MemoryDevice<S> {
    /// A device with the content and the length of `bytes`, rounded down to whole erase units.
    ///
    /// # Errors
    /// A unit in `rules` is not a power of two, or does not fit the others.
    pub fn new(bytes: S, rules: Rules) -> Result<Self, MemoryError> {
        let capacity = bytes.as_ref().len() as u64;
        Self::growable(bytes, rules, capacity)
    }

    /// As [`new`](Self::new), and blank: erased where `rules` know erasing, else zeros.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn blank(mut bytes: S, rules: Rules) -> Result<Self, MemoryError> {
        let blank = if rules.is_nor() { ERASED } else { 0 };
        bytes.as_mut().fill(blank);
        Self::new(bytes, rules)
    }

    /// A device that starts with `capacity` bytes and can grow to the length of `bytes`, both
    /// rounded down to whole erase units. Growing reveals what the bytes hold.
    ///
    /// # Errors
    /// As [`new`](Self::new), or `capacity` is more than there are bytes.
    pub fn growable(bytes: S, rules: Rules, capacity: u64) -> Result<Self, MemoryError> {
        let geometry = rules.geometry(capacity, bytes.as_ref().len() as u64, TRANSFER_BYTES)?;
        let growable = geometry.capacity < geometry.capacity_max;
        Ok(Self { bytes, rules, geometry, growable, counters: Counters::default() })
    }

    /// The same device with another [`Geometry::max_transfer`].
    ///
    /// # Errors
    /// `bytes` is less than one read or write unit.
    pub fn with_max_transfer(mut self, bytes: u32) -> Result<Self, MemoryError> {
        self.geometry.max_transfer = bytes;
        self.geometry.validate()?;
        Ok(self)
    }

    /// What was done since the start or the last [`reset_counters`](Self::reset_counters).
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counts from zero again.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::default();
    }

    /// All bytes, those that the device may still grow into among them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// All bytes, to be changed behind the device's back: bit rot, for instance.
    #[must_use]
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.bytes.as_mut()
    }

    /// Gives the bytes back.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.bytes
    }

    /// The place of `length` bytes from `address`, if both are multiples of `unit` and inside the
    /// capacity.
    fn place(&self, address: u64, length: u64, unit: u32) -> Result<Range<usize>, MemoryError> {
        if !(address | length).is_multiple_of(u64::from(unit)) {
            return Err(MemoryError::Misaligned { address, bytes: length, unit });
        }
        let capacity = self.geometry.capacity;
        match address.checked_add(length) {
            // The capacity is at most the length of a slice, so both ends fit a usize.
            Some(end) if end <= capacity => Ok(address as usize..end as usize),
            _ => Err(MemoryError::OutOfBounds { address, bytes: length, capacity }),
        }
    }

    fn limit(&self, address: u64, length: u64) -> Result<(), MemoryError> {
        let max = self.geometry.max_transfer;
        if length > u64::from(max) {
            return Err(MemoryError::TransferTooLong { address, bytes: length, max });
        }
        Ok(())
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let length = buffer.len() as u64;
        let place = self.place(address, length, self.geometry.read_unit)?;
        self.limit(address, length)?;
        buffer.copy_from_slice(&self.bytes.as_ref()[place]);
        self.counters.reads += 1;
        self.counters.bytes_read += length;
        Ok(())
    }

    fn write_at(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), MemoryError> {
        let unit = self.geometry.write_unit;
        let mut length = 0;
        for slice in slices {
            let bytes = slice.len() as u64;
            if !bytes.is_multiple_of(u64::from(unit)) {
                return Err(MemoryError::Misaligned {
                    address: address.saturating_add(length),
                    bytes,
                    unit,
                });
            }
            length += bytes;
        }
        let place = self.place(address, length, unit)?;
        self.limit(address, length)?;
        if durability == Durability::Durable && !self.caps_now().durable_write {
            return Err(MemoryError::NotDurable { address });
        }
        let mut target = &mut self.bytes.as_mut()[place];
        if self.rules.is_nor()
            && let Some(index) = first_programmed(target)
        {
            return Err(MemoryError::ProgrammedTwice { address: address + index as u64 });
        }
        for slice in slices {
            let (head, tail) = target.split_at_mut(slice.len());
            head.copy_from_slice(slice);
            target = tail;
        }
        self.counters.writes += 1;
        self.counters.bytes_written += length;
        self.counters.durable_writes += u64::from(durability == Durability::Durable);
        Ok(())
    }

    fn erase_at(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        let unit = self.geometry.erase_unit;
        let capacity = self.geometry.capacity;
        let Some(length) = range.end.checked_sub(range.start) else {
            return Err(MemoryError::OutOfBounds { address: range.start, bytes: 0, capacity });
        };
        let place = self.place(range.start, length, unit)?;
        if self.rules.is_nor() {
            self.bytes.as_mut()[place].fill(ERASED);
            self.counters.erases += length / u64::from(unit);
        }
        Ok(())
    }

    fn flush_all(&mut self) {
        self.counters.flushes += 1;
    }

    fn grow_to(&mut self, capacity: u64) -> Result<(), MemoryError> {
        let Geometry { capacity: now, capacity_max, erase_unit, .. } = self.geometry;
        // Rounding up cannot pass capacity_max, which is a multiple of the unit.
        if capacity > capacity_max {
            return Err(MemoryError::OutOfBounds {
                address: now,
                bytes: capacity - now,
                capacity: capacity_max,
            });
        }
        self.geometry.capacity = now.max(capacity.next_multiple_of(u64::from(erase_unit)));
        Ok(())
    }

    fn shrink_to(&mut self, capacity: u64) {
        let unit = u64::from(self.geometry.erase_unit);
        self.geometry.capacity = self.geometry.capacity.min(capacity.next_multiple_of(unit));
    }

    fn caps_now(&self) -> Caps {
        self.rules.caps()
    }
}

/// The index of the first byte that is not erased. A whole chunk is folded without a branch, so
/// that the compiler can use vector instructions: this runs over every byte that is written to a
/// NOR device.
fn first_programmed(target: &[u8]) -> Option<usize> {
    const CHUNK: usize = 256;
    for (index, chunk) in target.chunks(CHUNK).enumerate() {
        if chunk.iter().fold(ERASED, |all, byte| all & byte) != ERASED {
            return chunk.iter().position(|&byte| byte != ERASED).map(|at| index * CHUNK + at);
        }
    }
    None
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> BlockDevice for MemoryDevice<S> {
    type Error = MemoryError;

    fn geometry(&self) -> Geometry {
        self.geometry
    }
    fn caps(&self) -> Caps {
        self.caps_now()
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.read_at(address, buffer)
    }
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), MemoryError> {
        self.write_at(address, slices, durability)
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        self.erase_at(range)
    }
    fn flush(&mut self) -> Result<(), MemoryError> {
        self.flush_all();
        Ok(())
    }
    fn grow(&mut self, capacity: u64) -> Result<(), MemoryError> {
        self.grow_to(capacity)
    }
    fn can_shrink(&self) -> bool {
        self.growable
    }
    fn shrink(&mut self, capacity: u64) -> Result<(), MemoryError> {
        self.shrink_to(capacity);
        Ok(())
    }
}

/// Always ready at once.
impl<S: AsRef<[u8]> + AsMut<[u8]>> AsyncBlockDevice for MemoryDevice<S> {
    type Error = MemoryError;

    fn geometry(&self) -> Geometry {
        self.geometry
    }
    fn caps(&self) -> Caps {
        self.caps_now()
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.read_at(address, buffer)
    }
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), MemoryError> {
        self.write_at(address, slices, durability)
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        self.erase_at(range)
    }
    async fn flush(&mut self) -> Result<(), MemoryError> {
        self.flush_all();
        Ok(())
    }
    async fn grow(&mut self, capacity: u64) -> Result<(), MemoryError> {
        self.grow_to(capacity)
    }
    fn can_shrink(&self) -> bool {
        self.growable
    }
    async fn shrink(&mut self, capacity: u64) -> Result<(), MemoryError> {
        self.shrink_to(capacity);
        Ok(())
    }
}
