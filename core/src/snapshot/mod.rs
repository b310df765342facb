//! Snapshots and the old versions that they see.
//!
//! Reading order: `set` (which sequences are being read, in order), `versions` (the table of what
//! newer records superseded and a snapshot still needs), `entry` (48 bytes of one version), `hooks`
//! (which version hangs on which snapshot, so that a release finds its versions without a search).

mod entry;
mod hooks;
mod set;
mod tally;
#[cfg(test)]
mod tests;
mod versions;

pub use entry::{Version, VersionSlot};
pub use hooks::{Hook, hooks_for};
pub use set::{SnapshotGone, SnapshotId, SnapshotSet, SnapshotSlot, SnapshotsFull};
pub use versions::{Superseded, VersionCursor, Versions, VersionsFull, buckets_for};
