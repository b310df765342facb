//! The keydir: the table in memory that knows where the newest record of every key is.
//!
//! Reading order: `slot` (24 bytes of one entry), `shape` (how many slots, and why that is enough),
//! `shard` (the ordered linear probing), `table` and `room` (shards behind one interface), `walk`
//! (iteration and sweeps), `hash`.

mod hash;
mod room;
mod shape;
mod shard;
mod slot;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub use hash::{FingerprintHasher, fingerprint};
pub use shape::{Growth, shards_for, slots_for};
pub use slot::{Entry, RECORD_BYTES_MAX, Slot};
pub use table::{Keydir, KeydirFull, Outcome, ShardMeta};
pub use walk::IterPosition;
