//! `get_many`: all keys are planned under one lock, so that the answers are of one moment; what the
//! pool does not have is then read with several reads in flight.

use emberkv_core::ReadInto;
use emberkv_core::keydir::Entry;
use emberkv_core::types::Fingerprint;

use crate::bounce::{BUFFER_KEPT_BYTES, keep_buffer, take_buffer};
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

/// A key whose record must be read.
type Job<'k> = (Wanted<'k>, Planned);

/// Where on the device the pages of a job lie that must be read, and their bytes.
fn device_range(job: &Option<Job<'_>>) -> (u64, usize) {
    let planned = job.as_ref().map(|(_, planned)| planned);
    let missing = planned.and_then(|planned| Some((planned, planned.missing.as_ref()?)));
    missing.map_or((0, 0), |(planned, pages)| planned.plan.device_range(pages))
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
    fn read_all<'k>(&self, mut cold: Vec<Job<'k>>) -> Vec<(Wanted<'k>, Outcome)> {
        cold.sort_by_key(|(wanted, _)| wanted.entry.location.address);
        if cold.len() > 1 && self.device.reads_in_flight_max() > 1 {
            return self.read_in_flight(cold);
        }
        self.read_by_threads(cold)
    }

    /// From this thread alone, by a device that takes many reads at once.
    fn read_in_flight<'k>(&self, cold: Vec<Job<'k>>) -> Vec<(Wanted<'k>, Outcome)> {
        let mut outcomes = Vec::with_capacity(cold.len());
        let mut jobs: Vec<Option<Job<'k>>> = cold.into_iter().map(Some).collect();
        let mut rest = &mut jobs[..];
        while !rest.is_empty() {
            // As much as one buffer takes, one record at least.
            let mut bytes = 0;
            let fits = rest.iter().position(|job| {
                bytes += device_range(job).1;
                bytes > BUFFER_KEPT_BYTES
            });
            let (now, later) = rest.split_at_mut(fits.unwrap_or(rest.len()).max(1));
            self.read_buffer_full(now, &mut outcomes);
            rest = later;
        }
        outcomes
    }

    fn read_buffer_full<'k>(
        &self,
        jobs: &mut [Option<Job<'k>>],
        outcomes: &mut Vec<(Wanted<'k>, Outcome)>,
    ) {
        let bytes = jobs.iter().map(|job| device_range(job).1).sum();
        let mut buffer = take_buffer(bytes);
        let mut rest = &mut buffer[..bytes];
        let mut reads = Vec::with_capacity(jobs.len());
        for job in jobs.iter() {
            let (address, length) = device_range(job);
            let (buffer, behind) = rest.split_at_mut(length);
            rest = behind;
            self.counts.read(length as u64);
            reads.push(ReadInto { address, buffer });
        }
        // Records are verified while others are still on their way.
        let read = self.device.read_many(&mut reads, &mut |index, bytes| {
            if let Some((wanted, planned)) = jobs[index].take() {
                let outcome = self.complete(planned, Some(&wanted.fingerprint), bytes);
                outcomes.push((wanted, outcome));
            }
        });
        keep_buffer(buffer);
        if read.is_err() {
            // One by one, each with its own result.
            for (wanted, planned) in jobs.iter_mut().filter_map(Option::take) {
                let outcome = self.read_planned(planned, Some(&wanted.fingerprint));
                outcomes.push((wanted, outcome));
            }
        }
    }

    /// From threads, each with one read at a time.
    fn read_by_threads<'k>(&self, cold: Vec<Job<'k>>) -> Vec<(Wanted<'k>, Outcome)> {
        let threads = (cold.len() / READS_PER_THREAD).clamp(1, THREADS_MAX);
        let count = cold.len();
        let jobs: Vec<Mutex<Option<Job<'k>>>> =
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
