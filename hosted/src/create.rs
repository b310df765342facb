//! What opening and making stores need beside the engine: sizes, memory, names.
//!
//! A new store appears under its name only when it is whole: it is made under a temporary name
//! beside it and renamed, never over something that exists.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use emberkv_core::format::superblock::{STRIDE_MAX, STRIDE_MIN, SUPERBLOCK_BYTES, Superblock};
use emberkv_core::{Checksums, Config, Geometry, required_bytes};
use emberkv_file::AlignedBuffer;
use rustix::fs::RenameFlags;

use crate::builder::Arena;
use crate::{random_seed, segment_bytes_for};

/// Arenas begin at a multiple of this, so that frames are whole pages of the machine.
const PAGE_BYTES: usize = 4096;

/// What a store has when its memory is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing yet. Its first keys lie far apart in the keydir, which has room for all that may
    /// come: in huge pages each of the first puts would wait for one, 0.3 milliseconds and, where
    /// a hypervisor must find it first, more than 5.
    New,
    /// Something: opening touches what there is, and gets are faster with huge pages.
    Kept,
}

/// Keydirs up to this are soon full, and then a fill with huge pages is a fifth faster.
const DENSE_BYTES_MAX: usize = 64 << 20;

/// Left to the rest of the program.
const HEADROOM_BYTES: usize = 64 << 20;

/// Fewer keys than these save no memory worth speaking of.
const KEYS_WORTHWHILE: u32 = 1 << 16;

/// Capacity of a new store where the user did not choose.
const CAPACITY_DEFAULT: u64 = 64 << 20;

/// Most that a new store may grow to where the user did not choose.
const CAPACITY_MAX_DEFAULT: u64 = 64 << 30;

/// Segments that a new store which may grow has room for at least, superblocks included.
const SEGMENTS_AT_START: u64 = 5;

/// The block device at `path`, if there is one. The names that stay the same from boot to boot
/// (`/dev/disk/by-id/..`) are symbolic links, which the device itself does not follow: they are
/// resolved here, and messages name the device that they lead to.
#[must_use]
pub fn block_device(path: &Path) -> Option<PathBuf> {
    let is_device = fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
    let is_link = || path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    match is_device {
        true if is_link() => fs::canonicalize(path).ok(),
        true => Some(path.to_owned()),
        false => None,
    }
}

/// Capacity and largest capacity of a new store, where the user did not choose both.
#[must_use]
pub fn sizes(
    path: &Path,
    capacity: Option<u64>,
    capacity_max: Option<u64>,
    segment_bytes: Option<u32>,
) -> (u64, u64) {
    let default_max = capacity.unwrap_or_else(|| {
        free_bytes(path).unwrap_or(u64::MAX).clamp(CAPACITY_DEFAULT, CAPACITY_MAX_DEFAULT)
    });
    let capacity_max = capacity_max.unwrap_or(default_max);
    let capacity = capacity.unwrap_or(CAPACITY_DEFAULT.min(capacity_max));
    // What may grow far has large segments, and needs a few of them to begin with.
    let segment = segment_bytes
        .unwrap_or_else(|| segment_bytes_for(capacity, capacity_max, PAGE_BYTES as u32));
    let least = SEGMENTS_AT_START * u64::from(segment);
    (capacity.max(least.min(capacity_max)), capacity_max.max(capacity))
}

/// Free bytes of the file system that `path` would be on, in whole MiB; `None` where it does not
/// say.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory_of(path)).ok()?;
    let free = found.f_bavail.checked_mul(found.f_frsize)?;
    (found.f_blocks > 0).then_some(free >> 20 << 20)
}

/// The directory that holds `path`.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A name beside `path`; of the kind that the file backend uses while it writes a new file's zeros.
///
/// # Errors
/// Those of the random source.
pub fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let [a, b, c, d, e, f, g, h, ..] = random_seed()?;
    let unique = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    Ok(directory_of(path).join(format!(".emberkv-creating-{unique:016x}")))
}

