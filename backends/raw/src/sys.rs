//! What the kernel knows about a block device, and the two calls that no safe library offers.

use std::fs;
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, fstat, ioctl_blkpbszget, ioctl_blksszget, major, minor, seek};
use rustix::io::Errno;

/// Sizes of a block device in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Of the device, in whole logical sectors.
    pub(crate) device: u64,
    /// Of what it reads and writes.
    pub(crate) logical: u32,
    /// Of what an interrupted write may destroy.
    pub(crate) physical: u32,
}

/// Asks the kernel for the sizes.
pub(crate) fn sizes(device: BorrowedFd<'_>) -> Result<Sizes, Errno> {
    let logical = ioctl_blksszget(device)?;
    if !logical.is_power_of_two() {
        return Err(Errno::OPNOTSUPP);
    }
    let physical = ioctl_blkpbszget(device)?;
    // The same number as by BLKGETSIZE64: the end of a block device is its size.
    let bytes = seek(device, SeekFrom::End(0))?;
    Ok(Sizes {
        device: bytes - bytes % u64::from(logical),
        logical,
        // Some bridges make numbers up.
        physical: if physical.is_power_of_two() { physical.max(logical) } else { logical },
    })
}

/// Whether the device takes discards. A partition asks its disk.
pub(crate) fn can_discard(device: BorrowedFd<'_>) -> bool {
    let Ok(found) = fstat(device) else { return false };
    let place = format!("/sys/dev/block/{}:{}", major(found.st_rdev), minor(found.st_rdev));
    let limit = ["queue", "../queue"]
        .iter()
        .find_map(|queue| fs::read_to_string(format!("{place}/{queue}/discard_max_bytes")).ok());
    limit.and_then(|text| text.trim().parse::<u64>().ok()).is_some_and(|bytes| bytes > 0)
}

/// Whether the kernel refuses to write to the device. Most versions find that out only at the first
/// write.
#[expect(unsafe_code, reason = "BLKROGET fills in a number, and no safe library wraps it")]
pub(crate) fn is_read_only(device: BorrowedFd<'_>) -> Result<bool, Errno> {
    // `_IO(0x12, 94)` of <linux/fs.h>.
    const BLKROGET: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0x12, 94);
    // SAFETY: BLKROGET writes one `int` to the address that it is given and keeps no pointer.
    // `Getter` passes the address of such a number, which it owns during the call, and reads it
    // only where the call has succeeded.
    let found = unsafe {
        let number = rustix::ioctl::Getter::<BLKROGET, core::ffi::c_int>::new();
        rustix::ioctl::ioctl(device, number)
    };
    found.map(|number| number != 0)
}

/// Tells the device that a range is not needed any more.
#[expect(unsafe_code, reason = "BLKDISCARD takes a pointer, and no safe library wraps it")]
pub(crate) fn discard(device: BorrowedFd<'_>, start: u64, bytes: u64) -> Result<(), Errno> {
    // `_IO(0x12, 119)` of <linux/fs.h>.
    const BLKDISCARD: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0x12, 119);
    // SAFETY: BLKDISCARD reads two numbers of 64 bits, start and length, from the address that it
    // is given, writes nothing to memory and keeps no pointer. `Setter` passes the address of the
    // array, which it owns during the call.
    unsafe {
        let range = rustix::ioctl::Setter::<BLKDISCARD, [u64; 2]>::new([start, bytes]);
        rustix::ioctl::ioctl(device, range)
    }
}
