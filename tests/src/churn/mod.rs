//! A store that is overwritten for ever: the rig of the suite and the benches that measure merging. Nothing crashes here.
//!
//! Reading order: `shape` (a device and a configuration), `rig` (a store with fixed keys that are overwritten, each call
//! metered), `aim` (which key is overwritten next, the adversary's among others), `bound` (what the proof allows a call).

mod aim;
mod bound;
mod rig;
mod shape;

pub use aim::{Aim, Aimer, Zipf};
pub use bound::{Bound, Call};
pub use rig::{Failure, Rig, Sizes, Totals};
pub use shape::Shape;