/// Gives a finished store its name, unless something has taken it in the meantime.
///
/// # Errors
/// `AlreadyExists` where something has; others of the file system.
pub fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    let cwd = rustix::fs::CWD;
    let renamed = rustix::fs::renameat_with(cwd, temporary, cwd, path, RenameFlags::NOREPLACE);
    match renamed.map_err(io::Error::from) {
        Ok(()) => {}
        // A file system without this kind of rename: a link does not replace anything either.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::hard_link(temporary, path)?;
            fs::remove_file(temporary)?;
        }
        Err(error) => return Err(error),
    }
    // The new name is durable on return, as everything else is.
    fs::File::open(directory_of(path)).and_then(|directory| directory.sync_all())
}

/// A device as large as the store on it may grow, and the bytes of its segments: what the memory is
/// reckoned from. Without a readable superblock, which is for the engine to tell, the device as it
/// is. `read` fills a buffer from an offset, and says whether it could.
pub fn size_of_store(
    geometry: Geometry,
    read: impl FnMut(u64, &mut [u8]) -> bool,
) -> (Geometry, u32) {
    let Some(block) = superblock(&geometry, read) else {
        return (Geometry { capacity_max: geometry.capacity, ..geometry }, 0);
    };
    let segments = u64::from(block.segments_max) * u64::from(block.segment_bytes);
    let most = geometry.capacity.max(block.data_offset + segments);
    (Geometry { capacity: most, capacity_max: most, ..geometry }, block.segment_bytes)
}

/// The superblock, from its first readable copy.
fn superblock(
    geometry: &Geometry,
    mut read: impl FnMut(u64, &mut [u8]) -> bool,
) -> Option<Superblock> {
    let bytes = SUPERBLOCK_BYTES.next_multiple_of(geometry.read_unit as usize);
    let mut buffer = AlignedBuffer::new(bytes, geometry.buffer_align as usize);
    let strides =
        (STRIDE_MIN.trailing_zeros()..=STRIDE_MAX.trailing_zeros()).map(|shift| 1_u64 << shift);
    for at in std::iter::once(0).chain(strides) {
        if read(at, &mut buffer)
            && let Ok(block) = Superblock::decode(&Checksums::PORTABLE, &buffer)
        {
            return Some(block);
        }
    }
    None
}

/// Memory for a store: as much of the configuration as this process can get. A limit on its address
/// space (`ulimit -v`) costs keys, not the store.
///
/// # Errors
/// The bytes that the smallest such store needs, which this process cannot have.
pub fn settle(
    geometry: &Geometry,
    mut config: Config,
    content: Content,
) -> Result<(Config, Arena), usize> {
    // Ends: the keys are halved each time.
    loop {
        let bytes = required_bytes(&config, geometry);
        if let Some(arena) = arena(geometry, bytes, (&config, content)) {
            return Ok((config, arena));
        }
        if config.keys_max <= KEYS_WORTHWHILE {
            return Err(bytes);
        }
        config.keys_max /= 2;
    }
}

/// So much aligned memory, if this process can have it.
#[must_use]
pub fn arena(
    geometry: &Geometry,
    bytes: usize,
    (config, content): (&Config, Content),
) -> Option<Arena> {
    let align = (geometry.buffer_align as usize).max(PAGE_BYTES);
    // Asked for once to see whether it is there: the buffer itself would end the process if not.
    // Nothing is touched, so this costs no memory.
    let mut probe: Vec<u8> = Vec::new();
    probe.try_reserve_exact(bytes.checked_add(align)?.checked_add(HEADROOM_BYTES)?).ok()?;
    drop(probe);
    // The frames come first.
    let frames = config.frames as usize * config.page_bytes as usize;
    let front = match content {
        Content::New if bytes - frames.min(bytes) > DENSE_BYTES_MAX => frames,
        Content::New | Content::Kept => bytes,
    };
    Some(AlignedBuffer::with_huge_front(bytes, align, front))
}
