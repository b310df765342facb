//! Snapshots: taking one, giving it back, and going through all that it sees.

use core::task::Poll;

use super::{AsyncStore, drive, no_device};
use crate::device::AsyncBlockDevice;
use crate::engine::Cursor;
use crate::error::Error;
use crate::snapshot::SnapshotId;
use crate::types::FrameId;

/// Neighbouring frames that hold one key and value at a time; given back whatever ends the call.
struct FoldRun<'s, 'm, D: AsyncBlockDevice> {
    store: &'s mut AsyncStore<'m, D>,
    run: (FrameId, u32),
}

impl<D: AsyncBlockDevice> Drop for FoldRun<'_, '_, D> {
    fn drop(&mut self) {
        self.store.engine.release_record();
        self.store.engine.release_run(self.run);
    }
}

impl<D: AsyncBlockDevice> AsyncStore<'_, D> {
    /// Takes a snapshot of everything that is visible now.
    ///
    /// # Errors
    /// `SnapshotsFull`.
    pub fn snapshot(&mut self) -> Result<SnapshotId, Error<D::Error>> {
        self.engine.snapshot().map_err(no_device)
    }

    /// Gives a snapshot back: constant work now, the rest in small pieces with later writes.
    ///
    /// # Errors
    /// `SnapshotGone` where it was given back before; `SnapshotExpired` where it did not last so long (it is given back now).
    pub fn release(&mut self, snapshot: SnapshotId) -> Result<(), Error<D::Error>> {
        self.engine.release_snapshot(snapshot).map_err(no_device)
    }

    /// Calls `each` with every key and value that a snapshot sees, in no order. They lie in frames of the pool meanwhile, up
    /// to an eighth of it, so nothing is allocated; what is larger is read with [`next_at`](Self::next_at).
    ///
    /// # Errors
    /// As for [`next_at`](Self::next_at); `BufferTooSmall` for a value that the frames do not hold.
    pub async fn fold(
        &mut self,
        snapshot: SnapshotId,
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Error<D::Error>> {
        let run = self.engine.take_fold_run().map_err(no_device)?;
        let fold = FoldRun { store: self, run };
        let store = &mut *fold.store;
        let mut cursor = Cursor::default();
        loop {
            let found = store.engine.next_entry_at(snapshot, cursor).map_err(no_device)?;
            let Some((behind, entry)) = found else { return Ok(()) };
            let record = drive!(store, store.engine.poll_record(&entry));
            let key_bytes = record.key_bytes();
            let mut end = store.engine.record_to_run(run, &record).map_err(no_device)?;
            let value = store.value_cursor(entry, u64::from(record.value_bytes())).await?;
            if let Some(head) = value.head() {
                let (mut digest, bytes) = (0, head.bytes);
                end = store.engine.check_run(run, key_bytes, bytes).map_err(no_device)?;
                let mut at = key_bytes;
                for index in 0..head.count {
                    let chunk = store.engine.chunk_entry(&entry, &head, index);
                    let chunk = chunk.map_err(no_device)?;
                    let record = drive!(store, store.engine.poll_record(&chunk));
                    let filled = store.engine.value_to_run(run, at, end, &record);
                    let Some(filled) = filled else { return Err(store.damaged(&entry)) };
                    digest = store.engine.run_digest(run, digest, (at, filled));
                    at = filled;
                }
                if at != end || digest != head.digest {
                    return Err(store.damaged(&entry));
                }
            }
            store.engine.release_record();
            let (key, value) =
                store.engine.run_bytes(run)[..end as usize].split_at(key_bytes as usize);
            each(key, value);
            cursor = behind;
        }
    }
}
