//! EmberKV itself: the blocking store on a file, and on memory for the engine alone.
//!
//! Its cache is the buffer pool, its file is opened with `O_DIRECT`, so the cache size is all it
//! gets. Puts without sync stay in the pool, where the other stores hand them to the kernel at
//! once: a killed process loses more of them. After a sync nothing differs.

use std::cell::RefCell;
use std::path::Path;

use emberkv::{HostLimits, host_config, segment_bytes_for};
use emberkv_core::{BlockDevice, Config, Geometry, Store, required_bytes};
use emberkv_file::{AlignedBuffer, FileDevice, IoMode, Options};
use emberkv_memory::{MemoryDevice, Rules};

use crate::data::{Key, VALUE_BYTES_MAX};
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Space, Work};

/// The sector of the device in memory: that of the disks it stands for.
const SECTOR_BYTES: u32 = 4096;

/// A segment as a store of 1 GiB or more would choose it; the files here are only smaller to save
/// time.
pub(super) const SEGMENT_BYTES: u32 = 4 << 20;

/// Most bytes that a record, its hint and its share of a group need beyond key and value,
/// generously.
const RECORD_OVERHEAD_BYTES: u64 = 96;

/// Most bytes that a durable put occupies: it fills up its commit unit, and may touch two.
const DURABLE_PUT_BYTES: u64 = 2 * SECTOR_BYTES as u64;

/// Segments that hold the superblocks, are active, or that a session leaves half empty.
const SPARE_SEGMENTS: u64 = 16;

/// Share of a file that does not grow that live data takes: what a store allows at most by default
/// is 75.
const LIVE_PERCENT: u64 = 74;

/// Beside the live data, where keys are overwritten.
const LIVE_SPARE_BYTES: u64 = 4 << 20;

/// Its column.
pub const EMBER: &str = "ember";

/// The family.
pub struct Ember;

struct EmberPeer<'s, 'm, D: BlockDevice> {
    inner: RefCell<Inner<'s, 'm, D>>,
}

/// The store and the buffer that it reads into.
struct Inner<'s, 'm, D: BlockDevice> {
    store: &'s mut Store<'m, D>,
    value: Vec<u8>,
}

impl Family for Ember {
    fn name(&self) -> &'static str {
        EMBER
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn durable_by(&self) -> &'static str {
        "put + sync: one durable O_DIRECT write"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        session_on(open_file(&setup.directory, device_bytes(setup))?, setup, work)
    }
}

/// A session on a fresh device in memory, which is gone afterwards.
///
/// # Errors
/// The store's own and those of `work`.
pub fn memory_session(setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
    let bytes = vec![0; device_bytes(setup) as usize];
    let rules = Rules::block_with_durable_writes(SECTOR_BYTES);
    let device = MemoryDevice::blank(bytes, rules).map_err(|error| error.to_string())?;
    session_on(device, setup, work)
}

/// Opens the file of the store, or creates it with its full size, filled with zeros.
fn open_file(directory: &Path, bytes: u64) -> Outcome<FileDevice> {
    let options = Options { capacity: bytes, ..Options::default() };
    let device = FileDevice::open_or_create(directory.join("store.ember"), &options)?;
    match device.mode() {
        IoMode::Direct => Ok(device),
        IoMode::Buffered => Err("no direct I/O here: the page cache would be compared".into()),
    }
}

fn session_on<D>(device: D, setup: &Setup, work: &mut Work<'_>) -> Outcome<()>
where
    D: BlockDevice,
    D::Error: Send + Sync + 'static,
{
    let config = config(setup, &device.geometry());
    let mut arena = AlignedBuffer::new(required_bytes(&config, &device.geometry()), 4096);
    let mut store = Store::open_or_format(device, &mut arena, &config)?;
    let inner = Inner { store: &mut store, value: vec![0; VALUE_BYTES_MAX] };
    work(&EmberPeer { inner: RefCell::new(inner) })?;
    store.close()?;
    Ok(())
}

fn config(setup: &Setup, geometry: &Geometry) -> Config {
    let limits = HostLimits { cache_bytes: setup.cache_bytes, ..HostLimits::of_this_machine() };
    let segment_bytes = match setup.space {
        Space::Log => SEGMENT_BYTES,
        Space::Live => segment_bytes_for(geometry.capacity, geometry.capacity, SECTOR_BYTES),
    };
    Config {
        segment_bytes,
        seed: [0x5e; 32],
        keys_max: keys_max(setup),
        ..host_config(geometry, &limits)
    }
}

/// Entries of deleted keys stay until they are merged away.
fn keys_max(setup: &Setup) -> u32 {
    u32::try_from(setup.keys * 5 / 4).unwrap_or(u32::MAX)
}

/// The file that the blocking store gets: it does not grow.
fn device_bytes(setup: &Setup) -> u64 {
    match setup.space {
        Space::Log => log_bytes(setup),
        Space::Live => live_bytes(setup) * 100 / LIVE_PERCENT,
    }
}

fn record_bytes(setup: &Setup) -> u64 {
    crate::data::KEY_BYTES as u64 + setup.value_bytes as u64 + RECORD_OVERHEAD_BYTES
}

/// What is live at most, with a few segments.
pub(super) fn live_bytes(setup: &Setup) -> u64 {
    setup.keys * record_bytes(setup) + LIVE_SPARE_BYTES
}

/// Enough for every put of the workload without merging, in whole segments.
pub(super) fn log_bytes(setup: &Setup) -> u64 {
    // A workload may put its keys once more, and some of them without a sync.
    let log_bytes =
        setup.keys * record_bytes(setup) * 3 / 2 + setup.durable_puts * DURABLE_PUT_BYTES;
    let segment_bytes = u64::from(SEGMENT_BYTES);
    (log_bytes.div_ceil(segment_bytes) + SPARE_SEGMENTS) * segment_bytes
}

impl<D> Peer for EmberPeer<'_, '_, D>
where
    D: BlockDevice,
    D::Error: Send + Sync + 'static,
{
    fn shared(&self) -> Option<&Shared> {
        None
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.inner.borrow_mut().store.put(key, value)?)
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        let mut inner = self.inner.borrow_mut();
        let mut batch = inner.store.batch()?;
        for (key, value) in pairs {
            batch.put(key, value)?;
        }
        batch.commit()?;
        Ok(())
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.put(key, value)?;
        self.sync()
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let Inner { store, value } = &mut *self.inner.borrow_mut();
        let value = store.get(key, value)?;
        Ok(value.is_some_and(|value| {
            see(value);
            true
        }))
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.inner.borrow_mut().store.delete(key)?;
        Ok(())
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.inner.borrow_mut().store.sync()?)
    }
}
