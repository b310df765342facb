//! The device itself: the yardstick. Bare loops on one already written file, without any store.
//!
//! A durable put cannot be faster than one durable 4 KiB overwrite, a cold get not faster than one
//! 4 KiB read. The file is as large as the cold data set, so that caches of the host see the same
//! spread of addresses.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::data::Order;
use crate::measure::{Figure, Meter};
use crate::peer::Outcome;
use crate::threads::{self, Crew};

/// Bytes of one measured transfer.
const PAGE_BYTES: usize = 4096;

/// Bytes of one transfer while the file is written for the first time.
const FILL_BYTES: usize = 1 << 20;

/// How an overwrite reaches the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// The file is open with `O_DSYNC`: the write itself returns when it is durable.
    Dsync,
    /// A `fdatasync` behind every write.
    Fdatasync,
}

/// Memory aligned as `O_DIRECT` asks: a window into a larger vector.
struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl AlignedBuffer {
    fn new(bytes: usize) -> Self {
        let memory = vec![0xe5; bytes + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        Self { memory, start, bytes }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.bytes]
    }
}

/// An already written file on the measured device.
pub struct DeviceFile {
    path: PathBuf,
    pages: u64,
}

impl DeviceFile {
    /// Writes a file of `bytes`, rounded up to whole fill steps, in `directory`.
    ///
    /// # Errors Those of the file system; one without `O_DIRECT` (tmpfs) is refused, choose another
    /// with `TMPDIR`.
    pub fn create(directory: &Path, bytes: u64) -> Outcome<Self> {
        let path = directory.join("device");
        let steps = bytes.div_ceil(FILL_BYTES as u64);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(OFlags::DIRECT.bits() as i32)
            .open(&path)
            .map_err(|error| {
                format!("no O_DIRECT in {}: {error}; set TMPDIR", directory.display())
            })?;
        let mut buffer = AlignedBuffer::new(FILL_BYTES);
        for step in 0..steps {
            file.write_all_at(buffer.bytes(), step * FILL_BYTES as u64)?;
        }
        file.sync_all()?;
        Ok(Self { path, pages: steps * (FILL_BYTES / PAGE_BYTES) as u64 })
    }

    fn open(&self, flags: OFlags) -> Outcome<File> {
        let flags = (OFlags::DIRECT | flags).bits() as i32;
        Ok(OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path)?)
    }

    /// Overwrites one page after the other, each durable before the next: the way of a log.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn overwrite(&self, barrier: Barrier, ops: u64) -> Outcome<Vec<Figure>> {
        let file = self.open(match barrier {
            Barrier::Dsync => OFlags::DSYNC,
            Barrier::Fdatasync => OFlags::empty(),
        })?;
        let mut buffer = AlignedBuffer::new(PAGE_BYTES);
        let mut meter = Meter::start(ops);
        for op in 0..ops {
            file.write_all_at(buffer.bytes(), op % self.pages * PAGE_BYTES as u64)?;
            if barrier == Barrier::Fdatasync {
                file.sync_data()?;
            }
            meter.tick();
        }
        meter.finish(1)
    }

    /// Reads pages at random addresses, from as many threads as the crew has, each with a
    /// descriptor of its own.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read_random(&self, crew: &Crew, seed: u64) -> Outcome<Vec<Figure>> {
        let ran = threads::run_shared(crew, |thread| {
            let file = self.open(OFlags::empty());
            let mut buffer = AlignedBuffer::new(PAGE_BYTES);
            let mut order = Order::new(seed + thread);
            move |_| {
                let file = file.as_ref().map_err(ToString::to_string)?;
                let at = order.below(self.pages) * PAGE_BYTES as u64;
                Ok(file.read_exact_at(buffer.bytes(), at)?)
            }
        })?;
        ran.figures()
    }
}
