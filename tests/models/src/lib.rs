//! The protocols between the threads of `emberkv`, checked step by step.
//!
//! `build.rs` takes them from `hosted/src` as they are, with another `sync`: loom's, which tries
//! every order of steps of small models, and shuttle's, under which the whole of `Db` runs with a
//! schedule drawn at random. Each model also runs on copies of the code with a bug seeded, and must
//! find it. Used by `tests/`.

#![expect(missing_docs, unreachable_pub, dead_code, reason = "code of another crate, in part")]

mod loom_sync;
mod medium;
mod shuttle_sync;
mod sleepers;

/// One copy of the protocols, with the models beside it.
macro_rules! variant {
    ($name:ident { $($protocols:tt)* }) => {
        pub mod $name {
            $($protocols)*
            include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/protocols.rs"));
        }
    };
}

/// One copy of the whole, with the schedules beside it.
macro_rules! whole {
    ($name:ident { $($whole:tt)* }) => {
        pub mod $name {
            $($whole)*
            include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/schedules.rs"));
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/variants.rs"));

/// A mistake in the steps around a protocol, seeded in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// None.
    No,
    /// The ticket is taken after looking.
    Ticket,
    /// A segment is used again before the entries point elsewhere.
    Reuse,
    /// The first record that does not verify counts as damage.
    Patience,
}
