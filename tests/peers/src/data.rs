//! The data that every store gets: keys, values and access orders, all computed from an index.
//!
//! Values are windows of one random pool, so making one costs nothing and checking one is a
//! comparison. Two indexes share a window only by accident (1 in 65,521), so a store that mixes up
//! values is found out.

use crate::peer::{Outcome, Peer};

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

/// A key.
pub type Key = [u8; KEY_BYTES];

/// Number of windows, a prime: a window starts at the mixed index modulo this.
const WINDOWS: u64 = 65_521;

/// The longest value.
pub const VALUE_BYTES_MAX: usize = 4096;

/// Steele's splitmix64: a bijection, so different indexes have different keys.
const fn mix(index: u64) -> u64 {
    let mut state = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// The key of `index`: distinct, and in no order.
#[must_use]
pub fn key(index: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&mix(index).to_le_bytes());
    key[8..].copy_from_slice(&mix(!index).to_le_bytes());
    key
}

/// All values.
pub struct Values {
    pool: Vec<u8>,
}

impl Values {
    /// Fills the pool: 68 KiB, so that it stays in a core's cache.
    #[must_use]
    pub fn new() -> Self {
        let bytes = WINDOWS as usize + VALUE_BYTES_MAX;
        let words = bytes.div_ceil(8) as u64;
        let pool = (0..words).flat_map(|word| mix(word ^ (1 << 63)).to_le_bytes()).collect();
        Self { pool }
    }

    /// The value of `index`, cut to `bytes`.
    ///
    /// # Panics
    /// Beyond [`VALUE_BYTES_MAX`].
    #[must_use]
    pub fn of(&self, index: u64, bytes: usize) -> &[u8] {
        assert!(bytes <= VALUE_BYTES_MAX, "values have at most {VALUE_BYTES_MAX} bytes");
        let start = (mix(index) % WINDOWS) as usize;
        &self.pool[start..start + bytes]
    }
}

/// A fixed pseudo-random order, the same for every store.
pub struct Order {
    state: u64,
}

impl Order {
    /// The order number `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// The next index below `count`.
    pub fn below(&mut self, count: u64) -> u64 {
        self.state = self.state.wrapping_add(1);
        // Multiply-shift instead of a division: the bias is below one in 2^40 for any count used
        // here.
        ((u128::from(mix(self.state)) * u128::from(count)) >> 64) as u64
    }
}

/// Which indexes are drawn how often.
#[derive(Clone)]
pub enum Pattern {
    /// All alike.
    Uniform,
    /// Some much more often than others.
    Zipf(Zipf),
}

impl Pattern {
    /// The next index below `count`, which is the one that a [`Zipf`] was made for.
    pub fn draw(&self, order: &mut Order, count: u64) -> u64 {
        match self {
            Self::Uniform => order.below(count),
            Self::Zipf(zipf) => zipf.draw(order),
        }
    }
}

/// Zipf's law with exponent 0.99, YCSB's: Gray's method ("Quickly generating billion-record
/// synthetic databases", 1994), which needs the harmonic sum once and two logarithms per draw.
#[derive(Clone, Copy)]
pub struct Zipf {
    count: u64,
    harmonic: f64,
    eta: f64,
}

impl Zipf {
    const EXPONENT: f64 = 0.99;

    /// The law over `count` indexes.
    #[must_use]
    pub fn new(count: u64) -> Self {
        let sum =
            |ranks: u64| (1..=ranks).map(|rank| (rank as f64).powf(-Self::EXPONENT)).sum::<f64>();
        let (harmonic, two) = (sum(count), sum(2.min(count)));
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - Self::EXPONENT)) / (1.0 - two / harmonic);
        Self { count, harmonic, eta }
    }

    /// The next index. The most frequent ones are the lowest; keys have no order, so that does not
    /// put them side by side, but it puts them in the order of a fill: a store that keeps that
    /// order would have the hot ones together. So ranks are spread by a stride.
    pub fn draw(&self, order: &mut Order) -> u64 {
        const STRIDE: u64 = 0x9e37_79b1;
        let rank = self.rank(order);
        // A prime larger than any count used here: a bijection.
        (u128::from(rank) * u128::from(STRIDE) % u128::from(self.count)) as u64
    }

    fn rank(&self, order: &mut Order) -> u64 {
        let uniform = order.below(1 << 53) as f64 / (1_u64 << 53) as f64;
        let scaled = uniform * self.harmonic;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(Self::EXPONENT) {
            return 1.min(self.count - 1);
        }
        let base = self.eta * uniform - self.eta + 1.0;
        let rank = self.count as f64 * base.powf(1.0 / (1.0 - Self::EXPONENT));
        (rank as u64).min(self.count - 1)
    }
}

