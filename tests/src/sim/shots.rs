//! Snapshots on the tape: the oracle remembers the state that each one was taken at, and that is what it shows until it is
//! given back, through writes, merges and the reuse of segments. No snapshot outlives its session.

use emberkv_core::{Error, SnapshotId};

use super::deeds::unexpected;
use super::engine::Kv;
use super::failure::Problem;
use super::history::{KEYS, State};
use super::marks::Mark;
use super::rng::digest;
use super::session::{Desk, Weather};
use super::tape::Shot;
use super::verify::KEY_NAMES;

/// A snapshot and what it sees.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    id: SnapshotId,
    state: State,
}

/// What became of a read at a snapshot.
enum Seen<T> {
    Value(T),
    /// It expired, or a device error is in the way.
    Gone,
}

impl Desk<'_> {
    pub(super) fn shot<K: Kv>(&mut self, store: &mut K, shot: Shot) -> Result<(), Problem> {
        let index =
            |byte: u8, held: &[Held]| (!held.is_empty()).then(|| byte as usize % held.len());
        match shot {
            Shot::Take => self.take_snapshot(store),
            Shot::Get { held, key } => match index(held, &self.held) {
                Some(index) => self.read_one_held(store, index, key as usize % KEYS),
                None => Ok(()),
            },
            Shot::Fold(held) => match index(held, &self.held) {
                Some(index) => self.read_held(store, index),
                None => Ok(()),
            },
            Shot::Release(held) => match index(held, &self.held) {
                Some(index) => self.release(store, index),
                None => Ok(()),
            },
        }
    }

    fn take_snapshot<K: Kv>(&mut self, store: &mut K) -> Result<(), Problem> {
        if self.history.alternatives() > 1 {
            // Which of several states it would show nobody knows.
            return Ok(());
        }
        match store.snapshot() {
            Ok(id) => {
                self.held.push(Held { id, state: *self.history.current() });
                self.tally.mark(Mark::Snapshot);
                Ok(())
            }
            Err(Error::SnapshotsFull { capacity }) if self.held.len() >= capacity as usize => {
                self.tally.mark(Mark::SnapshotsFull);
                Ok(())
            }
            Err(_) if self.weather == Weather::Faulty => Ok(()),
            Err(error) => Err(unexpected("snapshot", &error)),
        }
    }

    /// What an error of a read at a snapshot means.
    fn gone<T, K: Kv>(&mut self, store: &K, what: &str, error: &Error) -> Result<Seen<T>, Problem> {
        let may_expire = store.space().is_some_and(|space| space.may_expire);
        // One whose place expired a second time is not told from one that was given back.
        if matches!(error, Error::SnapshotExpired | Error::SnapshotGone) && may_expire {
            self.tally.mark(Mark::Expired);
            return Ok(Seen::Gone);
        }
        if self.weather == Weather::Faulty {
            return Ok(Seen::Gone);
        }
        Err(unexpected(what, error))
    }

    fn read_one_held<K: Kv>(
        &mut self,
        store: &mut K,
        index: usize,
        key: usize,
    ) -> Result<(), Problem> {
        let held = self.held[index];
        let seen = match store.get_at(held.id, KEY_NAMES[key], self.buffer) {
            Ok(value) => Seen::Value(value.map_or(0, digest)),
            Err(error) => self.gone(store, "get_at", &error)?,
        };
        match seen {
            Seen::Value(value) if value != held.state.values[key] => {
                let mut state = held.state;
                state.set(key, value);
                Err(self.changed("get_at", &state, &held.state))
            }
            _ => Ok(()),
        }
    }

    fn changed(&self, what: &str, now: &State, then: &State) -> Problem {
        let (now, then) = (self.history.explain(now), self.history.explain(then));
        Problem::new("snapshot-changed", format!("{what}: {now}, when it was taken: {then}"))
    }

    /// Everything at one snapshot, by folding where the pool has room for that, else by a cursor.
    fn read_held<K: Kv>(&mut self, store: &mut K, index: usize) -> Result<(), Problem> {
        let held = self.held[index];
        let (mut state, mut pairs) = (State::default(), 0);
        let folded = store.fold(held.id, &mut |key, value| {
            pairs += 1;
            if let Some(index) = KEY_NAMES.iter().position(|&name| name == key) {
                state.set(index, digest(value));
            }
        });
        match folded {
            Ok(()) => {}
            Err(Error::PoolExhausted | Error::BufferTooSmall { .. }) => {
                (state, pairs) = match self.read_by_cursor(store, index)? {
                    Seen::Value(seen) => seen,
                    Seen::Gone => return Ok(()),
                };
            }
            Err(error) => return self.gone::<(), K>(store, "fold", &error).map(drop),
        }
        if state != held.state || pairs != state.count() {
            return Err(self.changed(&format!("{pairs} pairs"), &state, &held.state));
        }
        self.tally.mark_if(state != *self.history.current(), Mark::OldRead);
        Ok(())
    }

    fn read_by_cursor<K: Kv>(
        &mut self,
        store: &mut K,
        index: usize,
    ) -> Result<Seen<(State, usize)>, Problem> {
        let (mut state, mut pairs) = (State::default(), 0);
        let mut cursor = K::Cursor::default();
        for _ in 0..=KEYS {
            let pair = match store.next_at(self.held[index].id, &mut cursor, self.buffer) {
                Ok(Some((key, value))) => {
                    KEY_NAMES.iter().position(|&name| name == key).map(|key| (key, digest(value)))
                }
                Ok(None) => return Ok(Seen::Value((state, pairs))),
                Err(error) => return self.gone(store, "next_at", &error),
            };
            pairs += 1;
            if let Some((key, value)) = pair {
                state.set(key, value);
            }
        }
        Err(Problem::new("endless", "iteration at a snapshot does not end"))
    }

    /// All that are held show what they should.
    pub(super) fn read_all_held<K: Kv>(&mut self, store: &mut K) -> Result<(), Problem> {
        // Each turn reads one of a few.
        for index in 0..self.held.len() {
            self.read_held(store, index)?;
        }
        Ok(())
    }

    fn release<K: Kv>(&mut self, store: &mut K, index: usize) -> Result<(), Problem> {
        let id = self.held[index].id;
        if let Err(error) = store.release(id) {
            self.gone::<(), K>(store, "release", &error)?;
        }
        self.held.remove(index);
        match store.get_at(id, KEY_NAMES[0], self.buffer) {
            Err(Error::SnapshotGone) => Ok(()),
            Err(_) if self.weather == Weather::Faulty => Ok(()),
            _ => Err(Problem::new("snapshot", "a snapshot can be read after it was given back")),
        }
    }
}
