//! EmberKV itself as the simulator's engine.

use embedded_io::Read as _;
use emberkv_core::{
    Access, BlockDevice as _, Config, Cursor, Error, Hints, SnapshotId, SnapshotPressure, Store,
    required_bytes,
};
use emberkv_file::host_checksums;

use super::device::SimDevice;
use super::engine::{BatchEnd, Change, Engine, Kv, KvStats, Opening, Pair, Source, Space};
use super::profile::Setup;
use crate::unallocated::{aside, unallocated};

/// The engine.
#[derive(Debug)]
pub enum Ember {}

/// An open store.
pub struct EmberStore<'m>(Store<'m, &'m mut SimDevice>, Shape);

/// What the oracles need to know of it.
#[derive(Clone, Copy)]
struct Shape {
    versions_max: u32,
    may_expire: bool,
}

impl Shape {
    fn of(setup: &Setup) -> Self {
        let may_expire = pressure(setup) == SnapshotPressure::ExpireOldest;
        Self { versions_max: versions_max(setup), may_expire }
    }
}

/// Versions that a store of this setup keeps: with eight keys and three snapshots 24 are enough, so the others run full.
const fn versions_max(setup: &Setup) -> u32 {
    if setup.segments == 8 { 4 } else { 64 }
}

/// Where they run full: half of them let snapshots expire.
const fn pressure(setup: &Setup) -> SnapshotPressure {
    if setup.hints { SnapshotPressure::Refuse } else { SnapshotPressure::ExpireOldest }
}

/// The configuration of a setup.
#[must_use]
pub fn config(setup: &Setup) -> Config {
    #[cfg_attr(
        not(feature = "canaries"),
        expect(unused_mut, reason = "set only in builds with seeded bugs")
    )]
    let mut config = Config {
        segment_bytes: setup.segment_bytes,
        seed: [0x5a; 32],
        page_bytes: setup.page_bytes,
        frames: setup.frames,
        keys_max: 512,
        key_bytes_max: 32,
        hints: if setup.hints { Hints::Write } else { Hints::Omit },
        access: Access::ReadWrite,
        snapshots_max: 3,
        versions_max: versions_max(setup),
        snapshot_pressure: pressure(setup),
        checksums: host_checksums(),
        ..Config::default()
    };
    #[cfg(feature = "canaries")]
    {
        config.canary = setup.bug.and_then(emberkv_core::canary::Canary::from_name);
    }
    config
}

impl Engine for Ember {
    const NAME: &'static str = "ember";
    type Store<'m> = EmberStore<'m>;

    fn arena_bytes(setup: &Setup) -> usize {
        required_bytes(&config(setup), &setup.geometry())
    }

    fn format<'m>(
        device: &'m mut SimDevice,
        arena: &'m mut [u8],
        setup: &Setup,
    ) -> Result<EmberStore<'m>, Error> {
        let store = unallocated(|| Store::format(device, arena, &config(setup)))?;
        Ok(EmberStore(store, Shape::of(setup)))
    }

    fn open<'m>(
        device: &'m mut SimDevice,
        arena: &'m mut [u8],
        setup: &Setup,
        access: Opening,
    ) -> Result<EmberStore<'m>, Error> {
        let mut config = config(setup);
        if access == Opening::ReadOnly {
            config.access = Access::ReadOnly;
        }
        let store = unallocated(|| Store::open(device, arena, &config))?;
        Ok(EmberStore(store, Shape::of(setup)))
    }
}

