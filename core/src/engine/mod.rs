//! The engine: a single-threaded state machine over frames and a queue of device operations. It never touches a device.
//!
//! Every call does a bounded amount of work and returns at once. A call that needs the device first answers
//! `Poll::Pending`; the driver then executes what [`Engine::next_op`] gives, reports it to [`Engine::complete`], and makes
//! the same call again. Nothing is lost if it does not: each call leaves the engine whole.

mod batch;
mod check;
mod chunks;
mod core_state;
mod damage;
mod format;
mod iterate;
mod ops;
mod pending;
mod plan;
mod port;
mod prepared;
mod put;
mod read;
mod scrub;
mod snapshots;
mod stats;

pub use check::{CheckStep, CheckSummary};
pub use chunks::{ChunkHead, StreamIn, StreamSource};
pub use core_state::Engine;
pub use iterate::Cursor;
pub use ops::{DeviceOp, Gather, OpId, OpKind};
pub use plan::{Parts, ReadPlan};
pub use prepared::{Prepared, Preparer};
pub use read::Record;
pub use scrub::{Pass, ScrubProgress};

pub(crate) use core_state::{Health, Plan, Setup};
pub(crate) use damage::Damages;
pub(crate) use pending::{MarkState, Purpose};
pub(crate) use port::{Port, PortLimits};
pub(crate) use scrub::Scrub;

/// Unwraps a ready poll or returns `Ok(Poll::Pending)`.
macro_rules! ready {
    ($poll:expr) => {
        match $poll {
            core::task::Poll::Ready(value) => value,
            core::task::Poll::Pending => return Ok(core::task::Poll::Pending),
        }
    };
}
pub(crate) use ready;
