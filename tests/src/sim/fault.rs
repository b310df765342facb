//! What is wrong with a simulated device: scars of earlier crashes, planned errors, and the counts they go by.

use std::collections::BTreeMap;
use std::ops::Range;

use emberkv_core::DeviceErrorKind;

use super::rules::Rules;

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

/// What an image check must put back besides bytes.
#[derive(Debug, Default)]
pub struct Saved {
    pub(super) rules: Rules,
    pub(super) scars: Scars,
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

/// What a bad block does not do any more. Programs and erases that silently do nothing are for the flash backend to notice,
/// which reads back what it wrote and answers with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worn {
    /// Programs fail.
    Programs,
    /// Erases fail: the block keeps its bytes.
    Erases,
}

/// A range that is worn out, for good.
#[derive(Clone, Debug)]
pub struct BadBlock {
    /// Where.
    pub range: Range<u32>,
    /// What fails.
    pub worn: Worn,
}

impl BadBlock {
    /// Whether it keeps an operation of this kind from being done there.
    #[must_use]
    pub const fn strikes(&self, worn: Worn, offset: u32, bytes: u32) -> bool {
        self.worn as u8 == worn as u8
            && self.range.start < offset + bytes
            && self.range.end > offset
    }
}

/// How often each range was erased, by its first byte.
#[derive(Clone, Debug, Default)]
pub struct Wear(BTreeMap<u32, u32>);

impl Wear {
    pub(super) fn count(&mut self, offset: u32) {
        *self.0.entry(offset).or_default() += 1;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fewest and the most erases of the ranges of `step` bytes from `first` to `end`.
    #[must_use]
    pub fn spread(&self, first: u32, end: u32, step: u32) -> (u32, u32) {
        let counts =
            || (first..end).step_by(step as usize).map(|at| self.0.get(&at).copied().unwrap_or(0));
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }
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
