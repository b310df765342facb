//! The device contract: what EmberKV asks of a medium, and what the medium may do when the power fails.
//!
//! A backend implements [`BlockDevice`] (or its twin [`AsyncBlockDevice`], same contract). What differs between
//! a NOR chip, an SD card and an NVMe partition is *data*, not methods: [`Geometry`] and [`Caps`], both known at
//! run time, validated once when a store is opened and recorded in its superblock.
//!
//! The engine writes forward only inside a segment that it erased or reuses, each write unit once, and never
//! writes again into a `tear_unit` that holds acknowledged bytes. So a backend needs no read-modify-write.
//!
//! | operation | power fails during it | it returns an error | may be retried |
//! |---|---|---|---|
//! | `read` | nothing changes | buffer content is unspecified | yes |
//! | `write` | each touched `tear_unit` may hold any bytes, no other one changes | as if power had failed | never into the same units |
//! | `erase` | the erased range may hold any bytes, even unstable ones | as if power had failed | yes, from its start |
//! | `discard` | old bytes, zeros or garbage | as if it had succeeded | yes |
//! | `flush` | any subset of the writes since the last flush survives | **nothing** written since the last flush may be believed | never: the store is poisoned |
//! | `grow` | the old or the new capacity | the old capacity stays usable | yes |

use core::fmt;
use core::ops::Range;

/// Sizes of a device, in bytes. All units are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Usable bytes now; a multiple of `erase_unit`.
    pub capacity: u64,
    /// Bytes that [`BlockDevice::grow`] can reach; equal to `capacity` where the device cannot grow.
    pub capacity_max: u64,
    /// Address and length granularity of reads.
    pub read_unit: u32,
    /// Address and length granularity of writes; the smallest piece that is programmed once.
    pub write_unit: u32,
    /// Granularity of erases; at least `write_unit`.
    pub erase_unit: u32,
    /// What an interrupted write may destroy around itself: the physical sector of a disk, the page of a NAND,
    /// the write unit of a NOR flash. At least `write_unit`, at most `erase_unit`.
    pub tear_unit: u32,
    /// Alignment that buffers in memory need (DMA, O_DIRECT).
    pub buffer_align: u32,
    /// Most bytes that one `read` or `write` may carry; at least `write_unit`.
    pub max_transfer: u32,
}

/// What a device can do and what it leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Bytes must be erased before they are written (flash).
    pub needs_erase: bool,
    /// What erased bytes read as, where that is known.
    pub erased: Option<u8>,
    /// Writes become durable in call order, each one when it returns (raw NOR, raw NAND).
    pub ordered: bool,
    /// [`BlockDevice::discard`] does something.
    pub discard: bool,
    /// [`Durability::Durable`] writes are durable when they return, without a flush of others.
    pub durable_write: bool,
}

/// How durable one write must be when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Durable after the next successful [`BlockDevice::flush`].
    Buffered,
    /// Durable on return: these bytes only, none written before them. Asked for only with [`Caps::durable_write`].
    Durable,
}

/// The class of a device error: what the engine decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceErrorKind {
    /// May succeed when tried again (bus glitch, interrupted call).
    Transient,
    /// This range cannot be written or erased any more.
    Media,
    /// This range cannot be read: ECC says so, or the sector was torn.
    Uncorrectable,
    /// No space behind the device (thin provisioning, a full file system).
    Full,
    /// The device went away.
    Gone,
    /// The device refuses writes.
    ReadOnly,
    /// Address, length or buffer not aligned as the geometry asks: a bug of the caller.
    Misaligned,
    /// Beyond the capacity: a bug of the caller.
    OutOfBounds,
    /// Anything else.
    Other,
}

impl fmt::Display for DeviceErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient device error",
            Self::Media => "the medium cannot be written here",
            Self::Uncorrectable => "the medium cannot be read here",
            Self::Full => "no space left behind the device",
            Self::Gone => "the device is gone",
            Self::ReadOnly => "the device is read-only",
            Self::Misaligned => "misaligned device access",
            Self::OutOfBounds => "device access out of bounds",
            Self::Other => "device error",
        })
    }
}

impl core::error::Error for DeviceErrorKind {}

