//! The byte tape: every sequence of bytes is a program of store operations.
//!
//! Three bytes choose the setup ([`Setup::decode`](super::profile::Setup::decode)), then operations follow: one byte
//! `kind << 4 | key << 1 | flag` and the kind's arguments. Missing arguments at the end count as 0. Seeds, fuzzers,
//! shrinking and hand-written cases all speak it.

use super::engine::BatchEnd;
use super::profile::{PROFILES, SETUP_BYTES};
use super::rng::Rng;

/// The length of a value, as the tape gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Up to 63 bytes.
    Small(u8),
    /// A fraction (of 256) of the largest record, S/8.
    Medium(u8),
    /// A fraction of two segments: a chunked value.
    Big(u8),
}

/// Most changes in a batch of the tape.
pub const BATCH_MAX: usize = 5;

/// One change of a batch: key, and the size and style of a put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: u8,
    /// Put these many bytes; `None` deletes.
    pub put: Option<u8>,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapeOp {
    /// Put a value; perhaps sync at once.
    Put(Value, Then),
    /// Delete a key; perhaps sync at once.
    Delete(u8, Then),
    /// The first so many items as a batch.
    Batch([Item; BATCH_MAX], u8, BatchEnd),
    /// Sync.
    Sync,
    /// Get a key and compare.
    Get(u8),
    /// Read everything and compare.
    Iterate,
    /// Close and open.
    Close,
    /// The program dies, the device's cache lives on; open.
    Kill,
    /// The power fails, the byte chooses what is left; open.
    PowerCut(u8),
    /// A value from a stream.
    Stream(Value),
    /// A stream that ends early.
    ShortStream(Value),
    /// Verify all checksums.
    Check,
    /// Close, open read-only and read everything, open.
    ReadOnly,
    /// Merge for about so many bytes of work; `None` until nothing is left.
    Merge(Option<u16>),
    /// Many puts, and perhaps deletes, of few keys: what makes a log go round.
    Churn(Churn),
    /// Something with snapshots.
    Shot(Shot),
}

/// What is done with snapshots. A byte chooses one of those that the session holds; with their session they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// Take one.
    Take,
    /// Read one key at one.
    Get {
        /// Which snapshot.
        held: u8,
        /// Which key.
        key: u8,
    },
    /// Read everything at one.
    Fold(u8),
    /// Give one back.
    Release(u8),
}

/// Which keys a churn writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One key again and again.
    Hot,
    /// Half of the keys, in turn.
    Some,
    /// All keys, in turn: what is written lives as long as it can.
    All,
    /// Each put is followed by a delete, mostly of another key.
    Deletes,
}

/// A run of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    /// Which keys.
    pub pattern: Pattern,
    /// The first key.
    pub key: u8,
    /// How many puts.
    pub count: u8,
    /// How long the values are, as a fraction (of 256) of the largest record.
    pub size: u8,
    /// Whether every eighth put is synced.
    pub then: Then,
}

/// Keys of the kind that checks and merges: the first one checks, then snapshots, from `MERGE_KEY` on it merges, the last
/// one churns.
const TAKE_KEY: u8 = 1;
const READ_KEY: u8 = 2;
const RELEASE_KEY: u8 = 3;
const MERGE_KEY: u8 = 4;
const CHURN_KEY: u8 = 7;
/// Merge budgets in bytes of work: less than a page, and a few records.
const BUDGETS: [u16; 2] = [96, 1500];

/// A value to be made, and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// The key.
    pub key: u8,
    /// How long.
    pub size: Size,
    /// Which bytes: random, zeros, ones, or bytes of the medium itself.
    pub style: u8,
}

/// What follows a put or a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Go,
    /// A sync.
    Sync,
}

/// Reads operations off a tape.
#[derive(Clone, Debug)]
pub struct TapeReader<'t> {
    tape: &'t [u8],
    /// The next byte.
    pub at: usize,
}

impl<'t> TapeReader<'t> {
    /// Reads from `at` on.
    #[must_use]
    pub const fn new(tape: &'t [u8], at: usize) -> Self {
        Self { tape, at }
    }

