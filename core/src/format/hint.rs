//! Hints: what open needs to know of a record, without the record. Fixed entries of 13 bytes, in log order:
//!
//! ```text
//! record:       0 fingerprint position u64 | 8 fingerprint shard u16 | 10 u24: record bytes 20, kind 2, 0, 0
//! place:        0 seq u64 | 8 offset u32 low 16 | 10 u24: offset high 16 in bits 0..16, bit 23 set
//! ```
//! A place tells the sequence of the record behind it and the offset 16 bytes before that record: the start of its
//! group, where it is the first one. Where no place stands, both follow from the record before.

use super::bytes::{put, u16_at, u64_at};
use crate::types::{EntryKind, Fingerprint, Offset, Seq};

/// Bytes of one entry.
pub const HINT_BYTES: usize = 13;
const PLACE: u32 = 1 << 23;

/// One entry of a hint group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Where the next record is.
    Place {
        /// Its offset less the bytes of a group header.
        before: Offset,
        /// Its sequence.
        seq: Seq,
    },
    /// One record.
    Record {
        /// Of its key.
        fingerprint: Fingerprint,
        /// Its bytes without alignment.
        record_bytes: u32,
        /// What its keydir entry is.
        kind: EntryKind,
    },
}

impl Hint {
    /// Encodes the entry.
    #[must_use]
    pub fn encode(&self) -> [u8; HINT_BYTES] {
        let mut bytes = [0; HINT_BYTES];
        let (word, half, low) = match *self {
            Self::Place { before, seq } => (seq.0, before.0 as u16, before.0 >> 16 | PLACE),
            Self::Record { fingerprint, record_bytes, kind } => (
                fingerprint.position,
                fingerprint.shard,
                record_bytes & 0xf_ffff | (kind as u32) << 20,
            ),
        };
        put(&mut bytes, 0, &word.to_le_bytes());
        put(&mut bytes, 8, &half.to_le_bytes());
        put(&mut bytes, 10, &low.to_le_bytes()[..3]);
        bytes
    }

    /// Decodes an entry of [`HINT_BYTES`].
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let word = u64_at(bytes, 0);
        let half = u16_at(bytes, 8);
        let low =
            u32::from(u16_at(bytes, 10)) | u32::from(bytes.get(12).copied().unwrap_or(0)) << 16;
        if low & PLACE != 0 {
            let before = Offset(u32::from(half) | (low & 0xffff) << 16);
            return Self::Place { before, seq: Seq(word) };
        }
        Self::Record {
            fingerprint: Fingerprint { shard: half, position: word },
            record_bytes: low & 0xf_ffff,
            kind: EntryKind::from_bits((low >> 20) as u8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hint;
    use crate::types::{EntryKind, Fingerprint, Offset, Seq};

    #[test]
    fn both_kinds_round_trip_at_their_limits() {
        for hint in [
            Hint::Place { before: Offset(u32::MAX), seq: Seq(u64::MAX) },
            Hint::Place { before: Offset(0), seq: Seq(1) },
            Hint::Record {
                fingerprint: Fingerprint { shard: u16::MAX, position: u64::MAX },
                record_bytes: 0xf_ffff,
                kind: EntryKind::Chunk,
            },
            Hint::Record {
                fingerprint: Fingerprint { shard: 0, position: 7 },
                record_bytes: 12,
                kind: EntryKind::Tombstone,
            },
        ] {
            assert_eq!(Hint::decode(&hint.encode()), hint);
        }
    }
}
