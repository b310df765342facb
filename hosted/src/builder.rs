//! Opening and making a [`Db`]: everything that can be chosen, with defaults that suit a program on
//! a desktop or server.

use core::time::Duration;
use std::io;
use std::path::Path;

use emberkv_core::{Access, Config, Geometry, SnapshotPressure, Store};
use emberkv_file::{AlignedBuffer, FileDevice, Options};
use emberkv_raw::{Overwrite, RawDevice};
use self_cell::MutBorrow;

use crate::create::{self, Content};
use crate::db::Db;
use crate::device::{ByRef, Device};
use crate::error::Error;
use crate::shared::{Phase, Shared, State, StateCell};
use crate::sync::Arc;
use crate::worker::Workers;
use crate::{HostLimits, host_config, random_seed};

/// When a put without `durable` in its name becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// So long after it at most, plus the time of one flush: a background thread writes and
    /// flushes. What a killed program or a power cut can lose is that much.
    Interval(Duration),
    /// When somebody calls `sync`, or a durable write, or closes the store.
    Buffered,
    /// Before it returns: every put is a durable one.
    Immediate,
}

impl Default for Durability {
    fn default() -> Self {
        Self::Interval(Duration::from_millis(50))
    }
}

/// Old versions that snapshots may hold on to before the oldest snapshot expires; memory for them
/// is used as they come.
const VERSIONS_MAX: u32 = 1 << 18;
/// Snapshots of different moments at once.
const SNAPSHOTS_MAX: u16 = 1024;

/// Choices for opening or making a store. [`Db::builder`] begins one.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("data.ember");
/// use emberkv::{Db, Durability};
///
/// let db = Db::builder()
///     .capacity(16 << 20)
///     .max_capacity(1 << 30)
///     .cache_bytes(8 << 20)
///     .durability(Durability::Immediate)
///     .open(&path)?;
/// db.put(b"key", b"value")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    capacity: Option<u64>,
    capacity_max: Option<u64>,
    limits: HostLimits,
    keys_max: Option<u32>,
    segment_bytes: Option<u32>,
    page_bytes: Option<u32>,
    live_percent: Option<u8>,
    durability: Durability,
    mergers: u32,
    access: Access,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            capacity: None,
            capacity_max: None,
            limits: HostLimits::of_this_machine(),
            keys_max: None,
            segment_bytes: None,
            page_bytes: None,
            live_percent: None,
            durability: Durability::default(),
            mergers: 1,
            access: Access::ReadWrite,
        }
    }
}

impl Builder {
    /// Bytes of a new store. Default: 64 MiB, or what a store that may grow so far begins with.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// Bytes that a new store may grow to. Default: the free space of its file system, at most 64
    /// GiB; its [`capacity`](Self::capacity) where only that is chosen.
    #[must_use]
    pub fn max_capacity(mut self, bytes: u64) -> Self {
        self.capacity_max = Some(bytes);
        self
    }

