//! LMDB through heed: a B+tree in a memory map. Its cache is the kernel's page cache alone.
//!
//! Whether commits flush is chosen at the open: with the defaults where the workload puts durably,
//! so that a durable commit is LMDB's own two-step one; with `NO_SYNC` and `force_sync` elsewhere.
//! Each put is a transaction; a batch is one as well.

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, RwTxn};

use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Work};

/// Address space of the map: more than any data set here; the file grows as it is used.
const MAP_BYTES: usize = 32 << 30;

/// Threads that may read at once, the threads of gets and some more.
const READERS: u32 = 256;

/// The family.
pub struct Lmdb;

/// What a commit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    Flush,
    Buffer,
}

struct LmdbPeer {
    env: Env,
    database: Database<Bytes, Bytes>,
    commits: Commits,
}

impl Family for Lmdb {
    fn name(&self) -> &'static str {
        "lmdb"
    }

    fn durable_by(&self) -> &'static str {
        "a commit without NO_SYNC: fdatasync of the pages, then a synced write of the root"
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let commits = if setup.durable_puts > 0 { Commits::Flush } else { Commits::Buffer };
        let env = open(setup, commits)?;
        let mut transaction = env.write_txn()?;
        let database = env.create_database(&mut transaction, None)?;
        transaction.commit()?;
        let peer = LmdbPeer { env, database, commits };
        work(&peer)?;
        peer.sync()?;
        peer.env.prepare_for_closing().wait();
        Ok(())
    }
}

#[expect(unsafe_code, reason = "a memory map of a file cannot be opened in safe Rust")]
fn open(setup: &Setup, commits: Commits) -> Outcome<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(READERS);
    if commits == Commits::Buffer {
        // SAFETY: what NO_SYNC puts at risk is the file after a power cut; every directory here is
        // thrown away.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: the directory belongs to this store alone, nobody else changes the file, and it is
    // opened once at a time.
    Ok(unsafe { options.open(&setup.directory)? })
}

impl LmdbPeer {
    fn change(&self, change: impl FnOnce(&mut RwTxn<'_>) -> heed::Result<()>) -> Outcome<()> {
        let mut transaction = self.env.write_txn()?;
        change(&mut transaction)?;
        Ok(transaction.commit()?)
    }
}

impl Peer for LmdbPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.change(|transaction| self.database.put(transaction, key, value))
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        self.change(|transaction| {
            pairs.iter().try_for_each(|(key, value)| self.database.put(transaction, key, value))
        })
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.put(key, value)?;
        match self.commits {
            Commits::Flush => Ok(()),
            Commits::Buffer => self.sync(),
        }
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let transaction = self.env.read_txn()?;
        let value = self.database.get(&transaction, key)?;
        Ok(value.is_some_and(|value| {
            see(value);
            true
        }))
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.change(|transaction| self.database.delete(transaction, key).map(drop))
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.env.force_sync()?)
    }
}
