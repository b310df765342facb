//! Which parts of the engine this build has: cargo features, each of which adds one. Hosts have all of them (the default
//! features); firmware takes those that it needs, `docs/FIRMWARE.md` tells what each costs.
//!
//! Each is a constant that a few functions ask first, so that the compiler drops what stands behind it, and the code reads
//! as if everything were there. The medium is the same whatever a build has: what a store needs and a build lacks is told
//! by [`Error::LeftOut`](crate::Error::LeftOut), before anything is written.

/// Checks and scrubs.
pub(crate) const CHECK: bool = cfg!(feature = "check");
/// Values of more than one record.
pub(crate) const CHUNKS: bool = cfg!(feature = "chunks");
/// Hints: a store can always be opened without them, by scanning.
pub(crate) const HINTS: bool = cfg!(feature = "hints");
/// Opens that go on behind damage.
pub(crate) const SALVAGE: bool = cfg!(feature = "salvage");
/// Growing with the device.
pub(crate) const RESIZE: bool = cfg!(feature = "resize");
/// Failed writes are made anew in another segment. Without it a failed write poisons the store: reopen it.
pub(crate) const REHOME: bool = cfg!(feature = "rehome");
/// Snapshots, and versions kept for them.
pub(crate) const SNAPSHOTS: bool = cfg!(feature = "snapshots");

/// Small machines: queues and lists inside the engine are shorter there, so that it takes a quarter of the memory. What a
/// store does is the same; `--cfg emberkv_small` makes a host do it so, for tests.
pub(crate) const SMALL: bool =
    cfg!(any(emberkv_small, target_pointer_width = "16", target_pointer_width = "32"));

/// `small` on small machines, else `large`.
pub(crate) const fn sized(small: usize, large: usize) -> usize {
    if SMALL { small } else { large }
}
