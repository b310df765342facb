//! sled 0.34: a log-structured tree in Rust, with a cache of its own above the page cache.
//!
//! Its `flush` hands the log to the kernel and waits for the writes, but does not ask the device to
//! write its own cache out: its durable figures do not mean what those of the others mean. Its timer
//! that flushes every 500 ms stays on, as sled comes; its mode is the one for throughput, at the price
//! of space.

use sled::{Batch, Db, Mode};

use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Work};

/// The family.
pub struct Sled;

struct SledPeer {
    database: Db,
}

impl Family for Sled {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn durable_by(&self) -> &'static str {
        "insert + flush: DOES NOT FLUSH THE DEVICE, not durable against power cuts"
    }

    fn flushes_the_device(&self) -> bool {
        false
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let database = sled::Config::default()
            .path(&setup.directory)
            .cache_capacity(setup.cache_bytes)
            .mode(Mode::HighThroughput)
            .use_compression(false)
            .open()?;
        let peer = SledPeer { database };
        work(&peer)?;
        peer.sync()
    }
}

impl Peer for SledPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.database.insert(key, value)?;
        Ok(())
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        let mut batch = Batch::default();
        for (key, value) in pairs {
            batch.insert(key, *value);
        }
        Ok(self.database.apply_batch(batch)?)
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.put(key, value)?;
        self.sync()
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let value = self.database.get(key)?;
        Ok(value.is_some_and(|value| {
            see(&value);
            true
        }))
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.database.remove(key)?;
        Ok(())
    }

    fn sync(&self) -> Outcome<()> {
        self.database.flush()?;
        Ok(())
    }
}
