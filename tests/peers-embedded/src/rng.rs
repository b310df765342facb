//! Numbers in no order, the same in every run: SplitMix64.

/// A generator; its seed is all there is to it.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Eight bits, each set with a chance of `ones` in 256.
    pub(crate) fn bits(&mut self, ones: u8) -> u8 {
        let draws = self.next().to_le_bytes();
        draws.iter().fold(0, |bits, draw| bits << 1 | u8::from(*draw < ones))
    }
}
