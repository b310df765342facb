//! What a session does between opening and closing: each operation of the tape, with the oracle told before and asked
//! after.

use emberkv_core::Error;

use super::engine::{BatchEnd, Change, Kv, Source};
use super::failure::Problem;
use super::history::{Commit, KEYS};
use super::marks::Mark;
use super::rng::{Rng, digest, mix};
use super::session::{Desk, Weather};
use super::space::{Watch, justify_full, justify_versions_full, merges, settled};
use super::tape::{BATCH_MAX, Churn, Item, Pattern, Size, TapeOp, Then, Value};
use super::verify::{KEY_NAMES, iterate, judge, read_slowly, read_state};

/// An error that says by its contract that nothing happened.
const fn is_definite(error: &Error) -> bool {
    matches!(
        error,
        Error::Full
            | Error::KeydirFull { .. }
            | Error::VersionsFull { .. }
            | Error::BatchTooLarge { .. }
            | Error::ValueTooLarge { .. }
            | Error::KeySize { .. }
            | Error::PoolExhausted
            | Error::Poisoned
            | Error::ReadOnly
            | Error::Exhausted
    )
}

const fn is_want_of_space(error: &Error) -> bool {
    matches!(
        error,
        Error::Full
            | Error::KeydirFull { .. }
            | Error::VersionsFull { .. }
            | Error::BatchTooLarge { .. }
            | Error::ValueTooLarge { .. }
    )
}

pub(super) fn unexpected(what: &str, error: &Error) -> Problem {
    Problem::new("unexpected-error", format!("{what} answered: {error} ({error:?})"))
}

