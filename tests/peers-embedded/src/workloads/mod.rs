//! What is measured.

pub(crate) mod power;
pub(crate) mod updates;
pub(crate) mod wear;

use crate::nor::Counts;
use crate::store::Family;

/// The chip of the cost tables: 1 MiB.
pub(crate) const BLOCK: usize = 4096;
pub(crate) const BLOCKS: usize = 256;

/// The stores of the cost tables.
pub(crate) type Families = Vec<Box<dyn Family<BLOCK, BLOCKS>>>;

/// Modelled milliseconds.
pub(crate) fn ms(counts: &Counts) -> f64 {
    counts.ns as f64 / 1e6
}