impl Kv for EmberStore<'_> {
    type Cursor = Cursor;

    fn device(&mut self) -> &mut SimDevice {
        self.0.device_mut()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        unallocated(|| self.0.put(key, value))
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool, Error> {
        unallocated(|| self.0.delete(key))
    }

    fn get<'b>(&mut self, key: &[u8], buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, Error> {
        unallocated(|| self.0.get(key, buffer))
    }

    fn get_streamed(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        unallocated(|| {
            let Some(mut reader) = self.0.get_stream(key)? else { return Ok(None) };
            let bytes = reader.bytes() as usize;
            let mut done = 0;
            while done < bytes {
                let piece = (bytes - done).min(97);
                let count =
                    reader.read(&mut buffer[done..done + piece]).map_err(|error| error.0)?;
                if count == 0 {
                    return Err(Error::Stream);
                }
                done += count;
            }
            Ok(Some(bytes))
        })
    }

    fn value_len(&mut self, key: &[u8]) -> Result<Option<u64>, Error> {
        unallocated(|| self.0.value_len(key))
    }

    fn contains(&mut self, key: &[u8]) -> Result<bool, Error> {
        unallocated(|| self.0.contains(key))
    }

    fn batch(&mut self, changes: &[Change<'_>], end: BatchEnd) -> Result<(), Error> {
        unallocated(|| {
            let mut batch = self.0.batch()?;
            for change in changes {
                match change {
                    Change::Put(key, value) => batch.put(key, value)?,
                    Change::Delete(key) => batch.delete(key)?,
                }
            }
            if end == BatchEnd::Commit {
                batch.commit()?;
            }
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<(), Error> {
        unallocated(|| self.0.sync())
    }

    fn next<'b>(
        &mut self,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<Pair<'b>>, Error> {
        unallocated(|| self.0.next(cursor, buffer))
    }

    fn put_stream(&mut self, key: &[u8], bytes: u64, source: &mut Source<'_>) -> Result<(), Error> {
        unallocated(|| self.0.put_stream(key, bytes, source))
    }

    fn check(&mut self) -> Result<Option<String>, Error> {
        let mut first = None;
        let summary = unallocated(|| {
            self.0.check(|place| {
                aside(|| {
                    first.get_or_insert_with(|| place.to_string());
                });
            })
        })?;
        if summary.damages > 0 && first.is_none() {
            return Ok(Some(format!("{} damages that were not reported", summary.damages)));
        }
        Ok(first)
    }

    fn stats(&self) -> KvStats {
        let stats = self.0.stats();
        KvStats { keys: stats.keys, seq: stats.seq.0 }
    }

    fn merge(&mut self, budget: u64) -> Result<bool, Error> {
        unallocated(|| self.0.merge_step(budget))
    }

    fn snapshot(&mut self) -> Result<SnapshotId, Error> {
        unallocated(|| self.0.snapshot())
    }

    fn get_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        key: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error> {
        unallocated(|| self.0.get_at(snapshot, key, buffer))
    }

    fn next_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<Pair<'b>>, Error> {
        unallocated(|| self.0.next_at(snapshot, cursor, buffer))
    }

    fn fold(
        &mut self,
        snapshot: SnapshotId,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        unallocated(|| self.0.fold(snapshot, |key, value| aside(|| each(key, value))))
    }

    fn release(&mut self, snapshot: SnapshotId) -> Result<(), Error> {
        unallocated(|| self.0.release(snapshot))
    }

    fn space(&self) -> Option<Space> {
        let stats = self.0.stats();
        let records = stats.entries + u64::from(stats.versions);
        Some(Space {
            segments: stats.segments,
            used: stats.segments_sealed + 1,
            free: stats.segments_free,
            entries: stats.entries,
            live_cost: stats.live_cost,
            live_cost_max: stats.live_bytes_max,
            record_bytes_max: stats.record_bytes_max,
            announced: stats.segments_announced,
            freed: stats.segments_merged,
            tombstones_retired: stats.tombstones_retired,
            tombstones_copied: stats.tombstones_copied,
            swept: stats.segments_swept,
            passed_over: stats.opened_past_announced,
            damaged: stats.segments_damaged,
            debt: self.0.merge_debt(),
            snapshots: stats.snapshots,
            versions: stats.versions,
            versions_max: self.1.versions_max,
            may_expire: self.1.may_expire,
            short: if self.0.device().geometry().commit_unit() <= 16 { 6 } else { 0 },
            extra: (stats.live_cost - stats.live_bytes).checked_div(records).unwrap_or(0) as u32,
        })
    }

    fn close(self) -> Result<(), Error> {
        let device = unallocated(|| self.0.close())?;
        debug_assert!(device.geometry().capacity > 0);
        Ok(())
    }
}
