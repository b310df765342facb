//! EmberKV itself: the blocking store on a file, and on memory for the engine alone.
//!
//! Its cache is the buffer pool, its file is opened with `O_DIRECT`, so the cache size is all it
//! gets. Puts without sync stay in the pool, where the other stores hand them to the kernel at
//! once: a killed process loses more of them. After a sync nothing differs.

use std::path::Path;

use emberkv::{HostLimits, host_config};
use emberkv_core::{BlockDevice, Config, Geometry, Store, required_bytes};
use emberkv_file::{AlignedBuffer, FileDevice, IoMode, Options};
use emberkv_memory::{MemoryDevice, Rules};

use crate::data::{Key, VALUE_BYTES_MAX};
use crate::peer::{Family, Outcome, Peer, Setup, Work};

/// The sector of the device in memory: that of the disks it stands for.
const SECTOR_BYTES: u32 = 4096;

/// A segment as a store of 1 GiB or more would choose it; the files here are only smaller to save
/// time.
const SEGMENT_BYTES: u32 = 4 << 20;

/// Most bytes that a record, its hint and its share of a group need beyond key and value,
/// generously.
const RECORD_OVERHEAD_BYTES: u64 = 96;

/// Most bytes that a durable put occupies: it fills up its commit unit, and may touch two.
const DURABLE_PUT_BYTES: u64 = 2 * SECTOR_BYTES as u64;

/// Segments that hold the superblocks, are active, or that a session leaves half empty.
const SPARE_SEGMENTS: u64 = 16;

/// Its column.
pub const EMBER: &str = "ember";

/// The family.
pub struct Ember;

struct EmberPeer<'s, 'm, D: BlockDevice> {
    store: &'s mut Store<'m, D>,
    value: Vec<u8>,
}

impl Family for Ember {
    fn name(&self) -> &'static str {
        EMBER
    }

    fn durable_by(&self) -> &'static str {
        "put + sync: one durable O_DIRECT write"
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
    D::Error: 'static,
{
    let config = config(setup, &device.geometry());
    let mut arena = AlignedBuffer::new(required_bytes(&config, &device.geometry()), 4096);
    let mut store = Store::open_or_format(device, &mut arena, &config)?;
    work(&mut EmberPeer { store: &mut store, value: vec![0; VALUE_BYTES_MAX] })?;
    store.close()?;
    Ok(())
}

fn config(setup: &Setup, geometry: &Geometry) -> Config {
    let limits = HostLimits { cache_bytes: setup.cache_bytes, ..HostLimits::of_this_machine() };
    Config {
        segment_bytes: SEGMENT_BYTES,
        seed: [0x5e; 32],
        keys_max: setup.keys as u32,
        ..host_config(geometry, &limits)
    }
}

/// Enough for every put of the workload without merging, in whole segments.
fn device_bytes(setup: &Setup) -> u64 {
    let record_bytes =
        crate::data::KEY_BYTES as u64 + setup.value_bytes as u64 + RECORD_OVERHEAD_BYTES;
    // A workload may put its keys once more, and some of them without a sync.
    let log_bytes = setup.keys * record_bytes * 3 / 2 + setup.durable_puts * DURABLE_PUT_BYTES;
    let segment_bytes = u64::from(SEGMENT_BYTES);
    (log_bytes.div_ceil(segment_bytes) + SPARE_SEGMENTS) * segment_bytes
}

impl<D> Peer for EmberPeer<'_, '_, D>
where
    D: BlockDevice,
    D::Error: 'static,
{
    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.store.put(key, value)?)
    }

    fn put_batch(&mut self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        let mut batch = self.store.batch()?;
        for (key, value) in pairs {
            batch.put(key, value)?;
        }
        batch.commit()?;
        Ok(())
    }

    fn put_durable(&mut self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.store.put(key, value)?;
        Ok(self.store.sync()?)
    }

    fn get(&mut self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let value = self.store.get(key, &mut self.value)?;
        Ok(value.is_some_and(|value| {
            see(value);
            true
        }))
    }

    fn sync(&mut self) -> Outcome<()> {
        Ok(self.store.sync()?)
    }
}
