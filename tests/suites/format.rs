//! The format: `core/docs/FORMAT.md` against the encoders, encoders against decoders, golden images, costs.

#[path = "format/chunks.rs"]
mod chunks;
#[path = "format/copies.rs"]
mod copies;
#[path = "format/costs.rs"]
mod costs;
#[path = "format/document.rs"]
mod document;
#[path = "format/golden.rs"]
mod golden;
#[path = "format/group.rs"]
mod group;
#[path = "format/numbers.rs"]
mod numbers;
#[path = "format/recipes.rs"]
mod recipes;
#[path = "format/record.rs"]
mod record;
#[path = "format/round_trips.rs"]
mod round_trips;
#[path = "format/samples.rs"]
mod samples;
#[path = "format/segment.rs"]
mod segment;
#[path = "format/superblock.rs"]
mod superblock;
