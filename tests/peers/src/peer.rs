//! What a store must offer to be measured: a family opens stores, a peer is one open store.
//!
//! A store is lent to the work inside [`Family::session`] instead of being returned, because
//! EmberKV's store borrows its arena from the caller: open, work and clean close are one call, and
//! nothing is leaked.

use std::error::Error;
use std::path::PathBuf;

use crate::data::Key;

/// A result whose error is only ever shown to the user.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// What to do with an open store.
pub type Work<'a> = dyn FnMut(&mut dyn Peer) -> Outcome<()> + 'a;

/// One store in one directory, and how large it will get.
#[derive(Clone, Debug)]
pub struct Setup {
    /// An existing directory that belongs to this store alone.
    pub directory: PathBuf,
    /// Bytes of the store's own cache.
    pub cache_bytes: u64,
    /// Keys that the store will hold. Every store that can be told so is told.
    pub keys: u64,
    /// Bytes of each value.
    #[cfg_attr(
        not(feature = "ember"),
        expect(dead_code, reason = "only EmberKV sizes its file beforehand")
    )]
    pub value_bytes: usize,
    /// Puts with a sync of their own, over all keys.
    pub durable_puts: u64,
}

/// A kind of store.
pub trait Family {
    /// Its column in the tables, and its name on the command line.
    fn name(&self) -> &'static str;

    /// How a durable put is asked for, in the store's own words.
    fn durable_by(&self) -> &'static str;

    /// Opens the store of `setup` (creates it in an empty directory), does `work` and closes it
    /// cleanly.
    ///
    /// # Errors The store's own errors and those of `work`; after an error the directory is of no
    /// further use.
    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()>;
}

/// An open store, used by one thread.
pub trait Peer {
    /// Puts without waiting for the medium.
    ///
    /// # Errors
    /// The store's own.
    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome<()>;

    /// Puts all pairs at once, without waiting for the medium: atomically, where the store has
    /// batches.
    ///
    /// # Errors
    /// The store's own.
    fn put_batch(&mut self, pairs: &[(Key, &[u8])]) -> Outcome<()>;

    /// Puts, and returns when the value survives a power cut.
    ///
    /// # Errors
    /// The store's own.
    fn put_durable(&mut self, key: &Key, value: &[u8]) -> Outcome<()>;

    /// Shows the value to `see`, in whatever way costs this store least; answers whether there is
    /// one.
    ///
    /// # Errors
    /// The store's own.
    fn get(&mut self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool>;

    /// Returns when everything put before survives a power cut.
    ///
    /// # Errors
    /// The store's own.
    fn sync(&mut self) -> Outcome<()>;

    /// Waits until background work that a fill left behind is done, so that gets measure gets.
    ///
    /// # Errors
    /// The store's own.
    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }
}
