//! Opening and making stores: device, memory, configuration.
//!
//! A new store appears under its name only when it is whole: it is made under a temporary name
//! beside it and renamed, never over something that exists. So a `create` that is killed leaves no
//! half-made store. A block device has no names to choose from: there the superblocks, which come
//! last, make the store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use emberkv::create::{
    CAPACITY_DEFAULT, CAPACITY_MAX_DEFAULT, KEYS_WORTHWHILE, SEGMENTS_AT_START, arena,
    block_device, directory_of, free_bytes,
};
use emberkv::{HostLimits, host_config, random_seed, segment_bytes_for};
use emberkv_core::format::superblock::{STRIDE_MAX, STRIDE_MIN, SUPERBLOCK_BYTES, Superblock};
use emberkv_core::memory::plan;
use emberkv_core::{
    Access, ArenaContent, BlockDevice, Checksums, Config, Error, Geometry, Store, required_bytes,
};
use emberkv_file::{AlignedBuffer, FileDevice, Options};
use emberkv_raw::{Overwrite, RawError, Survey};
use rustix::fs::RenameFlags;

use crate::device::HostDevice;
use crate::explain;
use crate::failure::{At, Failure};
use crate::size;

/// The store as the verbs see it.
pub(crate) type HostStore<'m> = Store<'m, &'m mut HostDevice>;

/// Room for any key: the format counts their bytes in 16 bits.
pub(crate) const KEY_BUFFER_BYTES: usize = 1 << 16;

/// Arenas begin at a multiple of this, so that frames are whole pages of the machine.
const PAGE_BYTES: usize = 4096;

/// What this run gives its store.
#[derive(Debug)]
pub(crate) struct Host {
    limits: HostLimits,
}

/// A store that was just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    /// Its bytes.
    pub(crate) capacity: u64,
    /// Bytes that it may grow to.
    pub(crate) capacity_max: u64,
}

impl Host {
    /// This machine, with so much memory for the buffer pool.
    pub(crate) fn new(cache_bytes: u64) -> Self {
        Self { limits: HostLimits { cache_bytes, ..HostLimits::of_this_machine() } }
    }

    /// Memory for the buffer pool.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.limits.cache_bytes
    }

    /// Opens the store at `path` and runs `work` on it.
    pub(crate) fn with_store<T>(
        &self,
        path: &Path,
        access: Access,
        work: impl FnOnce(HostStore<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut device = HostDevice::open(path, access)?;
        let (geometry, segment_bytes) = size_of_store(&mut device);
        let config = Config { access, segment_bytes, ..self.config(&geometry) };
        let (config, mut memory) = settle(path, &geometry, config)?;
        // Three times at most: the store on the medium may need more than its device lets expect,
        // and says so. Where no store like it could be made on this device (firmware has smaller
        // segments) nothing is expected, and it says first what its superblock takes.
        for _ in 0..3 {
            match Store::open(&mut device, &mut memory, &config) {
                Ok(store) => return work(store),
                Err(Error::ArenaTooSmall { need, have }) if have < need => {
                    memory = arena(&geometry, need).ok_or_else(|| no_memory(path, need))?;
                }
                Err(error) => return Err(error).at(path),
            }
        }
        Err(no_memory(path, memory.len()))
    }

    /// Makes a store at `path`, where nothing may be yet, or a block device that is blank or whose
    /// content is given up.
    pub(crate) fn create(
        &self,
        path: &Path,
        capacity: Option<u64>,
        capacity_max: Option<u64>,
        segment_bytes: Option<u32>,
        overwrite: Overwrite,
    ) -> Result<Created, Failure> {
        if let Some(device) = block_device(path) {
            if capacity.or(capacity_max).is_some() {
                let what = "a block device has the size that it has";
                return Err(Failure::new(path, what, "leave --capacity and --max-capacity out"));
            }
            return self.create_on(&device, segment_bytes, overwrite);
        }
        if overwrite != Overwrite::Nothing {
            return Err(Failure::new(path, "is not a block device", "leave --destroy out"));
        }
        let (capacity, capacity_max) = sizes(path, capacity, capacity_max, segment_bytes)?;
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let temporary = temporary_name(path)?;
        let made = self.format(path, &temporary, capacity, capacity_max, segment_bytes);
        let made = made.and_then(|made| publish(&temporary, path).map(|()| made));
        if made.is_err() {
            // Ours alone, as it was made with a random name; the failure is what the user must hear
            // about.
            let _ = fs::remove_file(&temporary);
        }
        made
    }
}

