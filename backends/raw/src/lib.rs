//! A device on a Linux block device: a disk, a partition, a logical volume, a loop device.
//!
//! What a file system does for a file, this backend does itself: nobody else may use the device at
//! the same time, and nobody else's data on it may be harmed.
//!
//! * **One owner.** The device is opened with `O_EXCL`: the kernel refuses while it, a partition of
//!   it or the disk that it is a partition of is mounted, swapped on, part of a volume or array, or
//!   held by another exclusive opener, a second EmberKV for instance. Readers exclude each other
//!   too.
//! * **Nothing foreign is opened.** Before a device is given out, both its ends are looked at (see
//!   [`probe`]). What carries the signature of a file system, a partition table, a volume or
//!   another store is refused, for reading as well, whatever rest of an old store lies below it.
//! * **Nothing is lost unasked.** [`RawDevice::claim`] prepares a device for formatting. It refuses
//!   whatever is not blank unless the caller names exactly what is there, and writes nothing before
//!   that.
//! * **No surprises.** Only block devices are opened: files, pipes, character devices, directories
//!   and symbolic links are refused. `/dev/disk/by-id/..` and its like are symbolic links: resolve
//!   them (`std::fs::canonicalize`) and show the user the device that they lead to.
//! * **Direct I/O.** All transfers pass the page cache by; a flush empties the device's own cache.
//!   Durable writes are not offered: on a block device each would cost a flush more than a write
//!   and a flush do (measured on a loop device: 2,800 against 3,900 a second).
//!
//! An interrupted write may destroy the physical sector around itself, as the device states it.
//!
//! ```no_run
//! use emberkv_core::Access;
//! use emberkv_raw::{Overwrite, RawDevice};
//!
//! let device = RawDevice::claim("/dev/sdx1", Overwrite::Nothing)?; // then Store::format
//! drop(device);
//! let device = RawDevice::open("/dev/sdx1", Access::ReadWrite)?; // then Store::open
//! # Ok::<(), emberkv_raw::RawError>(())
//! ```
#![cfg(target_os = "linux")]

mod claim;
mod device;
mod error;
mod open;
pub mod probe;
mod sys;

pub use claim::{Overwrite, Survey};
pub use device::RawDevice;
pub use emberkv_core::Access;
pub use emberkv_file::{AlignedBuffer, FileError, Operation, Reason};
pub use error::RawError;
