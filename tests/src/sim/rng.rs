//! The simulator's own generator (SplitMix64) and digests: seeds keep their meaning for ever, whatever
//! version a dependency has.

/// A stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// SplitMix64's finaliser: a bijection of 64 bits that leaves no visible order.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// A stream for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream for several coordinates: (plan, session, crash point), say.
    #[must_use]
    pub fn for_place(place: &[u64]) -> Self {
        let mut seed = 0;
        for &coordinate in place {
            seed = mix(seed ^ mix(coordinate));
        }
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let value = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        value
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A place in a slice of `count` elements.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// True once in `one_in` draws; never for 0.
    pub fn one_in(&mut self, one_in: u64) -> bool {
        one_in != 0 && self.next().is_multiple_of(one_in)
    }

    /// Sixteen bits: the argument of a torn write.
    pub fn word(&mut self) -> u16 {
        self.next() as u16
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A 128-bit digest of some bytes: never 0, fast, and without cryptographic claims.
#[must_use]
pub fn digest(bytes: &[u8]) -> u128 {
    let mut a = 0x243f_6a88_85a3_08d3 ^ (bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut b = 0x1319_8a2e_0370_7344_u64;
    let mut take = |word: u64| {
        a = (a ^ word).wrapping_mul(0xa076_1d64_78bd_642f).rotate_left(29);
        b = b.rotate_left(23).wrapping_add(word).wrapping_mul(0xe703_7ed1_a0b4_28db);
    };
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        take(u64::from_le_bytes(chunk.try_into().expect("chunks_exact(8) yields 8 bytes")));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        take(u64::from_le_bytes(word));
    }
    (u128::from(mix(a)) << 64 | u128::from(mix(b ^ a.rotate_left(32)))) | 1
}

#[cfg(test)]
mod tests {
    use super::{Rng, digest, mix};

    #[test]
    fn seeds_never_change_their_meaning() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        let mut rng = Rng::new(0);
        assert_eq!([rng.next(), rng.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn digests_tell_length_and_content_apart() {
        assert_ne!(digest(b""), digest(b"\0"));
        assert_ne!(digest(b"\0"), digest(b"\0\0"));
        assert_ne!(digest(b"abcdefgh1"), digest(b"abcdefgh2"));
    }
}