impl Host {
    /// The configuration for a device like this.
    fn config(&self, geometry: &Geometry) -> Config {
        // The arena comes zeroed from the operating system, which commits its pages as they are
        // touched: saying so keeps a small store's footprint small.
        Config { arena: ArenaContent::Zeroed, ..host_config(geometry, &self.limits) }
    }

    fn format(
        &self,
        path: &Path,
        temporary: &Path,
        capacity: u64,
        capacity_max: u64,
        segment_bytes: Option<u32>,
    ) -> Result<Created, Failure> {
        let options = Options { capacity, capacity_max, ..Options::default() };
        let device = FileDevice::create(temporary, &options)
            .map_err(|error| explain::device_error(path, &error))?;
        let (config, memory) = self.planned(path, &device.geometry(), segment_bytes)?;
        let capacity = format_device(path, HostDevice::File(device), &config, memory)?;
        // As the user asked for it: the whole segments in it may be a little less.
        Ok(Created { capacity, capacity_max: capacity_max.max(capacity) })
    }

    /// Makes a store on a block device. Nothing is written before it is known that a store fits, and
    /// that what is on the device is given up.
    fn create_on(
        &self,
        path: &Path,
        segment_bytes: Option<u32>,
        overwrite: Overwrite,
    ) -> Result<Created, Failure> {
        let told = |error: RawError| match error {
            RawError::Holds { found, .. } => explain::would_destroy(path, found),
            error => explain::raw_error(path, &error),
        };
        let survey = Survey::new(path).map_err(told)?;
        let (config, memory) = self.planned(path, &survey.geometry(), segment_bytes)?;
        plan(&config, &survey.geometry()).map_err(|error| explain::engine_error(path, &error))?;
        let device = survey.claim(overwrite).map_err(told)?;
        let capacity = format_device(path, HostDevice::Raw(device), &config, memory)?;
        Ok(Created { capacity, capacity_max: capacity })
    }

    /// The configuration of a new store on such a device, and memory to make it.
    fn planned(
        &self,
        path: &Path,
        geometry: &Geometry,
        segment_bytes: Option<u32>,
    ) -> Result<(Config, AlignedBuffer), Failure> {
        let seed = random_seed()
            .map_err(|error| Failure::io(path, "cannot read the random source", &error))?;
        let chosen = self.config(geometry);
        let segment_bytes = segment_bytes.unwrap_or(chosen.segment_bytes);
        settle(path, geometry, Config { seed, segment_bytes, ..chosen })
    }
}

/// Makes a store on a device; answers its capacity.
fn format_device(
    path: &Path,
    mut device: HostDevice,
    config: &Config,
    mut memory: AlignedBuffer,
) -> Result<u64, Failure> {
    let store = Store::format(&mut device, &mut memory, config).at(path)?;
    let capacity = store.stats().capacity;
    store.close().map(drop).at(path)?;
    Ok(capacity)
}

/// Fills in what the user did not choose.
fn sizes(
    path: &Path,
    capacity: Option<u64>,
    capacity_max: Option<u64>,
    segment_bytes: Option<u32>,
) -> Result<(u64, u64), Failure> {
    let default_max = match capacity {
        Some(fixed) => fixed,
        None => free_bytes(path).unwrap_or(u64::MAX).clamp(CAPACITY_DEFAULT, CAPACITY_MAX_DEFAULT),
    };
    let capacity_max = capacity_max.unwrap_or(default_max);
    let capacity = capacity.unwrap_or(CAPACITY_DEFAULT.min(capacity_max));
    if capacity > capacity_max {
        let what = format!(
            "the capacity of {} is more than the maximum of {}",
            size::human(capacity),
            size::human(capacity_max)
        );
        return Err(Failure::new(path, what, "raise --max-capacity"));
    }
    // What may grow far has large segments, and needs a few of them to begin with.
    let segment = segment_bytes
        .unwrap_or_else(|| segment_bytes_for(capacity, capacity_max, PAGE_BYTES as u32));
    let least = SEGMENTS_AT_START * u64::from(segment);
    Ok((capacity.max(least.min(capacity_max)), capacity_max))
}

