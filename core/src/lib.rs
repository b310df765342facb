//! EmberKV's storage engine: a log-structured key-value store over a block device.
//!
//! `no_std`, no allocation, no `unsafe`: all memory is one arena that the caller gives. The engine is a state machine that
//! never touches a device; [`Store`] drives it over a blocking [`BlockDevice`], [`AsyncStore`] over an asynchronous one.
//! `docs/DESIGN.md` beside this crate's sources tells how and why, `docs/FORMAT.md` what the bytes on the medium are.
#![no_std]

#[cfg(test)]
extern crate std;

mod arena;
mod async_store;
pub mod canary;
pub mod engine;
mod log;
mod merge;
mod parts;
pub mod pool;
mod recover;
mod store;

pub mod config;
pub mod conformance;
pub mod device;
pub mod error;
pub mod format;
pub mod keydir;
pub mod memory;
pub mod snapshot;
pub mod stats;
pub mod types;

pub use arena::Arena;
pub use async_store::{AsyncStore, ValueCursor};
pub use config::{
    Access, ArenaContent, Config, Hints, OnDamage, Pacing, ShortRecords, SnapshotPressure,
};
pub use device::{
    AsyncBlockDevice, BlockDevice, Caps, DeviceError, DeviceErrorKind, Durability, Geometry,
    GeometryError, ReadInto,
};
pub use engine::{CheckSummary, Cursor, Pass, ScrubProgress};
pub use error::{Corruption, Damage, Error};
pub use format::checksum::Checksums;
pub use memory::{arena_bytes, required_bytes};
pub use merge::MergeNeed;
pub use snapshot::SnapshotId;
pub use stats::{SegmentStats, Stats};
pub use store::{Batch, Blocking, Store, StreamError, ValueReader};
pub use types::Seq;
