//! What is measured.

pub(crate) mod power;
pub(crate) mod updates;
pub(crate) mod wear;

use crate::nor::Counts;
use crate::rng::Rng;
use crate::stores::Family;

/// The chip of the cost tables: 1 MiB.
pub(crate) const BLOCK: usize = 4096;
pub(crate) const BLOCKS: usize = 256;

/// The stores of the cost tables.
pub(crate) type Families = Vec<Box<dyn Family<BLOCK, BLOCKS>>>;

/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 12;

/// A value that tells its key and version.
pub(crate) fn value(key: u16, version: u32) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let mut rng = Rng::new(u64::from(key) << 32 | u64::from(version));
    value[..8].copy_from_slice(&rng.next().to_le_bytes());
    value[8..].copy_from_slice(&version.to_le_bytes());
    value
}

/// Modelled milliseconds.
pub(crate) fn ms(counts: &Counts) -> f64 {
    counts.ns as f64 / 1e6
}
