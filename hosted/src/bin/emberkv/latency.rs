//! How long operations took: all of them by their length, and the longest of each moment.

use std::time::Duration;

/// Parts of an octave: a length is told to 3 %.
const PARTS: u64 = 32;
const PART_BITS: u32 = PARTS.ilog2();
/// Lengths up to 2^40 ns, 18 minutes.
const BUCKETS: usize = (PARTS as usize) * 36;
/// Moments of a course.
pub(crate) const MOMENTS: usize = 480;

/// Counts by length: exact below 32 ns, then in steps of 3 %. The longest is exact.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, longest: Duration::ZERO }
    }
}

fn bucket(nanos: u64) -> usize {
    let octave = (nanos | (PARTS - 1)).ilog2() - (PART_BITS - 1);
    let bucket = match octave {
        0 => nanos,
        _ => u64::from(octave) * PARTS + (nanos >> (octave - 1)) - PARTS,
    };
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The longest of a bucket.
fn nanos_of(bucket: usize) -> u64 {
    let (octave, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    if octave == 0 { part } else { ((PARTS + part + 1) << (octave - 1)) - 1 }
}

impl Latencies {
    pub(crate) fn note(&mut self, took: Duration) {
        self.counts[bucket(took.as_nanos() as u64)] += 1;
        self.count += 1;
        self.longest = self.longest.max(took);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// What this part of all operations did not exceed: 0.5 is the median, 1.0 the longest.
    pub(crate) fn at(&self, part: f64) -> Duration {
        let wanted = (self.count as f64 * part).ceil() as u64;
        if wanted >= self.count {
            return self.longest;
        }
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found
            .map_or(self.longest, |bucket| Duration::from_nanos(nanos_of(bucket)).min(self.longest))
    }
}

/// The longest operation and the mean of each moment of a phase.
#[derive(Debug)]
pub(crate) struct Course {
    length: Duration,
    pub(crate) moments: Vec<Moment>,
}

/// What ended in one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) longest: Duration,
    sum: Duration,
    count: u32,
}

impl Moment {
    /// The mean, if anything ended then.
    pub(crate) fn mean(&self) -> Option<Duration> {
        (self.count > 0).then(|| self.sum / self.count)
    }
}

impl Course {
    /// Of a phase of this length. What ends later belongs to its last moment.
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, moments: vec![Moment::default(); MOMENTS] }
    }

    pub(crate) fn note(&mut self, at: Duration, took: Duration) {
        let place = at.as_secs_f64() / self.length.as_secs_f64() * MOMENTS as f64;
        let moment = &mut self.moments[(place as usize).min(MOMENTS - 1)];
        moment.longest = moment.longest.max(took);
        moment.sum += took;
        moment.count += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (moment, more) in self.moments.iter_mut().zip(&other.moments) {
            moment.longest = moment.longest.max(more.longest);
            moment.sum += more.sum;
            moment.count += more.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Course, Latencies, MOMENTS, bucket, nanos_of};
    use std::time::Duration;

    #[test]
    fn every_length_is_in_a_bucket_that_tells_it_to_three_percent() {
        let mut before = 0;
        for nanos in (0..5000).chain((1..200).map(|step| step * step * 104_729)) {
            let place = bucket(nanos);
            assert!(place >= before && place < BUCKETS, "{nanos}");
            before = if nanos == 4999 { 0 } else { place };
            let told = nanos_of(place);
            assert!(told >= nanos && told - nanos <= nanos / 32 + 1, "{nanos} told as {told}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn parts_are_those_of_the_sorted_lengths() {
        let mut latencies = Latencies::default();
        for micros in 1..=10_000 {
            latencies.note(Duration::from_micros(micros));
        }
        let near = |part, micros: u64| {
            let told = latencies.at(part).as_micros() as u64;
            assert!(told >= micros && told <= micros + micros / 31, "{part}: {told}");
        };
        near(0.5, 5_000);
        near(0.99, 9_900);
        assert_eq!(latencies.at(1.0), Duration::from_micros(10_000));
        assert_eq!(latencies.count(), 10_000);
    }

    #[test]
    fn a_moment_keeps_its_longest_and_late_ones_are_last() {
        let mut course = Course::new(Duration::from_secs(1));
        let short = Duration::from_micros(2);
        course.note(Duration::ZERO, short);
        course.note(Duration::ZERO, 3 * short);
        course.note(Duration::from_secs(5), short);
        assert_eq!(course.moments[0].longest, 3 * short);
        assert_eq!(course.moments[0].mean(), Some(2 * short));
        assert_eq!(course.moments[MOMENTS - 1].mean(), Some(short));
        assert_eq!(course.moments[1].mean(), None);
    }
}
