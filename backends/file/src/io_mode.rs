//! Direct or buffered, and which alignment direct I/O needs here.

use std::io::IoSliceMut;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, fcntl_setfl, statx};
use rustix::io::{Errno, preadv};

use crate::buffer::AlignedBuffer;

/// How a file is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// Past the page cache (`O_DIRECT`). Asked for, this falls back to `Buffered` where it is
    /// refused.
    #[default]
    Direct,
    /// Through the page cache. What is read may never have reached the disk.
    Buffered,
}

/// What the units of a device follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    pub(crate) mode: IoMode,
    /// Of addresses and lengths in the file.
    pub(crate) file: u32,
    /// Of buffers in memory.
    pub(crate) memory: u32,
}

impl Alignment {
    /// The page cache takes any bytes; whole sectors keep a store portable to direct I/O.
    const BUFFERED: Self = Self { mode: IoMode::Buffered, file: SECTOR, memory: 1 };
}

/// The smallest unit of any disk, and the least unit that is ever claimed.
const SECTOR: u32 = 512;

/// The alignments of file and memory that this backend can give: a page, which is what its own
/// buffers have.
pub(crate) const ALIGN_MAX: u32 = 4096;

/// Turns direct I/O on if it is asked for and possible, waits for nothing from then on, and finds
/// the alignment.
///
/// The flag is set on an open descriptor, not given to `open`: a file system that refuses would
/// leave a file that `open` has made.
pub(crate) fn choose(file: &OwnedFd, asked: IoMode) -> Result<Alignment, Errno> {
    let flags = fcntl_getfl(file)? - OFlags::NONBLOCK;
    if asked == IoMode::Direct {
        match fcntl_setfl(file, flags | OFlags::DIRECT) {
            Ok(()) => {
                if let Some(found) = direct(file)? {
                    return Ok(found);
                }
            }
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    fcntl_setfl(file, flags - OFlags::DIRECT)?;
    Ok(Alignment::BUFFERED)
}

/// The alignment of direct I/O; `None` if there is none that this backend can give.
fn direct(file: &OwnedFd) -> Result<Option<Alignment>, Errno> {
    let (file_align, memory) = match told(file) {
        Some(told) => told,
        // Not told how memory must be aligned: a page always suffices.
        None => match probe(file)? {
            Some(unit) => (unit, ALIGN_MAX),
            None => return Ok(None),
        },
    };
    let usable = |align: u32| align.is_power_of_two() && align <= ALIGN_MAX;
    let found = Alignment { mode: IoMode::Direct, file: file_align, memory };
    Ok((usable(file_align) && usable(memory)).then_some(found))
}

/// What the kernel says (since Linux 6.1, on the file systems that know). Zero means that direct
/// I/O is not possible after all; it is not a power of two, so it is not used.
fn told(file: &OwnedFd) -> Option<(u32, u32)> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::DIOALIGN);
    let least = |align: u32| if align == 0 { 0 } else { align.max(SECTOR) };
    told.then(|| (least(found.stx_dio_offset_align), least(found.stx_dio_mem_align)))
}

/// The smallest read that is not refused as misaligned. On an empty file every read succeeds, so
/// the answer is good only for a file with content.
fn probe(file: &OwnedFd) -> Result<Option<u32>, Errno> {
    let mut buffer = AlignedBuffer::new(ALIGN_MAX as usize, ALIGN_MAX as usize);
    for unit in [SECTOR, ALIGN_MAX] {
        let part = &mut buffer.as_mut_slice()[..unit as usize];
        // Behind the first unit: an address of zero is aligned to everything.
        match preadv(file, &mut [IoSliceMut::new(part)], u64::from(unit)) {
            Ok(_) => return Ok(Some(unit)),
            Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}
