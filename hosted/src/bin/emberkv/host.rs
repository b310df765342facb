//! Opening and making stores: device, memory, configuration.
//!
//! A new store appears under its name only when it is whole: it is made under a temporary name
//! beside it and renamed, never over something that exists. So a `create` that is killed leaves no
//! half-made store. A block device has no names to choose from: there the superblocks, which come
//! last, make the store.

use std::fs;
use std::io;
use std::path::Path;

use emberkv::create::{self, Content, block_device};
use emberkv::{HostLimits, host_config, random_seed};
use emberkv_core::memory::plan;
use emberkv_core::{Access, ArenaContent, BlockDevice, Config, Error, Geometry, Store};
use emberkv_file::{AlignedBuffer, FileDevice, Options};
use emberkv_raw::{Overwrite, RawError, Survey};

use crate::device::HostDevice;
use crate::explain;
use crate::failure::{At, Failure};
use crate::size;

/// The store as the verbs see it.
pub(crate) type HostStore<'m> = Store<'m, &'m mut HostDevice>;

/// Room for any key: the format counts their bytes in 16 bits.
pub(crate) const KEY_BUFFER_BYTES: usize = 1 << 16;

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
        let (geometry, segment_bytes) =
            create::size_of_store(device.geometry(), |at, bytes| device.read(at, bytes).is_ok());
        let config = Config { access, segment_bytes, ..self.config(&geometry) };
        let (config, mut memory) = create::settle(&geometry, config, Content::Kept)
            .map_err(|bytes| no_memory(path, bytes))?;
        // Three times at most: the store on the medium may need more than its device lets expect,
        // and says so. Where no store like it could be made on this device (firmware has smaller
        // segments) nothing is expected, and it says first what its superblock takes.
        for _ in 0..3 {
            match Store::open(&mut device, &mut memory, &config) {
                Ok(store) => return work(store),
                Err(Error::ArenaTooSmall { need, have }) if have < need => {
                    memory = create::arena(&geometry, need, (&config, Content::Kept))
                        .ok_or_else(|| no_memory(path, need))?;
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
        let temporary = create::temporary_name(path)
            .map_err(|error| Failure::io(path, "cannot read the random source", &error))?;
        let made = self.format(path, &temporary, capacity, capacity_max, segment_bytes);
        let publish = || match create::publish(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
            other => other
                .map_err(|error| Failure::io(path, "cannot give the new store its name", &error)),
        };
        let made = made.and_then(|made| publish().map(|()| made));
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
        create::settle(geometry, Config { seed, segment_bytes, ..chosen }, Content::New)
            .map_err(|bytes| no_memory(path, bytes))
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
    if let (Some(capacity), Some(capacity_max)) = (capacity, capacity_max)
        && capacity > capacity_max
    {
        let what = format!(
            "the capacity of {} is more than the maximum of {}",
            size::human(capacity),
            size::human(capacity_max)
        );
        return Err(Failure::new(path, what, "raise --max-capacity"));
    }
    Ok(create::sizes(path, capacity, capacity_max, segment_bytes))
}

fn exists(path: &Path) -> Failure {
    Failure::new(path, "exists already", "choose another name, or remove it first")
}

fn no_memory(path: &Path, bytes: usize) -> Failure {
    let what = format!("there is no memory for {}", size::human(bytes as u64));
    Failure::new(
        path,
        what,
        "give the pool less with --cache, or the process more with `ulimit -v`",
    )
}
