//! What a store asked of its device, counted beside the engine.

use emberkv_core::Durability;

use crate::sync::{AtomicU64, Ordering};

/// Device calls since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceCounts {
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes, durable ones among them.
    pub writes: u64,
    /// Writes that were durable on return.
    pub durable_writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Flushes.
    pub flushes: u64,
}

/// The counters. Each is exact; together they are of no one moment.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    durable_writes: AtomicU64,
    written_bytes: AtomicU64,
    flushes: AtomicU64,
}

impl Counts {
    pub(crate) fn read(&self, bytes: u64) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, bytes: u64, how: Durability) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        if how == Durability::Durable {
            self.durable_writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> DeviceCounts {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DeviceCounts {
            reads: value(&self.reads),
            read_bytes: value(&self.read_bytes),
            writes: value(&self.writes),
            durable_writes: value(&self.durable_writes),
            written_bytes: value(&self.written_bytes),
            flushes: value(&self.flushes),
        }
    }
}