    fn byte(&mut self) -> u8 {
        let byte = self.tape.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// The next operation.
    pub fn next_op(&mut self) -> Option<TapeOp> {
        if self.at >= self.tape.len() {
            return None;
        }
        let first = self.byte();
        let key = first >> 1 & 7;
        let flag = first & 1 == 1;
        let then = if flag { Then::Sync } else { Then::Go };
        Some(match first >> 4 {
            0 | 14 => TapeOp::Put(self.value(key, |byte| Size::Small(byte % 64)), then),
            1 => TapeOp::Put(self.value(key, Size::Medium), then),
            2 => TapeOp::Put(self.value(key, Size::Big), then),
            3 => TapeOp::Delete(key, then),
            4 => self.batch(),
            5 => TapeOp::Sync,
            6 => TapeOp::Get(key),
            7 => TapeOp::Iterate,
            8 => TapeOp::Close,
            9 => TapeOp::Kill,
            10 => TapeOp::PowerCut(self.byte()),
            11 if flag => TapeOp::Stream(self.value(key, Size::Big)),
            11 => TapeOp::Stream(self.value(key, |byte| Size::Small(byte % 64))),
            12 if flag => TapeOp::ShortStream(self.value(key, Size::Big)),
            12 => TapeOp::ShortStream(self.value(key, |byte| Size::Small(byte % 64))),
            13 if key == CHURN_KEY => TapeOp::Churn(self.churn(then)),
            13 if key >= MERGE_KEY => {
                TapeOp::Merge(BUDGETS.get(usize::from(key - MERGE_KEY)).copied())
            }
            13 if key == TAKE_KEY => TapeOp::Shot(Shot::Take),
            13 if key == READ_KEY => {
                let byte = self.byte();
                let one = Shot::Get { held: byte >> 3, key: byte & 7 };
                TapeOp::Shot(if flag { Shot::Fold(byte) } else { one })
            }
            13 if key == RELEASE_KEY => TapeOp::Shot(Shot::Release(self.byte())),
            13 => TapeOp::Check,
            _ => TapeOp::ReadOnly,
        })
    }

    fn value(&mut self, key: u8, size: impl FnOnce(u8) -> Size) -> Value {
        let size = size(self.byte());
        Value { key, size, style: self.byte() }
    }

    fn churn(&mut self, then: Then) -> Churn {
        let shape = self.byte();
        let pattern =
            [Pattern::Hot, Pattern::Some, Pattern::All, Pattern::Deletes][usize::from(shape & 3)];
        let count = self.byte() % 64 + 4;
        Churn { pattern, key: shape >> 2 & 7, count, size: self.byte(), then }
    }

    fn batch(&mut self) -> TapeOp {
        let shape = self.byte();
        let count = shape % BATCH_MAX as u8 + 1;
        let mut items = [Item::default(); BATCH_MAX];
        for item in items.iter_mut().take(count as usize) {
            let head = self.byte();
            let put = if head & 8 == 0 { Some(self.byte()) } else { None };
            *item = Item { key: head & 7, put };
        }
        TapeOp::Batch(
            items,
            count,
            if shape & 0x80 == 0 { BatchEnd::Commit } else { BatchEnd::Abort },
        )
    }
}

/// The operations of a tape as byte ranges: what shrinking removes.
#[must_use]
pub fn split(tape: &[u8], from: usize) -> Vec<Vec<u8>> {
    let mut reader = TapeReader::new(tape, from);
    let mut parts = Vec::new();
    loop {
        let start = reader.at;
        if reader.next_op().is_none() {
            return parts;
        }
        parts.push(tape[start..reader.at.min(tape.len())].to_vec());
    }
}

/// Relative weights of the sixteen kinds, of merges, of churns and of snapshots.
type Mix = [u8; 19];

const MIX: Mix = [20, 8, 3, 10, 10, 12, 3, 1, 3, 3, 1, 1, 1, 1, 6, 1, 4, 1, 5];
const MERGE: u8 = 16;
const CHURN: u8 = 17;
const SHOT: u8 = 18;

/// A tape for a seed: first a mix is drawn (some kinds far more often, some never), then operations.
#[must_use]
pub fn generate(seed: u64, profile: Option<usize>) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let profile = profile.unwrap_or_else(|| rng.index(PROFILES.len()));
    let mut tape = vec![profile as u8, rng.next() as u8, 0];
    let mut mix = MIX;
    for weight in &mut mix {
        match rng.below(6) {
            0 => *weight = 0,
            1 => *weight *= 3,
            _ => {}
        }
    }
    mix[0] = mix[0].max(4);
    let keys = 1 + rng.below(8) as u8;
    if rng.one_in(2) {
        // A log that has gone round, or is about to: the device is filled a few times over, then used.
        (mix[usize::from(MERGE)], mix[usize::from(CHURN)]) = (12, 3);
        tape[1] |= 0x10 << rng.below(2);
        for _ in 0..1 + rng.below(4) {
            generate_churn(&mut rng, &mut tape);
            if rng.one_in(4) {
                tape.push(13 << 4 | TAKE_KEY << 1);
            }
        }
    }
    let longest = if rng.one_in(8) { 60 } else { 18 };
    let count = 3 + rng.below(longest);
    for _ in 0..count {
        generate_op(&mut rng, &mix, keys, &mut tape);
    }
    tape
}

