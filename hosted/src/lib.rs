//! EmberKV for programs with an operating system: [`Db`], a key-value store that threads share, and
//! the pieces that every host program needs.
//!
//! Start at [`Db`]; `hosted/examples` has whole programs. Keys come back in no order.
//!
//! The engine owns no policy and no randomness: a caller gives it memory, limits and a seed. This
//! crate holds the choices that suit a machine with an operating system, so that the command line
//! and other programs make the same ones.

mod batch;
mod bounce;
mod builder;
mod commit;
mod counts;
// What the command line shares with `Db`; no promise to anybody else.
#[doc(hidden)]
pub mod create;
mod db;
mod device;
mod error;
mod handover;
mod iter;
mod lock;
mod maintain;
mod many;
mod read;
mod shared;
mod signal;
mod snapshot;
mod spread;
mod sync;
mod value;
mod worker;

use std::io;

use emberkv_core::{Config, Geometry};

pub use batch::Batch;
pub use builder::{Builder, Durability};
pub use counts::DeviceCounts;
pub use db::{Db, PutIf, Stats};
pub use device::Device;
pub use emberkv_core::{Corruption, Seq};
pub use emberkv_file::host_checksums;
pub use emberkv_raw::Overwrite;
pub use error::Error;
pub use iter::Iter;
pub use maintain::{BackupReport, ScrubReport};
pub use snapshot::Snapshot;
pub use value::Value;

/// Bytes of the buffer pool where the user did not choose: enough that writes are handed over in
/// long runs, small enough for any machine that runs Linux.
pub const CACHE_BYTES_DEFAULT: u64 = 64 << 20;

/// Longest key of a store that a host formats, in bytes: `PATH_MAX` of Linux, so any path is a key.
pub const KEY_BYTES_MAX: u16 = 4096;

/// Bytes of keydir memory that one key is reckoned with: 24 for its entry at the load factor of the
/// table.
pub const KEYDIR_BYTES_PER_KEY: u64 = 28;

/// Bytes of log that the smallest sensible record takes; bounds the keys that a device can hold.
const RECORD_BYTES_MIN: u64 = 32;

/// Pages are at least this long: the block of every common file system and the page of the machine.
const PAGE_BYTES_MIN: u32 = 4096;

/// Fewest frames that are worth opening a store with: the open group and a few reads.
const FRAMES_MIN: u64 = 64;

/// Fewest keys, so that the smallest store is still usable.
const KEYS_MIN: u64 = 1024;

/// Largest segment that is chosen without need: above it nothing is gained on any disk measured.
const SEGMENT_BYTES_USUAL: u64 = 4 << 20;

/// Segments of a store that has grown as far as it may, where they do not get too small or too
/// large: fewer would keep too much of a small store from being used, as a few are always free.
const SEGMENTS_WANTED: u64 = 64;

/// Smallest segment that is chosen, in commit units: below it headers and footers cost too much.
const SEGMENT_UNITS_MIN: u64 = 32;

/// Most segments of a store: their bitmap, 2 KiB, lies in each segment's header, which must fit a
/// page.
const SEGMENTS_MAX: u64 = 1 << 14;

/// What a host gives a store: the inputs of [`host_config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// Memory that this process may use at all, in bytes.
    pub memory_bytes: u64,
    /// Memory for the buffer pool, in bytes.
    pub cache_bytes: u64,
}

impl HostLimits {
    /// The memory of this machine (or of the control group that limits this process) and the
    /// default cache.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self { memory_bytes: memory_bytes(), cache_bytes: CACHE_BYTES_DEFAULT }
    }
}

/// The configuration of a store on a host, for a device with this geometry.
///
/// * page: 4096 bytes, or the device's commit unit where that is larger;
/// * frames: `cache_bytes` worth of pages, at least 64;
/// * keys: a quarter of the memory at 28 bytes a key, and no more than the device could hold in
///   records of 32 bytes. On a machine with 24 GiB that is 230 million keys. The arena comes zeroed
///   from the operating system and is committed page by page as keys arrive, so a large limit costs
///   address space, not memory;
/// * longest key: 4096 bytes, so that any path is a key;
/// * segments: as [`segment_bytes_for`] says;
/// * checksums: [`host_checksums`].
///
/// The seed stays zero: before formatting, set it from [`random_seed`].
///
/// ```
/// use emberkv::{HostLimits, host_config};
/// use emberkv_core::Geometry;
///
/// let disk = Geometry {
///     capacity: 1 << 30,
///     capacity_max: 1 << 30,
///     read_unit: 512,
///     write_unit: 512,
///     erase_unit: 4096,
///     tear_unit: 4096,
///     buffer_align: 512,
///     max_transfer: 1 << 20,
/// };
/// let limits = HostLimits { memory_bytes: 8 << 30, cache_bytes: 64 << 20 };
/// let config = host_config(&disk, &limits);
/// assert_eq!(config.page_bytes, 4096);
/// assert_eq!(config.frames, 16_384);
/// assert_eq!(config.keys_max, 1 << 25); // 1 GiB of records of 32 bytes
/// ```
#[must_use]
pub fn host_config(geometry: &Geometry, limits: &HostLimits) -> Config {
    let page_bytes = geometry.commit_unit().max(PAGE_BYTES_MIN);
    let frames = (limits.cache_bytes / u64::from(page_bytes)).max(FRAMES_MIN);
    let keys_by_memory = limits.memory_bytes / 4 / KEYDIR_BYTES_PER_KEY;
    let keys_by_device = geometry.capacity_max / RECORD_BYTES_MIN;
    let keys = keys_by_memory.min(keys_by_device).max(KEYS_MIN);
    Config {
        page_bytes,
        frames: u32::try_from(frames).unwrap_or(u32::MAX),
        keys_max: u32::try_from(keys).unwrap_or(u32::MAX),
        key_bytes_max: KEY_BYTES_MAX,
        segment_bytes: segment_bytes_for(
            geometry.capacity,
            geometry.capacity_max,
            geometry.commit_unit(),
        ),
        checksums: host_checksums(),
        ..Config::default()
    }
}

