//! The deterministic crash simulator.
//!
//! Reading order: [`profile`] (media), [`device`] with [`rules`], [`fault`] and [`oplog`], [`fate`] and [`images`] (what a power
//! cut leaves), [`history`] (the oracle), [`tape`] and [`session`] (what is done), [`probe`], [`verify`] and [`space`] (what is
//! checked), [`explore`] (all crashes of a tape), then the campaigns: [`soak`], [`inject`], [`rot`], [`canaries`].

pub mod bench;
pub mod canaries;
mod contract;
pub mod decay;
mod deeds;
pub mod device;
pub mod ember;
pub mod engine;
pub mod exhaust;
pub mod explore;
pub mod failure;
pub mod fate;
pub mod fault;
pub mod history;
pub mod images;
pub mod inject;
mod level;
pub mod marks;
pub mod oplog;
pub mod plan;
pub mod probe;
pub mod profile;
pub mod rng;
pub mod rot;
pub mod rules;
pub mod seen;
pub mod session;
pub mod shots;
pub mod shrink;
pub mod soak;
pub mod space;
pub mod tape;
pub mod timeline;
pub mod toy;
mod toy_format;
pub mod verify;

pub use bench::Bench;
pub use ember::Ember;
pub use explore::{Below, Sim};
pub use failure::{Case, Failure};
pub use toy::Toy;