/// An error of a device: anything that can name its [`DeviceErrorKind`].
pub trait DeviceError: core::error::Error {
    /// The class of this error.
    fn kind(&self) -> DeviceErrorKind;
}

impl DeviceError for DeviceErrorKind {
    fn kind(&self) -> DeviceErrorKind {
        *self
    }
}

/// One of several reads: see [`BlockDevice::read_many`].
#[derive(Debug)]
pub struct ReadInto<'b> {
    /// Where it begins.
    pub address: u64,
    /// What it fills.
    pub buffer: &'b mut [u8],
}

/// A medium, blocking. See the module text for what each operation promises when the power fails.
pub trait BlockDevice {
    /// The backend's error.
    type Error: DeviceError;

    /// Sizes; constant while the device is open, but for `capacity`, which [`grow`](Self::grow) raises and
    /// [`shrink`](Self::shrink) lowers.
    fn geometry(&self) -> Geometry;

    /// Abilities; constant while the device is open.
    fn caps(&self) -> Caps;

    /// Fills `buffer` from `address`; both aligned to `read_unit`. Sees every write that returned.
    ///
    /// # Errors
    /// Any kind; `Uncorrectable` where the bytes cannot be had. Never a panic on account of the medium.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes `slices` one behind the other from `address`; the address and every slice's length are aligned to
    /// `write_unit`, together at most `max_transfer` bytes.
    ///
    /// # Errors
    /// Any kind. The range is then in the state of an interrupted write; the engine never writes it again
    /// before an erase or a reuse of the segment.
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error>;

    /// Erases `range` (aligned to `erase_unit`). Where [`Caps::needs_erase`] is false this does nothing.
    ///
    /// # Errors
    /// Any kind; `Media` marks the range as bad.
    fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error>;