/// A few operations for a recovered store, without a setup.
pub fn generate_then(rng: &mut Rng, out: &mut Vec<u8>) {
    out.clear();
    let mut mix = MIX;
    mix[10] = 0;
    mix[usize::from(CHURN)] = 2;
    for _ in 0..1 + rng.below(5) {
        generate_op(rng, &mix, 8, out);
    }
}

fn generate_op(rng: &mut Rng, mix: &Mix, keys: u8, out: &mut Vec<u8>) {
    let total: u64 = mix.iter().map(|&weight| u64::from(weight)).sum();
    let mut draw = rng.below(total);
    let mut kind = 0;
    for (index, &weight) in mix.iter().enumerate() {
        if draw < u64::from(weight) {
            kind = index as u8;
            break;
        }
        draw -= u64::from(weight);
    }
    if kind == CHURN {
        return generate_churn(rng, out);
    }
    if kind == SHOT {
        return generate_shot(rng, out);
    }
    if kind == MERGE {
        return out.push(13 << 4 | (MERGE_KEY + rng.below(3) as u8) << 1);
    }
    let key = |rng: &mut Rng| rng.below(u64::from(keys)) as u8;
    let key_bits = if kind == 13 { 0 } else { key(rng) << 1 };
    let flag = rng.one_in(3) || kind == 14;
    out.push(kind << 4 | key_bits | u8::from(flag));
    match kind {
        0..=2 | 11 | 12 | 14 => {
            let mut size = rng.next() as u8;
            if kind == 2 {
                size >>= rng.below(4);
            }
            out.extend_from_slice(&[size, rng.next() as u8]);
        }
        4 => {
            let shape = (rng.below(16) as u8) | if rng.one_in(8) { 0x80 } else { 0 };
            out.push(shape);
            for _ in 0..=shape % BATCH_MAX as u8 {
                if rng.one_in(4) {
                    out.push(8 | key(rng));
                } else {
                    let size = rng.next() as u8 >> rng.below(5);
                    out.extend_from_slice(&[key(rng), size]);
                }
            }
        }
        10 => out.push(rng.next() as u8),
        _ => {}
    }
}

/// More often taken than given back: where there are none, the others do nothing.
fn generate_shot(rng: &mut Rng, out: &mut Vec<u8>) {
    match rng.below(8) {
        0 => {
            // As many as there may be, and one more.
            for key in 0..4 {
                out.extend_from_slice(&[
                    13 << 4 | TAKE_KEY << 1,
                    key << 1,
                    rng.next() as u8 & 15,
                    0,
                ]);
            }
            out.push(13 << 4 | TAKE_KEY << 1);
        }
        1..4 => out.push(13 << 4 | TAKE_KEY << 1),
        4..6 => out.extend_from_slice(&[
            13 << 4 | READ_KEY << 1 | u8::from(rng.one_in(2)),
            rng.next() as u8,
        ]),
        _ => out.extend_from_slice(&[13 << 4 | RELEASE_KEY << 1, rng.next() as u8]),
    }
}

fn generate_churn(rng: &mut Rng, out: &mut Vec<u8>) {
    let flag = u8::from(rng.one_in(2));
    let size = if rng.one_in(3) { rng.next() as u8 } else { 200 + rng.below(56) as u8 };
    out.extend_from_slice(&[
        13 << 4 | CHURN_KEY << 1 | flag,
        rng.next() as u8,
        rng.next() as u8,
        size,
    ]);
}

/// The body of a tape, without its setup.
#[must_use]
pub fn body(tape: &[u8]) -> &[u8] {
    tape.get(SETUP_BYTES..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::{SETUP_BYTES, TapeReader, generate, split};

    #[test]
    fn the_parts_of_a_tape_are_the_tape() {
        for seed in 0..200 {
            let tape = generate(seed, None);
            let parts = split(&tape, SETUP_BYTES);
            assert_eq!(parts.concat(), &tape[SETUP_BYTES..]);
        }
    }

    #[test]
    fn every_byte_sequence_is_a_program() {
        for first in 0..=255_u8 {
            let tape = [0, 0, 0, first];
            let mut reader = TapeReader::new(&tape, SETUP_BYTES);
            assert!(reader.next_op().is_some() && reader.next_op().is_none());
        }
    }
}
