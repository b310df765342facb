//! What a store must offer to be measured: a family opens stores, a peer is one open store.
//!
//! A store is lent to the work inside [`Family::session`] instead of being returned, because
//! EmberKV's blocking store borrows its arena from the caller: open, work and clean close are one
//! call, and nothing is leaked. Stores that threads may share lend a [`Sync`] view of themselves.

use std::error::Error;
use std::path::PathBuf;

use crate::data::Key;

/// A result whose error is only ever shown to the user.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What to do with an open store.
pub type Work<'a> = dyn FnMut(&dyn Peer) -> Outcome<()> + 'a;

/// A view of an open store that threads share.
pub type Shared = dyn Peer + Sync;

/// What room a store needs; the others find theirs on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Each key is put about once: room for all puts, nothing has to be merged.
    Log,
    /// Keys are overwritten or deleted over and over: room for what is live, and what the store
    /// wants on top.
    Live,
}

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
    /// How the keys are put.
    #[cfg_attr(
        not(feature = "ember"),
        expect(dead_code, reason = "only EmberKV sizes its file beforehand")
    )]
    pub space: Space,
}

/// A kind of store.
pub trait Family: Sync {
    /// Its column in the tables, and its name on the command line.
    fn name(&self) -> &'static str;

    /// How a durable put is asked for, in the store's own words.
    fn durable_by(&self) -> &'static str;

    /// Whether it is EmberKV, and not one of its peers.
    fn is_ours(&self) -> bool {
        false
    }

    /// Whether that makes the device write its own cache out. One that does not is shown, but is no
    /// measure for those that do.
    fn flushes_the_device(&self) -> bool {
        true
    }

    /// Whether [`Peer::shared`] lends a view.
    fn is_shared(&self) -> bool {
        true
    }

    /// Whether [`Peer::get_many`] is there.
    fn gets_many(&self) -> bool {
        false
    }

    /// Opens the store of `setup` (creates it in an empty directory), does `work` and closes it
    /// cleanly.
    ///
    /// # Errors
    /// The store's own errors and those of `work`; after an error the directory is of no
    /// further use.
    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()>;
}

/// An open store.
pub trait Peer {
    /// The view for other threads; `None` from a store for one thread.
    fn shared(&self) -> Option<&Shared>;

    /// Puts without waiting for the medium.
    ///
    /// # Errors
    /// The store's own.
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()>;

    /// Puts all pairs at once, without waiting for the medium: atomically, where the store has
    /// batches.
    ///
    /// # Errors
    /// The store's own.
    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()>;

    /// Puts, and returns when the value survives a power cut.
    ///
    /// # Errors
    /// The store's own.
    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()>;

    /// Shows the value to `see`, in whatever way costs this store least; answers whether there is
    /// one.
    ///
    /// # Errors
    /// The store's own.
    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool>;

    /// Shows each value that is there with the index of its key, in one call of the store; only
    /// called where [`Family::gets_many`].
    ///
    /// # Errors
    /// The store's own.
    fn get_many(&self, _: &[Key], _: &mut dyn FnMut(usize, &[u8])) -> Outcome<()> {
        Err("this store has no call for many keys".into())
    }

    /// Deletes, without waiting for the medium.
    ///
    /// # Errors
    /// The store's own.
    fn delete(&self, key: &Key) -> Outcome<()>;

    /// Returns when everything put before survives a power cut.
    ///
    /// # Errors
    /// The store's own.
    fn sync(&self) -> Outcome<()>;

    /// Waits until background work that a fill left behind is done, so that gets measure gets.
    ///
    /// # Errors
    /// The store's own.
    fn settle(&self) -> Outcome<()> {
        Ok(())
    }
}
