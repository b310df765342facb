//! RocksDB, once over the page cache and once with direct I/O: the like-for-like peer of a store
//! with its own buffer pool.
//!
//! A 64 MiB write buffer (its default) comes on top of the cache. Bloom filters of 10 bits per key,
//! as its tuning guide advises; filters and index blocks are held outside of the cache (its
//! default).

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, Options, ReadOptions,
    WaitForCompactOptions, WriteBatch, WriteOptions,
};

use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Work};

/// The column family that everything is in: the one that is always there.
const FAMILY: &str = "default";

/// Where its files are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Io {
    PageCache,
    Direct,
}

/// The family.
pub struct Rocks {
    io: Io,
}

impl Rocks {
    /// Over the page cache.
    pub const BUFFERED: Self = Self { io: Io::PageCache };
    /// Reads, flushes and compactions with `O_DIRECT`; its log always goes through the page cache.
    pub const DIRECT: Self = Self { io: Io::Direct };

    fn options(&self, setup: &Setup) -> Options {
        let cache = Cache::new_lru_cache(setup.cache_bytes as usize);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::None);
        options.set_block_based_table_factory(&table);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        options.increase_parallelism(cores as i32);
        if self.io == Io::Direct {
            options.set_use_direct_reads(true);
            options.set_use_direct_io_for_flush_and_compaction(true);
        }
        options
    }
}

struct RocksPeer {
    database: DB,
    buffered: WriteOptions,
    durable: WriteOptions,
    read: ReadOptions,
}

impl Family for Rocks {
    fn name(&self) -> &'static str {
        match self.io {
            Io::PageCache => "rocksdb",
            Io::Direct => "rocksdb-direct",
        }
    }

    fn durable_by(&self) -> &'static str {
        "WriteOptions::set_sync(true): fdatasync of the log"
    }

    fn gets_many(&self) -> bool {
        true
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let options = self.options(setup);
        // By name, so that there is a handle for the call for many keys.
        let family = ColumnFamilyDescriptor::new(FAMILY, options.clone());
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        let peer = RocksPeer {
            database: DB::open_cf_descriptors(&options, &setup.directory, [family])?,
            buffered: WriteOptions::default(),
            durable,
            read: ReadOptions::default(),
        };
        work(&peer)?;
        peer.sync()
    }
}

impl Peer for RocksPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.database.put_opt(key, value, &self.buffered)?)
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        Ok(self.database.write_opt(batch, &self.buffered)?)
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.database.put_opt(key, value, &self.durable)?)
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let value = self.database.get_pinned_opt(key, &self.read)?;
        Ok(value.is_some_and(|value| {
            see(&value);
            true
        }))
    }

    fn get_many(&self, keys: &[Key], see: &mut dyn FnMut(usize, &[u8])) -> Outcome<()> {
        let cf = self.database.cf_handle(FAMILY).ok_or("no default column family")?;
        let values = self.database.batched_multi_get_cf_opt(cf, keys, false, &self.read);
        for (index, value) in values.into_iter().enumerate() {
            if let Some(value) = value? {
                see(index, &value);
            }
        }
        Ok(())
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        Ok(self.database.delete_opt(key, &self.buffered)?)
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.database.flush_wal(true)?)
    }

    fn settle(&self) -> Outcome<()> {
        Ok(self.database.wait_for_compact(&WaitForCompactOptions::default())?)
    }
}
