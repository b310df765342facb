//! How many shards and slots a number of keys needs, and why that is enough.
//!
//! A shard owns a *stride* of slots: at most `home_max` home slots, and behind those in use a fixed
//! *slack* for the run at the end, because probing does not wrap around.
//!
//! * **Home slots.** With one shard every key is in it: `home_max = keys / 0.9`. With many, a
//!   shard's share of the keys is binomial, close to Poisson: mean m, deviation sqrt(m). `home_max
//!   = (m + 4 sqrt(m)) / 0.9`: at capacity the usual shard is loaded to 0.84-0.86, and one in
//!   30,000 shards passes 0.9. Passing it is no error, only slower.
//! * **Slack.** At load a the run that hangs over the end is longer than k with probability below
//!   exp(-t k), where a (exp(t) - 1) = t; t = 0.207 at a = 0.9. With n keys the hash has no more
//!   than n to pile up, so small tables need less: min(n, 16 + 3 sqrt(n), 192). Summed exactly
//!   (union over all windows at the end of the shard, binomial tails) an insert below capacity
//!   fails in a whole life of filling one shard with probability 7e-39 at n = 40, 2e-24 at 100,
//!   3e-19 at 300, 9e-20 at 1,000, 2e-24 at 3,000 and 2e-20 at 8,191.
//! * **Both together**, for 2048 shards all at capacity, summed over the occupancy of a shard:
//!   1e-17 at m = 4,096 and 4e-18 at m = 8,192. The keydir answers even that with an error, never
//!   with a lost entry.

use super::slot::LOW_BITS;

/// Whether shards start small and grow, or have their full size at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// From a few slots by an eighth at a time: memory that was never needed is never touched.
    SmallSteps,
    /// Full size at once: for memory that is there anyway.
    Fixed,
}

/// Most keys of a keydir with one shard, and of the usual shard of a larger one below 16 million
/// keys.
const SHARD_KEYS: u32 = 8192;
const SHARDS_MAX: u32 = 1 << (u16::BITS - LOW_BITS);
const SLACK_MAX: u32 = 192;

/// Sizes of a keydir.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// A power of two, at most 2048.
    pub(super) shard_count: u32,
    /// Most home slots of a shard.
    pub(super) home_max: u32,
    /// Slots behind the home slots.
    pub(super) slack: u32,
    /// Most entries of all shards together.
    pub(super) capacity: u32,
}

impl Shape {
    pub(super) const fn for_keys(keys_max: u32) -> Self {
        let shard_count = shard_count(keys_max);
        let mean = keys_max.div_ceil(shard_count);
        let crowd = if shard_count == 1 { mean } else { mean + 4 * mean.isqrt() };
        // Divided by 0.9; at least one, so that a keydir of no keys is a table like any other.
        let home_max = (crowd + crowd / 9).saturating_add(1);
        let slack = least(least(16 + 3 * crowd.isqrt(), SLACK_MAX), crowd);
        Self { shard_count, home_max, slack, capacity: keys_max }
    }

    /// Slots of one shard.
    pub(super) const fn stride(&self) -> usize {
        self.home_max as usize + self.slack as usize
    }

    /// Slots of all shards; more than any memory has where the number does not fit a `usize`.
    pub(super) const fn slots(&self) -> usize {
        self.stride().saturating_mul(self.shard_count as usize)
    }

    /// Home slots of a new shard.
    ///
    /// Neighbours start at different sizes, so that their steps fall due one after the other, not
    /// all together.
    pub(super) const fn home_at_start(&self, shard_index: usize, growth: Growth) -> u32 {
        match growth {
            Growth::Fixed => self.home_max,
            Growth::SmallSteps => least(64 + (shard_index % 8) as u32, self.home_max),
        }
    }

    /// Home slots after one more step, or `None` at full size.
    pub(super) const fn home_after_step(&self, home_slots: u32) -> Option<u32> {
        if home_slots >= self.home_max {
            return None;
        }
        let step = if home_slots < 64 { 8 } else { home_slots / 8 };
        Some(least(home_slots + step, self.home_max))
    }
}

const fn shard_count(keys_max: u32) -> u32 {
    let wanted = keys_max.div_ceil(SHARD_KEYS);
    if wanted <= 1 { 1 } else { least(wanted.next_power_of_two(), SHARDS_MAX) }
}

const fn least(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}

/// Slots that a keydir for this many keys needs: the length of its slice.
#[must_use]
pub const fn slots_for(keys_max: u32) -> usize {
    Shape::for_keys(keys_max).slots()
}

/// Shards of a keydir for this many keys: the length of its slice of shard data.
#[must_use]
pub const fn shards_for(keys_max: u32) -> usize {
    shard_count(keys_max) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_hold_four_to_eight_thousand_keys() {
        assert_eq!((shards_for(1), shards_for(8192), shards_for(8193)), (1, 1, 2));
        for keys in [10_000, 100_000, 1_000_000, 10_000_000, 16_000_000] {
            let mean = keys as usize / shards_for(keys);
            assert!((4000..=8192).contains(&mean), "{keys} keys: {mean} in a shard");
        }
        assert_eq!(shards_for(u32::MAX), 2048);
    }

    #[test]
    fn memory_per_key_at_capacity_stays_below_thirty_bytes_on_hosts() {
        for keys in [100_000, 1_000_000, 10_000_000] {
            let bytes = slots_for(keys) as f64 * 24.0 / f64::from(keys);
            assert!((26.0..30.0).contains(&bytes), "{keys} keys: {bytes} bytes each");
        }
    }

    #[test]
    fn growth_reaches_the_full_size_and_stops_there() {
        for keys in [0, 1, 50, 5000, 1_000_000, u32::MAX] {
            let shape = Shape::for_keys(keys);
            for index in 0..8 {
                let mut home = shape.home_at_start(index, Growth::SmallSteps);
                for _ in 0..200 {
                    let Some(next) = shape.home_after_step(home) else {
                        break;
                    };
                    assert!(next > home);
                    home = next;
                }
                assert_eq!(home, shape.home_max);
            }
        }
    }
}