/// The segment size of a new store of `capacity` bytes that may grow to `capacity_max`: at most 4
/// MiB and enough of them (64 in the end, 8 at the start); larger only where there would be more
/// than 16,384. Sealing one and opening the next takes the time of five durable writes, which a
/// lone durable writer waits for: with 256 units of 4 KiB and more that is 2 % of its time.
///
/// ```
/// use emberkv::segment_bytes_for;
///
/// assert_eq!(segment_bytes_for(4 << 20, 4 << 20, 4096), 128 << 10);
/// assert_eq!(segment_bytes_for(4 << 20, 1 << 30, 4096), 512 << 10);
/// assert_eq!(segment_bytes_for(64 << 20, 64 << 30, 4096), 4 << 20);
/// assert_eq!(segment_bytes_for(64 << 20, 1 << 40, 4096), 64 << 20);
/// ```
#[must_use]
pub fn segment_bytes_for(capacity: u64, capacity_max: u64, commit_unit: u32) -> u32 {
    let wanted = (capacity_max / SEGMENTS_WANTED).min(capacity / 8).clamp(1, SEGMENT_BYTES_USUAL);
    let smallest = SEGMENT_UNITS_MIN * u64::from(commit_unit);
    let bytes = (1 << wanted.ilog2()).max(smallest).max(capacity_max.div_ceil(SEGMENTS_MAX));
    // The format knows no larger ones.
    bytes.checked_next_power_of_two().unwrap_or(u64::MAX).min(1 << 30) as u32
}

/// 32 bytes from the operating system's random source: the identity and the hash secret of a new
/// store.
///
/// # Errors
/// The random source cannot be read; nothing weaker is used in its place.
pub fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// Memory of the machine or of the control group, the smaller; 1 GiB where neither can be read.
fn memory_bytes() -> u64 {
    const UNKNOWN: u64 = 1 << 30;
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => UNKNOWN,
    }
}

/// The `MemTotal` line of `/proc/meminfo`, in bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{HostLimits, host_config, random_seed, total_of};
    use emberkv_core::Geometry;

    const DISK: Geometry = Geometry {
        capacity: 4 << 20,
        capacity_max: 1 << 40,
        read_unit: 512,
        write_unit: 512,
        erase_unit: 4096,
        tear_unit: 4096,
        buffer_align: 512,
        max_transfer: 1 << 20,
    };

    #[test]
    fn the_keys_are_bounded_by_memory_on_a_large_device_and_by_the_device_on_a_small_one() {
        let limits = HostLimits { memory_bytes: 28 << 20, cache_bytes: 1 << 20 };
        assert_eq!(host_config(&DISK, &limits).keys_max, 1 << 18);
        let small = Geometry { capacity_max: 4 << 20, ..DISK };
        assert_eq!(host_config(&small, &limits).keys_max, 1 << 17);
    }

    #[test]
    fn a_page_is_never_smaller_than_the_commit_unit_of_the_device() {
        let limits = HostLimits { memory_bytes: 1 << 30, cache_bytes: 1 << 20 };
        let large = Geometry { tear_unit: 16_384, erase_unit: 16_384, ..DISK };
        let config = host_config(&large, &limits);
        assert_eq!((config.page_bytes, config.frames), (16_384, 64));
    }

    #[test]
    fn the_seed_differs_each_time() {
        assert_ne!(
            random_seed().expect("a random source"),
            random_seed().expect("a random source")
        );
    }

    #[test]
    fn the_memory_of_the_machine_is_read_from_its_line() {
        assert_eq!(total_of("MemTotal:       16 kB\nMemFree: 3 kB\n"), Some(16_384));
        assert_eq!(total_of("MemFree: 3 kB\n"), None);
    }
}