/// Gets the value of `index` and compares every byte.
///
/// # Errors
/// The store's own, a missing key, and wrong bytes.
pub fn expect(peer: &dyn Peer, values: &Values, index: u64, bytes: usize) -> Outcome<()> {
    let want = values.of(index, bytes);
    let mut same = false;
    let found = peer.get(&key(index), &mut |value| same = value == want)?;
    match (found, same) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("key {index} has a wrong value").into()),
        (false, _) => Err(format!("key {index} is missing").into()),
    }
}

/// Compares a sample of 1,000 of the first `keys` values, the first and the last among them, and
/// asks for one key that was never put.
///
/// # Errors
/// As [`expect`].
pub fn verify_sample(peer: &dyn Peer, values: &Values, keys: u64, bytes: usize) -> Outcome<()> {
    let mut order = Order::new(keys);
    let random = (0..1_000).map(|_| order.below(keys));
    for index in [0, keys - 1].into_iter().chain(random) {
        expect(peer, values, index, bytes)?;
    }
    if peer.get(&key(u64::MAX), &mut |_| ())? {
        return Err("a key that was never put is there".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Key, Order, Values, Zipf, expect, key};
    use crate::peer::{Outcome, Peer, Shared};

    /// Answers the same for every key.
    struct Constant(Option<Vec<u8>>);

    impl Peer for Constant {
        fn shared(&self) -> Option<&Shared> {
            Some(self)
        }
        fn delete(&self, _: &Key) -> Outcome<()> {
            Ok(())
        }
        fn put(&self, _: &Key, _: &[u8]) -> Outcome<()> {
            Ok(())
        }
        fn put_batch(&self, _: &[(Key, &[u8])]) -> Outcome<()> {
            Ok(())
        }
        fn put_durable(&self, _: &Key, _: &[u8]) -> Outcome<()> {
            Ok(())
        }
        fn get(&self, _: &Key, see: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
            if let Some(value) = &self.0 {
                see(value);
            }
            Ok(self.0.is_some())
        }
        fn sync(&self) -> Outcome<()> {
            Ok(())
        }
    }

    #[test]
    fn a_wrong_a_short_and_a_missing_value_fail_the_run() {
        let values = Values::new();
        let right = values.of(5, 100).to_vec();
        let answer = |value| expect(&Constant(value), &values, 5, 100);
        assert!(answer(Some(right.clone())).is_ok());
        assert!(answer(Some(right[..99].to_vec())).is_err());
        assert!(answer(Some(values.of(6, 100).to_vec())).is_err());
        assert!(answer(None).is_err());
    }

    #[test]
    fn keys_differ_and_values_have_their_length() {
        let values = Values::new();
        assert_ne!(key(1), key(2));
        assert_eq!(values.of(7, 100).len(), 100);
        assert_ne!(values.of(7, 100), values.of(8, 100));
    }

    #[test]
    fn a_zipf_draw_stays_below_its_count_and_prefers_few() {
        let zipf = Zipf::new(1_000);
        let mut order = Order::new(1);
        let mut seen = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            seen[zipf.draw(&mut order) as usize] += 1;
        }
        seen.sort_unstable_by(|a, b| b.cmp(a));
        // 1 / H(1000, 0.99) = 13 % for the first; half of all draws within the first 40 or so.
        assert!((11_000..15_000).contains(&seen[0]), "{}", seen[0]);
        assert!(seen[..100].iter().sum::<u32>() > 60_000);
    }

    #[test]
    fn an_order_stays_below_its_count_and_repeats() {
        let draw = || {
            let mut order = Order::new(3);
            (0..1_000).map(|_| order.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|index| *index < 10));
        assert!((0..10).all(|index| draw().contains(&index)));
    }
}
