//! Fuzz targets. Each is a function of some bytes that panics if an invariant is broken: no panic of the engine, no read
//! without end, typed errors only, and no value that was never put.
//!
//! cargo-fuzz drives them through libFuzzer; `runner` replays the corpus and mutates it, on a stable toolchain.

pub mod base;
pub mod footer;
pub mod image;
pub mod meter;
pub mod mutate;
pub mod ops;
pub mod record;
pub mod superblock;
pub mod tape;

/// A target: its name and its entry.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("record", record::run),
    ("superblock", superblock::run),
    ("footer", footer::run),
    ("image", image::run),
    ("ops", ops::run),
];
