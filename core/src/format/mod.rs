//! The bytes on the medium: pure encoding and decoding, no I/O. Described once, in `core/docs/FORMAT.md`.

pub mod bytes;
pub mod checksum;
pub mod footer;
pub mod group;
pub mod hint;
pub mod layout;
pub mod parser;
pub mod record;
pub mod segment;
pub mod superblock;
