//! candystore: a hash index in a mapped file over append-only data files; the store nearest to
//! EmberKV.
//!
//! It has no cache of its own: everything else in RAM is its page cache, so the cache size does not
//! bound it. It has no batches either. Told the number of keys, its index does not have to grow
//! during a fill.
//!
//! By default it makes a checkpoint behind every 128 KiB put, which nobody asked for in a fill with
//! one sync at its end, and which costs it much of its speed there. So it runs twice: as it comes,
//! and with checkpoints by time only (its default of 5 s) and on demand. What `flush` promises is
//! the same in both.

use candystore::{CandyStore, Config};

use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Work};

/// When it makes checkpoints on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoints {
    ByBytesAndTime,
    ByTime,
}

/// The family.
pub struct Candy {
    checkpoints: Checkpoints,
}

impl Candy {
    /// As it comes.
    pub const DEFAULTS: Self = Self { checkpoints: Checkpoints::ByBytesAndTime };
    /// Without checkpoints by bytes.
    pub const LAZY: Self = Self { checkpoints: Checkpoints::ByTime };
}

struct CandyPeer {
    store: CandyStore,
}

impl Family for Candy {
    fn name(&self) -> &'static str {
        match self.checkpoints {
            Checkpoints::ByBytesAndTime => "candystore",
            Checkpoints::ByTime => "candystore-lazy",
        }
    }

    fn durable_by(&self) -> &'static str {
        "set + flush (msync and fsync of index and data files); there is no synced put"
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let mut config = Config { initial_capacity: setup.keys as usize, ..Config::default() };
        if self.checkpoints == Checkpoints::ByTime {
            config.checkpoint_delta_bytes = None;
        }
        let peer = CandyPeer { store: CandyStore::open(&setup.directory, config)? };
        work(&peer)?;
        peer.sync()
    }
}

impl Peer for CandyPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.store.set(key, value)?;
        Ok(())
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        for (key, value) in pairs {
            self.store.set(key, value)?;
        }
        Ok(())
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.store.set(key, value)?;
        self.sync()
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let value = self.store.get(key)?;
        Ok(value.is_some_and(|value| {
            see(&value);
            true
        }))
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.store.remove(key)?;
        Ok(())
    }

    fn sync(&self) -> Outcome<()> {
        self.store.flush()?;
        Ok(())
    }
}
