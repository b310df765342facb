//! A directory for each test, small stores, and a device that fails when told to.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use emberkv::{Builder, Db};
use emberkv_core::{BlockDevice, Caps, Durability, Geometry};
use emberkv_file::{FileDevice, FileError, Operation, Options};
use tempfile::TempDir;

/// A directory and the name of a store in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data.ember");
    (directory, path)
}

/// A small store: 16 MiB, so that merges happen soon, and a pool of 1 MiB.
pub(crate) fn small() -> Builder {
    Db::builder().capacity(16 << 20).max_capacity(16 << 20).cache_bytes(2 << 20).max_keys(1 << 17)
}

/// Bytes that name a key and a count, of any length.
pub(crate) fn pattern(key: u32, count: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length.max(8));
    bytes.extend_from_slice(&key.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    let mut state = u64::from(key) << 32 | u64::from(count);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.push((state >> 56) as u8);
    }
    bytes
}

/// The count in a pattern, if it is one of this key, whole.
pub(crate) fn count_of(key: u32, bytes: &[u8]) -> u32 {
    let count = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
    assert_eq!(bytes, pattern(key, count, bytes.len()), "a value is what somebody put");
    count
}

/// What a [`Flaky`] device is told.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    pub(crate) fail_writes: AtomicBool,
    pub(crate) fail_flushes: AtomicBool,
    pub(crate) fail_reads: AtomicBool,
    pub(crate) panic_on_write: AtomicBool,
    pub(crate) slow_writes: AtomicBool,
    /// To be set before the store is made: as a partition, which has flushes only.
    pub(crate) flushes_only: AtomicBool,
    pub(crate) durable_writes: AtomicU64,
    pub(crate) flushes: AtomicU64,
}

/// A file whose operations fail when a test says so.
pub(crate) struct Flaky {
    file: FileDevice,
    switches: Arc<Switches>,
}

impl Flaky {
    pub(crate) fn create(path: &std::path::Path) -> (Self, Arc<Switches>) {
        let options = Options { capacity: 16 << 20, ..Options::default() };
        let file = FileDevice::create(path, &options).expect("a new file");
        let switches = Arc::new(Switches::default());
        (Self { file, switches: Arc::clone(&switches) }, switches)
    }

    fn check(&self, switch: &AtomicBool, operation: Operation) -> Result<(), FileError> {
        if !switch.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(FileError::new(operation, Arc::from(self.file.path()), rustix::io::Errno::IO))
    }
}

impl BlockDevice for &Flaky {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        BlockDevice::geometry(&&self.file)
    }
    fn caps(&self) -> Caps {
        let durable_write = !self.switches.flushes_only.load(Ordering::SeqCst);
        Caps { durable_write, ..BlockDevice::caps(&&self.file) }
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.check(&self.switches.fail_reads, Operation::Read)?;
        BlockDevice::read(&mut &self.file, address, buffer)
    }
    fn write(&mut self, address: u64, slices: &[&[u8]], how: Durability) -> Result<(), FileError> {
        self.check(&self.switches.fail_writes, Operation::Write)?;
        assert!(!self.switches.panic_on_write.load(Ordering::SeqCst), "told to panic");
        if self.switches.slow_writes.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        if how == Durability::Durable {
            self.switches.durable_writes.fetch_add(1, Ordering::SeqCst);
        }
        BlockDevice::write(&mut &self.file, address, slices, how)
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), FileError> {
        BlockDevice::erase(&mut &self.file, range)
    }
    fn flush(&mut self) -> Result<(), FileError> {
        self.check(&self.switches.fail_flushes, Operation::Flush)?;
        self.switches.flushes.fetch_add(1, Ordering::SeqCst);
        BlockDevice::flush(&mut &self.file)
    }
}
