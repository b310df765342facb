//! The stores that are compared, one module each.

mod candy;
#[cfg(feature = "ember")]
mod ember;
#[cfg(feature = "ember")]
mod ember_db;
mod fjall;
mod lmdb;
mod redb;
mod rocks;
mod sled;

use crate::peer::Family;

#[cfg(feature = "ember")]
pub use ember::{EMBER, memory_session};

/// Every store, in the order of the columns.
#[must_use]
pub fn all() -> Vec<Box<dyn Family>> {
    vec![
        #[cfg(feature = "ember")]
        Box::new(ember::Ember),
        #[cfg(feature = "ember")]
        Box::new(ember_db::EmberDb),
        Box::new(candy::Candy::DEFAULTS),
        Box::new(candy::Candy::LAZY),
        Box::new(fjall::Fjall),
        Box::new(rocks::Rocks::BUFFERED),
        Box::new(rocks::Rocks::DIRECT),
        Box::new(lmdb::Lmdb),
        Box::new(redb::Redb),
        Box::new(sled::Sled),
    ]
}
