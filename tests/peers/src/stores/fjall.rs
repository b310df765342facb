//! fjall: an LSM tree in Rust. Block cache of the given size, page cache below it, no direct I/O.

use std::time::Duration;

use fjall::config::CompressionPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Work};

/// Longest wait for background work, in steps of 10 ms.
const SETTLE_STEPS_MAX: u32 = 6_000;

/// The family.
pub struct Fjall;

struct FjallPeer {
    database: Database,
    keyspace: Keyspace,
}

impl Family for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn durable_by(&self) -> &'static str {
        "insert + persist(SyncData): fdatasync of the journal"
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let database = Database::builder(&setup.directory).cache_size(setup.cache_bytes).open()?;
        let keyspace = database.keyspace("bench", || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::disabled())
                .index_block_compression_policy(CompressionPolicy::disabled())
        })?;
        let peer = FjallPeer { database, keyspace };
        work(&peer)?;
        peer.sync()
    }
}

impl Peer for FjallPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.keyspace.insert(key, value)?)
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, value) in pairs {
            batch.insert(&self.keyspace, key, *value);
        }
        Ok(batch.commit()?)
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.keyspace.insert(key, value)?;
        self.sync()
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let value = self.keyspace.get(key)?;
        Ok(value.is_some_and(|value| {
            see(&value);
            true
        }))
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        Ok(self.keyspace.remove(key)?)
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn settle(&self) -> Outcome<()> {
        // There is no call that waits; 100 ms without any work is taken for the end.
        let mut quiet = 0;
        for _ in 0..SETTLE_STEPS_MAX {
            std::thread::sleep(Duration::from_millis(10));
            let busy = self.keyspace.sealed_memtable_count() > 0
                || self.database.outstanding_flushes() > 0
                || self.database.active_compactions() > 0;
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet == 10 {
                return Ok(());
            }
        }
        Err("fjall's background work does not end".into())
    }
}
