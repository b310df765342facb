//! Iteration: in the order of the keydir, which is that of the keyed hash. A cursor names a place, not an entry, so writes
//! may come between two steps: every key that is there throughout is met exactly once.

use super::core_state::Engine;
use crate::error::Error;
use crate::keydir::{Entry, IterPosition};
use crate::types::EntryKind;

/// A place in the iteration; `Cursor::default()` is its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    pub(crate) after: Option<IterPosition>,
}

impl Engine<'_> {
    /// The next key that has a value, and the cursor behind it.
    ///
    /// # Errors
    /// `Poisoned` where its newest entry may not survive a reopening; `Corrupted` at the end, where other keys are in doubt.
    pub fn next_entry(&self, cursor: Cursor) -> Result<Option<(Cursor, Entry)>, Error> {
        let mut after = cursor.after;
        while let Some((position, entry)) = self.keydir.next_after(after) {
            after = Some(position);
            let certain = self.check_certain(Some(&entry)).is_ok();
            if certain && matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead) {
                self.check_readable(&entry)?;
                return Ok(Some((Cursor { after }, entry)));
            }
        }
        // Where something is in doubt, there may be more.
        self.check_certain(None)?;
        Ok(None)
    }
}