    /// Memory for the buffer pool. Default: 64 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.limits.cache_bytes = bytes;
        self
    }

    /// Memory that bounds the number of keys: a quarter of it, at 28 bytes a key. Default: that of
    /// the machine or of the control group.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.limits.memory_bytes = bytes;
        self
    }

    /// Most keys at once, deleted ones that are not yet merged away among them. Default: what the
    /// memory limit allows. Memory is spent as they come.
    #[must_use]
    pub fn max_keys(mut self, keys: u32) -> Self {
        self.keys_max = Some(keys);
        self
    }

    /// Bytes of a segment of a new store, a power of two. Default:
    /// [`segment_bytes_for`](crate::segment_bytes_for).
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = Some(bytes);
        self
    }

    /// Bytes of a page of the buffer pool, a power of two. Default: 4096.
    #[must_use]
    pub fn page_bytes(mut self, bytes: u32) -> Self {
        self.page_bytes = Some(bytes);
        self
    }

    /// How much of the store live data may take, 0.5 to 0.9: more holds more, less makes merging
    /// cheaper. Default: 0.75.
    #[must_use]
    pub fn live_fraction(mut self, fraction: f64) -> Self {
        // Out of range is for the engine to refuse.
        self.live_percent = Some((fraction * 100.0).round() as u8);
        self
    }

    /// When puts become durable. Default: after 50 ms at most.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Background threads that merge: 0 leaves it to the writers, more than 1 are not of use yet.
    /// Default: 1.
    #[must_use]
    pub fn merge_threads(mut self, threads: u32) -> Self {
        self.mergers = threads;
        self
    }

    /// Never write. Any number of readers may have a file open, but no writer beside them.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
        self
    }

    /// Opens the store at `path`, a file or a block device. Where there is nothing, and writing is
    /// allowed, a file is made.
    ///
    /// # Errors
    /// [`Error::Locked`] where it is open elsewhere, [`Error::NotAStore`], [`Error::Corrupted`],
    /// and those of the operating system.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Db, Error> {
        let path = path.as_ref();
        if let Some(device) = create::block_device(path) {
            return self.open_on(RawDevice::open(device, self.access)?);
        }
        let is_there = path.symlink_metadata().is_ok();
        if !is_there && self.access == Access::ReadWrite {
            match self.create(path) {
                // Somebody was faster.
                Err(Error::Exists { .. }) => {}
                made => return made,
            }
        }
        // The file itself has no limit; the store on it does, and keeps to it.
        let options = Options { capacity_max: u64::MAX, ..Options::default() };
        self.open_on(FileDevice::open_with(path, self.access, &options)?)
    }

    /// Makes a store in a new file. The file appears under its name when the store is whole.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is something; [`Error::Engine`] for sizes that do not fit one
    /// another; those of the operating system.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Db, Error> {
        let path = path.as_ref();
        self.create_filled(path, |_| Ok(()))?;
        let options = Options { capacity_max: u64::MAX, ..Options::default() };
        let device = FileDevice::open_with(path, self.access, &options)?;
        self.start(Box::new(device), Content::New)
    }

    /// Makes a store under a temporary name, has it filled, closes it, and gives it its name.
    pub(crate) fn create_filled<T>(
        &self,
        path: &Path,
        fill: impl FnOnce(&Db) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: path.to_owned() });
        }
        let temporary = create::temporary_name(path)
            .map_err(|error| Error::io("cannot read the random source", path, error))?;
        let made = self.create_as(path, &temporary).and_then(|db| {
            let filled = fill(&db)?;
            db.close()?;
            create::publish(&temporary, path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
                _ => Error::io("cannot give the new store its name", path, error),
            })?;
            Ok(filled)
        });
        if made.is_err() {
            // Ours alone, as it was made with a random name; the failure is what the caller must
            // hear about.
            let _ = std::fs::remove_file(&temporary);
        }
        made
    }

    fn create_as(&self, path: &Path, temporary: &Path) -> Result<Db, Error> {
        let (capacity, capacity_max) =
            create::sizes(path, self.capacity, self.capacity_max, self.segment_bytes);
        let options = Options { capacity, capacity_max, ..Options::default() };
        let device = FileDevice::create(temporary, &options)?;
        self.format(&device)?;
        self.clone().read_only(false).start(Box::new(device), Content::New)
    }

    /// Opens the store on the block device at `path`.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Raw`] where the device holds something else.
    pub fn open_device(&self, path: impl AsRef<Path>) -> Result<Db, Error> {
        self.open_on(RawDevice::open(path, self.access)?)
    }

    /// Makes a store on the block device at `path`, whose content must be blank, or of exactly the
    /// kind that is given up.
    ///
    /// # Errors
    /// [`Error::Raw`] where it is something else; nothing was written then.
    pub fn create_device(&self, path: impl AsRef<Path>, destroy: Overwrite) -> Result<Db, Error> {
        self.create_on(RawDevice::claim(path, destroy)?)
    }

    /// Opens the store on a device of your own.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(&self, device: impl Device) -> Result<Db, Error> {
        self.start(Box::new(device), Content::Kept)
    }

    /// Makes a store on a device of your own, whatever is on it.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_on(&self, device: impl Device) -> Result<Db, Error> {
        self.format(&device)?;
        self.start(Box::new(device), Content::New)
    }

    fn config(&self, geometry: &Geometry) -> Config {
        let chosen = host_config(geometry, &self.limits);
        let page_bytes = self.page_bytes.unwrap_or(chosen.page_bytes).max(1);
        let frames =
            u64::from(chosen.frames) * u64::from(chosen.page_bytes) / u64::from(page_bytes);
        Config {
            page_bytes,
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
            keys_max: self.keys_max.unwrap_or(chosen.keys_max),
            live_percent: self.live_percent.unwrap_or(chosen.live_percent),
            access: self.access,
            arena: emberkv_core::ArenaContent::Zeroed,
            snapshots_max: SNAPSHOTS_MAX,
            versions_max: VERSIONS_MAX,
            snapshot_pressure: SnapshotPressure::ExpireOldest,
            ..chosen
        }
    }

    fn format(&self, device: &dyn Device) -> Result<(), Error> {
        let geometry = device.geometry();
        let seed = random_seed()
            .map_err(|error| Error::io("cannot read the random source", "".as_ref(), error))?;
        let config = self.config(&geometry);
        let segment_bytes = self.segment_bytes.unwrap_or(config.segment_bytes);
        let config = Config { seed, segment_bytes, ..config };
        let (config, mut arena) = settle(&geometry, config, Content::New)?;
        let store = Store::format(ByRef(device), &mut arena, &config).map_err(Error::from_store)?;
        store.close().map(drop).map_err(Error::from_store)
    }

    fn start(&self, device: Box<dyn Device>, content: Content) -> Result<Db, Error> {
        let read = |at, bytes: &mut [u8]| device.read(at, bytes).is_ok();
        let (geometry, segment_bytes) = create::size_of_store(device.geometry(), read);
        let config = Config { segment_bytes, ..self.config(&geometry) };
        let (config, mut arena) = settle(&geometry, config, content)?;
        // Twice at most: the store on the medium may need more than its device lets expect, and
        // says so.
        for _ in 0..2 {
            let opened = StateCell::try_new(MutBorrow::new(arena), |arena| {
                let store = Store::open(ByRef(&*device), arena.borrow_mut(), &config)?;
                Ok(State {
                    engine: store.into_engine(),
                    in_flight: 0,
                    last_error: None,
                    dirty: false,
                    writer_sleeps: false,
                    commits: Default::default(),
                    phase: Phase::Open,
                })
            });
            match opened {
                Ok(cell) => {
                    let shared = Arc::new(Shared::new(cell, device, self.durability));
                    let workers = match self.access {
                        Access::ReadWrite => Workers::start(&shared, self.mergers)?,
                        Access::ReadOnly | Access::Salvage => Workers::default(),
                    };
                    return Ok(Db::new(shared, workers));
                }
                Err(emberkv_core::Error::ArenaTooSmall { need, .. }) => {
                    arena = create::arena(&geometry, need, (&config, content))
                        .ok_or(Error::NoMemory { bytes: need })?;
                }
                Err(error) => return Err(Error::from_store(error)),
            }
        }
        Err(Error::NoMemory { bytes: 0 })
    }
}

/// What an arena is.
pub(crate) type Arena = AlignedBuffer;

fn settle(geometry: &Geometry, config: Config, content: Content) -> Result<(Config, Arena), Error> {
    create::settle(geometry, config, content).map_err(|bytes| Error::NoMemory { bytes })
}
