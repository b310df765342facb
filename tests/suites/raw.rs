//! The raw backend: one owner, nothing foreign opened, nothing overwritten unasked, and a store
//! that lives on a block device as it does in a file.
//!
//! Real block devices are loop devices over files in the build directory; they take root. Where
//! there are none, or a tool is missing, a test prints a line that begins with `SKIPPED`. What is
//! known by its signature is checked on images that are built here, which needs nothing.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "raw/claims.rs"]
mod claims;
#[path = "raw/device.rs"]
mod device;
#[path = "raw/fixtures.rs"]
mod fixtures;
#[path = "raw/mkfs.rs"]
mod mkfs;
#[path = "raw/owners.rs"]
mod owners;
#[path = "raw/probe.rs"]
mod probe;
#[path = "raw/support.rs"]
mod support;
