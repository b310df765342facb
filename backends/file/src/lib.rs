//! A device in a file, for Linux: direct I/O on space that was written before, one owner at a time.
//!
//! * **Direct I/O.** Reads show what the disk holds, not what the page cache still hopes to write:
//!   after a failed write those differ. Where the file system refuses direct I/O the page cache is
//!   used, and [`FileDevice::mode`] says so. The engine's own buffer pool takes the place of the
//!   cache.
//! * **Written space.** A new file, and what a file grows by, is filled with zeros and made durable
//!   before it is used. A durable write into a hole or into preallocated space costs metadata
//!   writes and a second disk flush.
//! * **All or nothing.** A new file appears under its name when it is complete. If the power fails
//!   before, at most a file named `.emberkv-creating-*` remains beside it, which can be removed.
//! * **One owner.** The file is locked (`flock`) as long as the device lives: one writer, or any
//!   number of readers. The lock lies on the open file, so two devices of one process exclude each
//!   other as well. On file systems that are shared between machines it holds as far as they pass
//!   it on.
//! * **No surprises.** Symbolic links, pipes, devices and directories are refused, a pipe without
//!   waiting for its other end. New files are readable by their owner only, whatever the umask.
//!
//! An interrupted write may destroy 4,096 bytes around itself, or more if direct I/O needs more:
//! the file does not tell the physical sector of its disk, and file systems split writes.
//!
//! Where the file system can punch holes, a discarded range gives its space back.
//!
//! Many reads at once go through io_uring, where the kernel grants it.
//!
//! Durable writes use `RWF_DSYNC`: one call, and a write with FUA where the disk has that.
//!
//! ```no_run
//! use emberkv_core::Access;
//! use emberkv_file::{FileDevice, Options};
//!
//! let options = Options { capacity: 64 << 20, capacity_max: 1 << 30, ..Options::default() };
//! let device = FileDevice::create("data.ember", &options)?;
//! drop(device);
//! let device = FileDevice::open("data.ember", Access::ReadWrite)?;
//! # Ok::<(), emberkv_file::FileError>(())
//! ```
#![cfg(target_os = "linux")]

mod buffer;
mod checksums;
mod descriptor;
mod device;
mod error;
mod io_mode;
mod open;
mod owned;
mod ring;
mod transfer;

pub use buffer::AlignedBuffer;
pub use checksums::host_checksums;
pub use descriptor::Descriptor;
pub use device::FileDevice;
pub use emberkv_core::Access;
pub use error::{FileError, Operation, Reason};
pub use io_mode::IoMode;
pub use open::Options;
