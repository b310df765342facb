//! EmberKV's `Db`: the same engine as [`super::ember`], shared between threads, with the background
//! threads that merge and write.
//!
//! Puts become durable when asked for (`Durability::Buffered`), as everywhere in this comparison.
//! Where keys are put once its file is made in full, as that of the blocking store; where they are
//! overwritten it starts as small as `Db` starts and grows by itself.

use emberkv::{Batch, Builder, Db, Durability};

use super::ember::{SEGMENT_BYTES, live_bytes, log_bytes};
use crate::data::Key;
use crate::peer::{Family, Outcome, Peer, Setup, Shared, Space, Work};

/// How far a store may grow, in multiples of what is live: far enough that it never has to.
const GROWTH_MAX: u64 = 4;

/// The family.
pub struct EmberDb;

struct DbPeer {
    db: Db,
}

fn builder(setup: &Setup) -> Builder {
    let builder = Db::builder().cache_bytes(setup.cache_bytes).durability(Durability::Buffered);
    match setup.space {
        Space::Log => builder.capacity(log_bytes(setup)).segment_bytes(SEGMENT_BYTES),
        Space::Live => builder.max_capacity((GROWTH_MAX * live_bytes(setup)).max(256 << 20)),
    }
}

impl Family for EmberDb {
    fn name(&self) -> &'static str {
        "ember-db"
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn durable_by(&self) -> &'static str {
        "put_durable: one durable O_DIRECT write, shared by the threads that wait"
    }

    fn gets_many(&self) -> bool {
        true
    }

    fn session(&self, setup: &Setup, work: &mut Work<'_>) -> Outcome<()> {
        let db = builder(setup).open(setup.directory.join("store.ember"))?;
        let peer = DbPeer { db };
        work(&peer)?;
        Ok(peer.db.close()?)
    }
}

impl Peer for DbPeer {
    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.db.put(key, value)?)
    }

    fn put_batch(&self, pairs: &[(Key, &[u8])]) -> Outcome<()> {
        let mut batch = Batch::new();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        Ok(self.db.write(&batch)?)
    }

    fn put_durable(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.db.put_durable(key, value)?)
    }

    fn get(&self, key: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let value = self.db.get(key)?;
        Ok(value.is_some_and(|value| {
            see(&value);
            true
        }))
    }

    fn get_many(&self, keys: &[Key], see: &mut dyn FnMut(usize, &[u8])) -> Outcome<()> {
        for (index, value) in self.db.get_many(keys)?.iter().enumerate() {
            if let Some(value) = value {
                see(index, value);
            }
        }
        Ok(())
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.db.delete(key)?;
        Ok(())
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.db.sync()?)
    }
}