/// A name beside `path`; of the kind that the file backend uses while it writes a new file's zeros.
fn temporary_name(path: &Path) -> Result<PathBuf, Failure> {
    let seed = random_seed()
        .map_err(|error| Failure::io(path, "cannot read the random source", &error))?;
    let unique = u64::from_le_bytes([
        seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7],
    ]);
    Ok(directory_of(path).join(format!(".emberkv-creating-{unique:016x}")))
}

/// Gives a finished store its name, unless something has taken it in the meantime.
fn publish(temporary: &Path, path: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::io(path, "cannot give the new store its name", &error),
    };
    let cwd = rustix::fs::CWD;
    let renamed = rustix::fs::renameat_with(cwd, temporary, cwd, path, RenameFlags::NOREPLACE);
    match renamed.map_err(io::Error::from) {
        Ok(()) => {}
        // A file system without this kind of rename: a link does not replace anything either.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::hard_link(temporary, path).map_err(|_| failed(error))?;
            fs::remove_file(temporary).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    // The new name is durable on return, as everything else is.
    let directory = fs::File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    directory.map_err(failed)
}

fn exists(path: &Path) -> Failure {
    Failure::new(path, "exists already", "choose another name, or remove it first")
}

/// A device as large as the store on it may grow, and the bytes of its segments: what the memory
/// is reckoned from. Without a readable superblock, which is for `Store::open` to tell, the device
/// as it is.
fn size_of_store(device: &mut HostDevice) -> (Geometry, u32) {
    let geometry = device.geometry();
    let Some(block) = superblock(device) else {
        return (Geometry { capacity_max: geometry.capacity, ..geometry }, 0);
    };
    let segments = u64::from(block.segments_max) * u64::from(block.segment_bytes);
    let most = geometry.capacity.max(block.data_offset + segments);
    (Geometry { capacity: most, capacity_max: most, ..geometry }, block.segment_bytes)
}

/// The superblock, from its first readable copy.
fn superblock(device: &mut HostDevice) -> Option<Superblock> {
    let geometry = device.geometry();
    let bytes = SUPERBLOCK_BYTES.next_multiple_of(geometry.read_unit as usize);
    let mut buffer = AlignedBuffer::new(bytes, geometry.buffer_align as usize);
    let strides =
        (STRIDE_MIN.trailing_zeros()..=STRIDE_MAX.trailing_zeros()).map(|shift| 1_u64 << shift);
    for at in std::iter::once(0).chain(strides) {
        if device.read(at, &mut buffer).is_ok()
            && let Ok(block) = Superblock::decode(&Checksums::PORTABLE, &buffer)
        {
            return Some(block);
        }
    }
    None
}

/// Memory for a store: as much of the configuration as this process can get. A limit on its address
/// space (`ulimit -v`) costs keys, not the store.
fn settle(
    path: &Path,
    geometry: &Geometry,
    mut config: Config,
) -> Result<(Config, AlignedBuffer), Failure> {
    // Ends: the keys are halved each time.
    loop {
        let bytes = required_bytes(&config, geometry);
        if let Some(arena) = arena(geometry, bytes) {
            return Ok((config, arena));
        }
        if config.keys_max <= KEYS_WORTHWHILE {
            return Err(no_memory(path, bytes));
        }
        config.keys_max /= 2;
    }
}

fn no_memory(path: &Path, bytes: usize) -> Failure {
    let what = format!("there is no memory for {}", size::human(bytes as u64));
    Failure::new(
        path,
        what,
        "give the pool less with --cache, or the process more with `ulimit -v`",
    )
}