impl Desk<'_> {
    pub(super) fn apply<K: Kv>(&mut self, store: &mut K, op: TapeOp) -> Result<(), Problem> {
        let watch = Watch::begin(store);
        self.deed(store, op)?;
        watch.end(store, self)
    }

    fn deed<K: Kv>(&mut self, store: &mut K, op: TapeOp) -> Result<(), Problem> {
        match op {
            TapeOp::Put(value, then) => {
                self.put(store, value)?;
                self.then(store, then)
            }
            TapeOp::Delete(key, then) => {
                self.delete(store, key as usize)?;
                self.then(store, then)
            }
            TapeOp::Batch(items, count, end) => self.batch(store, &items[..count as usize], end),
            TapeOp::Stream(value) => self.stream(store, value),
            TapeOp::ShortStream(value) => self.short_stream(store, value),
            TapeOp::Sync => self.sync(store),
            TapeOp::Get(key) => self.get(store, key as usize),
            TapeOp::Iterate => self.iterate(store),
            TapeOp::Check => match store.check() {
                Ok(None) => Ok(()),
                Ok(Some(damage)) => {
                    Err(Problem::new("false-alarm", format!("check of a sound medium: {damage}")))
                }
                Err(_) if self.weather == Weather::Faulty => Ok(()),
                Err(error) => Err(unexpected("check", &error)),
            },
            TapeOp::Merge(budget) => self.merge(store, budget),
            TapeOp::Churn(churn) => self.churn(store, churn),
            TapeOp::Shot(shot) => self.shot(store, shot),
            TapeOp::Close | TapeOp::Kill | TapeOp::PowerCut(_) | TapeOp::ReadOnly => Ok(()),
        }
    }

    fn then<K: Kv>(&mut self, store: &mut K, then: Then) -> Result<(), Problem> {
        if then == Then::Sync { self.sync(store) } else { Ok(()) }
    }

    fn put<K: Kv>(&mut self, store: &mut K, put: Value) -> Result<(), Problem> {
        let sum = self.make_value(store, put);
        let value = std::mem::take(self.value);
        let key = put.key as usize;
        let done = self.commit(store, Commit::Put, &[(key, sum)], value.len(), |store| {
            store.put(KEY_NAMES[key], &value)
        });
        *self.value = value;
        done
    }

    fn stream<K: Kv>(&mut self, store: &mut K, put: Value) -> Result<(), Problem> {
        let sum = self.make_value(store, put);
        let value = std::mem::take(self.value);
        let key = put.key as usize;
        let done = self.commit(store, Commit::Stream, &[(key, sum)], value.len(), |store| {
            store.put_stream(KEY_NAMES[key], value.len() as u64, &mut Source::new(&value))
        });
        *self.value = value;
        done
    }

    /// Runs one commit and settles its outcome with the oracle.
    fn commit<K: Kv>(
        &mut self,
        store: &mut K,
        kind: Commit,
        changes: &[(usize, u128)],
        bytes: usize,
        run: impl FnOnce(&mut K) -> Result<(), Error>,
    ) -> Result<(), Problem> {
        self.history.submit(kind, changes);
        store.device().bounds = self.history.bounds();
        let from = store.device().log.ops.len();
        let before = store.space();
        let result = run(store);
        self.stamp(store);
        let Err(error) = result else {
            self.is_full = false;
            return Ok(());
        };
        if error == Error::Full && self.weather == Weather::Fair {
            justify_full(kind, bytes, before)?;
            self.is_full = true;
        }
        if !is_definite(&error) {
            if self.weather == Weather::Fair {
                return Err(unexpected("a commit", &error));
            }
            self.history.doubt();
            return Ok(());
        }
        let gone = self.history.retract();
        self.stamp(store);
        for op in &mut store.device().log.ops[from..] {
            op.upper = op.upper.min(gone - 1);
            op.lower = op.lower.min(gone - 1);
        }
        if matches!(error, Error::VersionsFull { .. }) {
            self.tally.mark(Mark::VersionsFull);
            justify_versions_full(changes.len(), store.space())?;
        }
        self.tally.mark_if(error == Error::Full, Mark::Full);
        self.tally.mark_if(error == Error::Full && before.is_some_and(merges), Mark::NotAdmitted);
        self.tally.mark_if(matches!(error, Error::BatchTooLarge { .. }), Mark::BatchTooLarge);
        if self.weather == Weather::Fair && !is_want_of_space(&error) {
            return Err(unexpected("a commit", &error));
        }
        Ok(())
    }

    fn delete<K: Kv>(&mut self, store: &mut K, key: usize) -> Result<(), Problem> {
        let there = self.history.current().values[key] != 0;
        if !there && self.weather == Weather::Fair {
            // Nothing to delete is nothing to commit.
            return match store.delete(KEY_NAMES[key]) {
                Ok(false) => Ok(()),
                Ok(true) => Err(Problem::new("delete-differs", format!("k{key} was not there"))),
                Err(error) if is_want_of_space(&error) => Ok(()),
                Err(error) => Err(unexpected("delete of a key that is not there", &error)),
            };
        }
        let mut answer = None;
        self.tally.mark_if(self.is_full, Mark::DeleteOnFull);
        self.commit(store, Commit::Delete, &[(key, 0)], 0, |store| {
            answer = Some(store.delete(KEY_NAMES[key])?);
            Ok(())
        })?;
        match answer {
            Some(was) if was != there && self.weather == Weather::Fair => Err(Problem::new(
                "delete-differs",
                format!("delete of k{key} answered {was}, the key was there: {there}"),
            )),
            _ => Ok(()),
        }
    }

    fn batch<K: Kv>(
        &mut self,
        store: &mut K,
        items: &[Item],
        end: BatchEnd,
    ) -> Result<(), Problem> {
        let mut bounds = [(0, 0); BATCH_MAX];
        let mut sums = [(0, 0); BATCH_MAX];
        let mut bytes = std::mem::take(self.value);
        bytes.clear();
        for (index, item) in items.iter().enumerate() {
            let start = bytes.len();
            let mut sum = 0;
            if let Some(size) = item.put {
                let mut rng =
                    Rng::for_place(&[self.history.upper.into(), index as u64, size.into()]);
                bytes.resize(start + size as usize, 0);
                rng.fill(&mut bytes[start..]);
                sum = digest(&bytes[start..]);
                self.history.learn(sum, size.into());
            }
            bounds[index] = (start, bytes.len());
            sums[index] = (item.key as usize, sum);
        }
        let change = |index: usize| {
            let (name, (start, end)) = (KEY_NAMES[items[index].key as usize], bounds[index]);
            if items[index].put.is_some() {
                Change::Put(name, &bytes[start..end])
            } else {
                Change::Delete(name)
            }
        };
        let changes: [Change<'_>; BATCH_MAX] =
            std::array::from_fn(|index| change(index.min(items.len() - 1)));
        let changes = &changes[..items.len()];
        let result = if end == BatchEnd::Commit {
            self.commit(store, Commit::Batch, &sums[..items.len()], bytes.len(), |store| {
                store.batch(changes, BatchEnd::Commit)
            })
        } else {
            self.tally.mark(Mark::BatchAborted);
            match store.batch(changes, BatchEnd::Abort) {
                Err(error) if self.weather == Weather::Fair && !is_want_of_space(&error) => {
                    Err(unexpected("an aborted batch", &error))
                }
                _ => Ok(()),
            }
        };
        *self.value = bytes;
        result
    }

    fn short_stream<K: Kv>(&mut self, store: &mut K, put: Value) -> Result<(), Problem> {
        self.make_value(store, put);
        let value = std::mem::take(self.value);
        let announced = value.len() as u64 + 1 + u64::from(put.style);
        let result =
            store.put_stream(KEY_NAMES[put.key as usize], announced, &mut Source::new(&value));
        *self.value = value;
        self.stamp(store);
        self.tally.mark(Mark::ShortStream);
        match result {
            Ok(()) => Err(Problem::new("short-stream", "a stream that ended early was taken")),
            Err(error)
                if self.weather == Weather::Fair
                    && !is_want_of_space(&error)
                    && error != Error::Stream =>
            {
                Err(unexpected("a stream that ends early", &error))
            }
            Err(_) => Ok(()),
        }
    }

    /// Merges; what the store shows is the same before and after.
    fn merge<K: Kv>(&mut self, store: &mut K, budget: Option<u16>) -> Result<(), Problem> {
        let mut turns = 0;
        let done = loop {
            match store.merge(budget.map_or(u64::MAX, u64::from)) {
                Ok(true) if budget.is_none() && turns < 64 => turns += 1,
                Ok(true) if budget.is_none() => {
                    return Err(Problem::new("endless", "merging does not come to an end"));
                }
                Ok(more) => break !more,
                Err(_) if self.weather == Weather::Faulty => return Ok(()),
                // A full store that is only appended to has no room to begin a session.
                Err(Error::Full) if !store.space().is_some_and(merges) => return Ok(()),
                Err(error) => return Err(unexpected("merge_step", &error)),
            }
        };
        self.stamp(store);
        if self.weather == Weather::Faulty {
            return Ok(());
        }
        let state = read_state(store, self.history, self.buffer)?;
        judge(&state, self.history, (self.history.upper, self.history.upper), "after a merge")?;
        if done { settled(store) } else { Ok(()) }
    }

    /// Many writes of few keys.
    fn churn<K: Kv>(&mut self, store: &mut K, churn: Churn) -> Result<(), Problem> {
        for turn in 0..churn.count {
            let spread = match churn.pattern {
                Pattern::Hot => 0,
                Pattern::Some => turn % 4,
                Pattern::All | Pattern::Deletes => turn,
            };
            let key = (churn.key + spread) % KEYS as u8;
            let size = Size::Medium(churn.size.wrapping_add(turn % 4));
            self.put(store, Value { key, size, style: 0 })?;
            if self.history.alternatives() > 16 {
                return Ok(());
            }
            if churn.pattern == Pattern::Deletes {
                self.delete(store, usize::from(churn.key + turn / 2) % KEYS)?;
            }
            if turn % 8 == 7 {
                self.then(store, churn.then)?;
            }
        }
        Ok(())
    }

    fn sync<K: Kv>(&mut self, store: &mut K) -> Result<(), Problem> {
        match store.sync() {
            Ok(()) => {
                // What an engine writes for itself, without a commit of the user in it, it may take back.
                let news = self.history.lower < self.history.upper;
                self.history.ack();
                self.stamp(store);
                if news {
                    store.device().ack();
                }
                Ok(())
            }
            Err(_) if self.weather == Weather::Faulty => Ok(()),
            Err(error) => Err(unexpected("sync", &error)),
        }
    }

    fn get<K: Kv>(&mut self, store: &mut K, key: usize) -> Result<(), Problem> {
        let value = match store.get(KEY_NAMES[key], self.buffer) {
            Ok(value) => value.map_or(0, digest),
            Err(_) if self.weather == Weather::Faulty => return Ok(()),
            Err(error) => return Err(unexpected("get", &error)),
        };
        let bounds = match self.weather {
            Weather::Fair => (self.history.upper, self.history.upper),
            Weather::Faulty => self.history.bounds(),
        };
        if self.history.may_read(key, value, bounds) {
            return Ok(());
        }
        let mut state = *self.history.current();
        state.set(key, value);
        Err(Problem::new(
            "wrong-value",
            format!("get of k{key} in {}", self.history.explain(&state)),
        ))
    }

    fn iterate<K: Kv>(&mut self, store: &mut K) -> Result<(), Problem> {
        if self.weather == Weather::Faulty {
            return match iterate(store, self.buffer) {
                Err(problem) if problem.class != "read-error" => Err(problem),
                _ => Ok(()),
            };
        }
        let state = read_state(store, self.history, self.buffer)?;
        judge(&state, self.history, (self.history.upper, self.history.upper), "while open")?;
        read_slowly(store, &state, self.buffer)
    }

    /// Makes the bytes of the next value in `self.value`; its digest.
    fn make_value<K: Kv>(&mut self, store: &mut K, Value { size, style, .. }: Value) -> u128 {
        let segment = self.setup.segment_bytes as usize;
        let bytes = match size {
            Size::Small(bytes) => bytes as usize,
            Size::Medium(part) => segment / 8 * part as usize / 256,
            Size::Big(part) => segment * 2 * part as usize / 256,
        };
        self.value.clear();
        let seed = mix(u64::from(self.history.upper) << 8 | u64::from(style));
        match style % 8 {
            4 => self.value.resize(bytes, 0),
            5 => self.value.resize(bytes, 0xff),
            6 => {
                // Bytes of the medium: whole groups of this very store become parts of values.
                let medium = &store.device().bytes;
                let from = seed as usize % (medium.len() - bytes.min(medium.len() - 1));
                self.value.extend_from_slice(&medium[from..medium.len().min(from + bytes)]);
                self.value.resize(bytes, 7);
                self.tally.mark(Mark::MediumInValue);
            }
            _ => {
                self.value.resize(bytes, 0);
                Rng::new(if style % 8 == 7 { 7 } else { seed }).fill(self.value);
            }
        }
        self.tally.mark_if(bytes == 0, Mark::EmptyValue);
        let sum = digest(self.value);
        self.history.learn(sum, bytes as u32);
        sum
    }
}
