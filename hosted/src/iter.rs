//! Iteration over a snapshot: a few entries are planned under the lock at a time, then read in the
//! order in which they lie on the device.

use core::fmt;
use std::collections::VecDeque;

use emberkv_core::Cursor;
use emberkv_core::keydir::Entry;
use emberkv_core::types::Fingerprint;

use crate::error::Error;
use crate::read::{At, Found, Outcome, Planned};
use crate::shared::Shared;
use crate::snapshot::Held;
use crate::sync::Arc;
use crate::value::Value;

/// Entries that are planned at once: the lock is held for some microseconds.
const AHEAD: usize = 32;
/// Bytes of records that are held at once.
const AHEAD_BYTES: usize = 256 << 10;

/// Keys and values of a snapshot, in no order. Ends after the first error.
pub struct Iter {
    held: Arc<Held>,
    cursor: Cursor,
    ready: VecDeque<Result<(Vec<u8>, Value), Error>>,
    ended: bool,
}

struct Step {
    fingerprint: Fingerprint,
    entry: Entry,
    planned: Planned,
}

impl Iter {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self { held, cursor: Cursor::default(), ready: VecDeque::new(), ended: false }
    }

    fn advance(&mut self) -> Result<(), Error> {
        let mut steps = self.plan()?;
        // A record that is in the pool costs nothing in any order.
        steps.sort_by_key(|step| step.entry.location.address);
        for step in steps {
            let pair = self.read(step)?;
            self.ready.extend(pair.map(Ok));
        }
        Ok(())
    }

    fn plan(&mut self) -> Result<Vec<Step>, Error> {
        let shared = self.held.db.shared();
        let (mut steps, mut bytes) = (Vec::with_capacity(AHEAD), 0);
        shared.read(|state| {
            while steps.len() < AHEAD && bytes < AHEAD_BYTES {
                let next = state.engine.next_planned_at(self.held.id, self.cursor);
                let next = next.map_err(|error| state.translate(error))?;
                let Some((behind, entry, fingerprint)) = next else {
                    self.ended = true;
                    break;
                };
                let planned = Planned::new(state, &entry, Vec::new());
                let planned = planned.map_err(|error| state.translate(error))?;
                bytes += planned.bytes.len();
                steps.push(Step { fingerprint, entry, planned });
                self.cursor = behind;
            }
            Ok::<(), Error>(())
        })??;
        Ok(steps)
    }

    fn read(&self, step: Step) -> Result<Option<(Vec<u8>, Value)>, Error> {
        let shared = self.held.db.shared();
        let found = match shared.read_planned(step.planned, None) {
            Outcome::Whole(found) => Some(found),
            // It has moved, or is damaged.
            Outcome::Not(..) => shared.fetch_by(&step.fingerprint, |state| {
                Shared::locate(state, At::Snapshot(self.held.id), &step.fingerprint)
            })?,
        };
        found.map(|found| self.pair(found)).transpose()
    }

    fn pair(&self, found: Found) -> Result<(Vec<u8>, Value), Error> {
        let key = found.bytes[found.parts.key.clone()].to_vec();
        let value = if Shared::is_chunked(found.entry.kind) {
            self.held.db.shared().chunked(&found)?
        } else {
            found.into_value()
        };
        Ok((key, value))
    }
}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Value), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Each turn moves the cursor.
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.advance() {
                self.ended = true;
                self.ready.push_back(Err(error));
            }
        }
    }
}

impl core::iter::FusedIterator for Iter {}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("ended", &self.ended).finish_non_exhaustive()
    }
}
