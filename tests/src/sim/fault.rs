//! What is wrong with a simulated device: scars of earlier crashes, planned errors, and the counts they go by.

use std::ops::Range;

use emberkv_core::DeviceErrorKind;

/// Damage that stays on a medium after a crash until the place is written or erased again.
#[derive(Clone, Debug, Default)]
pub struct Scars {
    /// Reads answer `Uncorrectable`.
    pub unreadable: Vec<Range<u32>>,
    /// Looks erased, every read differs.
    pub unstable: Vec<Range<u32>>,
    /// Reads well now; half-charged bits may read as erased in the next power session.
    pub weak: Vec<Range<u32>>,
}

impl Scars {
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.unreadable.clone_from(&other.unreadable);
        self.unstable.clone_from(&other.unstable);
        self.weak.clone_from(&other.weak);
    }

    pub(super) fn clear(&mut self) {
        self.unreadable.clear();
        self.unstable.clear();
        self.weak.clear();
    }
}

/// The operations that a fault can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Reads.
    Read,
    /// Writes and erases.
    Write,
    /// Flushes.
    Flush,
}

/// One planned device error.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which operations.
    pub kind: FaultKind,
    /// The index among operations of this kind, from 0.
    pub at: u32,
    /// Every one from there on fails, not only this one.
    pub sticky: bool,
    /// The error.
    pub error: DeviceErrorKind,
}

/// How often the device was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads.
    pub reads: u32,
    /// Writes and erases.
    pub writes: u32,
    /// Flushes.
    pub flushes: u32,
}
