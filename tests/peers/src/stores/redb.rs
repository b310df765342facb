//! redb: a copy-on-write B-tree in Rust, with a cache of its own above the page cache.
//!
//! Each put is a transaction, as is a batch. Without sync its durability is `None`, and a sync is an
//! empty commit with `Immediate`, as redb's documentation advises.

use redb::{Database, Durability, ReadableDatabase, Table, TableDefinition};

use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Work};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bench");

/// The family.
pub struct Redb;

struct RedbPeer {
    database: Database,
}

impl Family for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn durable_by(&self) -> &'static str {
        "a commit with Durability::Immediate: fsync"
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let database = Database::builder()
            .set_cache_size(setup.cache_bytes as usize)
            .create(setup.directory.join("store.redb"))?;
        let peer = RedbPeer { database };
        // So that reads find the table.
        peer.change(Durability::Immediate, |_| Ok(()))?;
        work(&peer)?;
        peer.sync()
    }
}

type BytesTable<'a> = Table<'a, &'static [u8], &'static [u8]>;

impl RedbPeer {
    fn change(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut BytesTable<'_>) -> Result<(), redb::StorageError>,
    ) -> Outcome<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        change(&mut transaction.open_table(TABLE)?)?;
        Ok(transaction.commit()?)
    }
}

impl Peer for RedbPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.change(Durability::None, |table| table.insert(key.as_slice(), value).map(drop))
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        self.change(Durability::None, |table| {
            pairs.iter().try_for_each(|(key, value)| table.insert(key.as_slice(), value).map(drop))
        })
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.change(Durability::Immediate, |table| table.insert(key.as_slice(), value).map(drop))
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let transaction = self.database.begin_read()?;
        let value = transaction.open_table(TABLE)?;
        let value = redb::ReadableTable::get(&value, key.as_slice())?;
        Ok(value.is_some_and(|value| {
            see(value.value());
            true
        }))
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.change(Durability::None, |table| table.remove(key.as_slice()).map(drop))
    }

    fn sync(&self) -> Outcome<()> {
        self.change(Durability::Immediate, |_| Ok(()))
    }
}
