//! `get_many`: all keys are planned under one lock, so that the answers are of one moment; what the
//! pool does not have is then read with several reads in flight.

use emberkv_core::keydir::Entry;
use emberkv_core::types::Fingerprint;

use crate::error::Error;
use crate::read::{At, Found, Outcome, Planned};
use crate::shared::Shared;
use crate::sync::{AtomicUsize, Mutex, Ordering, PoisonError, scope};
use crate::value::Value;

/// So many reads are worth a thread of their own.
const READS_PER_THREAD: usize = 4;
/// Most threads that read for one call.
const THREADS_MAX: usize = 16;
/// Times that the keys are planned anew because one was overwritten meanwhile, before a snapshot
/// holds them.
const TRIES: u32 = 2;

/// One key on its way.
struct Wanted<'k> {
    index: usize,
    key: &'k [u8],
    fingerprint: Fingerprint,
    entry: Entry,
}

/// Why all keys are planned anew.
struct Overtaken;

impl Shared {
    /// The values of many keys.
    pub(crate) fn values<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        let prints: Vec<Fingerprint> =
            keys.iter().map(|key| self.preparer.fingerprint(key.as_ref())).collect();
        for _ in 0..TRIES {
            if let Ok(values) = self.try_values(At::Newest, keys, &prints)? {
                return Ok(values);
            }
        }
        let hold = self.hold()?;
        let values = self.try_values(At::Snapshot(hold.id), keys, &prints)?;
        Ok(values.unwrap_or_else(|Overtaken| unreachable!("a snapshot stays as it is")))
    }

    fn try_values<K: AsRef<[u8]>>(
        &self,
        at: At,
        keys: &[K],
        prints: &[Fingerprint],
    ) -> Result<Result<Vec<Option<Value>>, Overtaken>, Error> {
        let mut values: Vec<Option<Value>> = Vec::new();
        values.resize_with(keys.len(), || None);
        let (mut cached, mut cold) = (Vec::with_capacity(keys.len()), Vec::new());
        self.read(|state| {
            for (index, (key, fingerprint)) in keys.iter().zip(prints).enumerate() {
                let entry = Self::locate(state, at, fingerprint);
                let Some(entry) = entry.map_err(|error| state.translate(error))? else { continue };
                let planned = Planned::new(state, &entry, Vec::new());
                let planned = planned.map_err(|error| state.translate(error))?;
                let wanted = Wanted { index, key: key.as_ref(), fingerprint: *fingerprint, entry };
                if planned.missing.is_none() { &mut cached } else { &mut cold }
                    .push((wanted, planned));
            }
            Ok::<(), Error>(())
        })??;
        let mut outcomes: Vec<(Wanted<'_>, Outcome)> = cached
            .into_iter()
            .map(|(wanted, planned)| {
                let outcome = self.read_planned(planned, None);
                (wanted, outcome)
            })
            .collect();
        outcomes.extend(self.read_all(cold));
        for (wanted, outcome) in outcomes {
            let found = match outcome {
                Outcome::Whole(found) => Some(found),
                Outcome::Not(..) => match self.again(at, &wanted)? {
                    Ok(found) => found,
                    Err(overtaken) => return Ok(Err(overtaken)),
                },
            };
            let found = found.filter(|found| found.bytes[found.parts.key.clone()] == *wanted.key);
            values[wanted.index] = match found {
                Some(found) if Self::is_chunked(found.entry.kind) => match at {
                    At::Snapshot(_) => Some(self.chunked(&found)?),
                    At::Newest => return Ok(Err(Overtaken)),
                },
                found => found.map(Found::into_value),
            };
        }
        Ok(Ok(values))
    }

    /// A record that has moved, or is damaged.
    fn again(
        &self,
        at: At,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Option<Found>, Overtaken>, Error> {
        let found = self
            .fetch_by(&wanted.fingerprint, |state| Self::locate(state, at, &wanted.fingerprint))?;
        Ok(match found {
            Some(found) if found.entry.seq == wanted.entry.seq => Ok(Some(found)),
            _ => Err(Overtaken),
        })
    }

    /// Reads in the order in which the records lie, several at once where there are many.
    fn read_all<'k>(&self, mut cold: Vec<(Wanted<'k>, Planned)>) -> Vec<(Wanted<'k>, Outcome)> {
        cold.sort_by_key(|(wanted, _)| wanted.entry.location.address);
        let threads = (cold.len() / READS_PER_THREAD).clamp(1, THREADS_MAX);
        let count = cold.len();
        let jobs: Vec<Mutex<Option<(Wanted<'k>, Planned)>>> =
            cold.into_iter().map(|job| Mutex::new(Some(job))).collect();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(count));
        let work = || {
            // Each turn takes another one.
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((wanted, planned)) = job else { continue };
                let outcome = self.read_planned(planned, Some(&wanted.fingerprint));
                done.lock().unwrap_or_else(PoisonError::into_inner).push((wanted, outcome));
            }
        };
        scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
