//! The format: `core/docs/FORMAT.md` against the encoders, encoders against decoders, golden images, costs.

#[path = "format/costs.rs"]
mod costs;
#[path = "format/document.rs"]
mod document;
#[path = "format/golden.rs"]
mod golden;
#[path = "format/round_trips.rs"]
mod round_trips;
#[path = "format/structures.rs"]
mod structures;