    /// Reads several ranges, each as [`read`](Self::read) does, in any order and with as many in flight as the device
    /// takes; `done` is told the index and the bytes of each as soon as they are there.
    ///
    /// # Errors
    /// Any kind, of any of them; those that were not told may be read again one by one.
    fn read_many(
        &mut self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Self::Error> {
        for (index, read) in reads.iter_mut().enumerate() {
            self.read(read.address, read.buffer)?;
            done(index, read.buffer);
        }
        Ok(())
    }

    /// Most reads that [`read_many`](Self::read_many) has in flight; 1 where it is no faster than single reads.
    fn reads_in_flight_max(&self) -> u32 {
        1
    }

    /// Hints that the bytes of `range` (aligned to `write_unit`) are not needed any more; their content is unspecified
    /// afterwards, and may differ from read to read until they are written again.
    ///
    /// A discarded range is slow to write durably until it was rewritten once: a file system has to allocate it anew,
    /// which costs writes of metadata and a second flush of the disk (about half the rate of durable writes on ext4) and
    /// may fail with `Full`. Who needs the rate fills the range with zeros and flushes ahead of need.
    ///
    /// # Errors
    /// Any kind; the engine ignores them.
    fn discard(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        let _ = range;
        Ok(())
    }

    /// Makes every write and erase that returned durable: a real barrier through all caches.
    ///
    /// # Errors
    /// Any kind. Never retried and believed: the caller must assume that everything since the last successful
    /// flush is in the state of an interrupted write.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// Raises the capacity to at least `capacity` bytes (at most `capacity_max`); the new bytes are allocated
    /// on the medium and the new size is durable on return.
    ///
    /// # Errors
    /// Any kind; the device keeps its old capacity. A device that cannot grow is never asked.
    fn grow(&mut self, capacity: u64) -> Result<(), Self::Error> {
        let _ = capacity;
        Ok(())
    }

    /// Whether [`shrink`](Self::shrink) does something. Constant while the device is open.
    fn can_shrink(&self) -> bool {
        false
    }

    /// Lowers the capacity to `capacity` bytes, a multiple of `erase_unit`; what lay behind is gone and its space given back.
    /// Power fails: the device has the old capacity or the new one.
    ///
    /// # Errors
    /// Any kind; the device keeps its old capacity. A device that cannot shrink is never asked.
    fn shrink(&mut self, capacity: u64) -> Result<(), Self::Error> {
        let _ = capacity;
        Ok(())
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for &mut D {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn caps(&self) -> Caps {
        (**self).caps()
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(address, buffer)
    }
    fn read_many(
        &mut self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Self::Error> {
        (**self).read_many(reads, done)
    }
    fn reads_in_flight_max(&self) -> u32 {
        (**self).reads_in_flight_max()
    }
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        (**self).write(address, slices, durability)
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        (**self).erase(range)
    }
    fn discard(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        (**self).discard(range)
    }
    fn flush(&mut self) -> Result<(), Self::Error> {
        (**self).flush()
    }
    fn grow(&mut self, capacity: u64) -> Result<(), Self::Error> {
        (**self).grow(capacity)
    }
    fn can_shrink(&self) -> bool {
        (**self).can_shrink()
    }
    fn shrink(&mut self, capacity: u64) -> Result<(), Self::Error> {
        (**self).shrink(capacity)
    }
}

/// The asynchronous twin of [`BlockDevice`]: the same contract, operation by operation.
///
/// A future that is dropped before it is ready leaves the operation *interrupted*: reads, flushes and erases are
/// issued again, a write is in the state of an interrupted write.
#[expect(async_fn_in_trait, reason = "single-threaded executors of firmware need no Send bound")]
pub trait AsyncBlockDevice {
    /// The backend's error.
    type Error: DeviceError;

    /// See [`BlockDevice::geometry`].
    fn geometry(&self) -> Geometry;

    /// See [`BlockDevice::caps`].
    fn caps(&self) -> Caps;

    /// See [`BlockDevice::read`].
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// See [`BlockDevice::write`].
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error>;

    /// See [`BlockDevice::erase`].
    async fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error>;

    /// See [`BlockDevice::discard`].
    async fn discard(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        let _ = range;
        Ok(())
    }

    /// See [`BlockDevice::flush`].
    async fn flush(&mut self) -> Result<(), Self::Error>;

    /// See [`BlockDevice::grow`].
    async fn grow(&mut self, capacity: u64) -> Result<(), Self::Error> {
        let _ = capacity;
        Ok(())
    }

    /// See [`BlockDevice::can_shrink`].
    fn can_shrink(&self) -> bool {
        false
    }

    /// See [`BlockDevice::shrink`].
    async fn shrink(&mut self, capacity: u64) -> Result<(), Self::Error> {
        let _ = capacity;
        Ok(())
    }
}

/// Why a geometry cannot carry a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeometryError {
    /// The field that is wrong.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// What it must be.
    pub want: &'static str,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device geometry: {} is {}, must be {}", self.field, self.value, self.want)
    }
}

impl Geometry {
    /// Bytes that a commit is padded to: an acknowledged byte never shares such a unit with a later write.
    #[must_use]
    pub const fn commit_unit(&self) -> u32 {
        if self.tear_unit > self.write_unit { self.tear_unit } else { self.write_unit }
    }

    /// Checks that the sizes fit one another.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn validate(&self) -> Result<(), GeometryError> {
        let fail = |field, value, want| Err(GeometryError { field, value, want });
        for (field, value) in [
            ("read_unit", self.read_unit),
            ("write_unit", self.write_unit),
            ("erase_unit", self.erase_unit),
            ("tear_unit", self.tear_unit),
            ("buffer_align", self.buffer_align),
        ] {
            if !value.is_power_of_two() {
                return fail(field, u64::from(value), "a power of two");
            }
        }
        if self.tear_unit < self.write_unit || self.tear_unit > self.erase_unit {
            return fail("tear_unit", u64::from(self.tear_unit), "from write_unit to erase_unit");
        }
        if self.read_unit > self.erase_unit {
            return fail("read_unit", u64::from(self.read_unit), "at most erase_unit");
        }
        if self.max_transfer < self.write_unit.max(self.read_unit) {
            return fail(
                "max_transfer",
                u64::from(self.max_transfer),
                "at least one read and write unit",
            );
        }
        if !self.capacity.is_multiple_of(u64::from(self.erase_unit)) {
            return fail("capacity", self.capacity, "a multiple of erase_unit");
        }
        if self.capacity_max < self.capacity {
            return fail("capacity_max", self.capacity_max, "at least capacity");
        }
        Ok(())
    }
}
