//! One slot: 24 bytes, three words.
//!
//! ```text
//! word 0   position: 64 bits of the fingerprint, orders the slots of a shard
//! word 1   sequence; 0 = the slot is empty, and then all three words are 0
//! word 2   63..28 location | 27..8 record bytes | 7..6 kind | 5 zero | 4..0 low bits of the shard
//! ```
//!
//! Zeroed memory is therefore an empty table. The low shard bits tell keys with equal positions
//! apart: with at most 2048 shards, the shard's index and its low 5 bits together are all 16 bits.

use crate::types::{EntryKind, Fingerprint, Location, LogAddress, Seq};

/// A slot of the keydir's memory. Opaque; all zero is empty.
pub type Slot = [u64; 3];

pub(super) const EMPTY: Slot = [0; 3];
pub(super) const LOW_BITS: u32 = 5;

const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const KIND_SHIFT: u32 = 6;
const BYTES_SHIFT: u32 = 8;
const BYTES_BITS: u32 = 20;
const UNITS_SHIFT: u32 = 28;
const UNITS_BITS: u32 = 36;

const _: () = assert!(BYTES_SHIFT + BYTES_BITS == UNITS_SHIFT && UNITS_SHIFT + UNITS_BITS == 64);

/// The longest record that an entry can point to, in bytes.
pub const RECORD_BYTES_MAX: u32 = (1 << BYTES_BITS) - 1;

/// What the keydir knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Sequence of the newest record; never 0.
    pub seq: Seq,
    /// Where that record is.
    pub location: Location,
    /// What it stands for.
    pub kind: EntryKind,
}

/// What tells the entries of one shard apart, in the order of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotKey {
    pub(super) position: u64,
    pub(super) low: u8,
}

impl SlotKey {
    #[inline]
    pub(super) fn of(fingerprint: &Fingerprint) -> Self {
        Self {
            position: fingerprint.position,
            low: (u64::from(fingerprint.shard) & LOW_MASK) as u8,
        }
    }
}

#[inline]
pub(super) fn is_empty(slot: &Slot) -> bool {
    slot[1] == 0
}

#[inline]
pub(super) fn low(slot: &Slot) -> u8 {
    (slot[2] & LOW_MASK) as u8
}

#[inline]
pub(super) fn key(slot: &Slot) -> SlotKey {
    SlotKey { position: slot[0], low: low(slot) }
}

#[inline]
pub(super) fn kind(slot: &Slot) -> EntryKind {
    EntryKind::from_bits((slot[2] >> KIND_SHIFT) as u8)
}

/// Whether a slot can hold this location. Locations that come from a medium are asked about here
/// first.
#[inline]
pub(super) const fn fits(location: &Location, align_shift: u8) -> bool {
    let units = location.address.0 >> align_shift;
    units << align_shift == location.address.0
        && units >> UNITS_BITS == 0
        && location.record_bytes <= RECORD_BYTES_MAX
}

/// The slot of an entry.
///
/// # Panics
/// If the sequence is 0 or the location does not fit: the caller's bug, it would lose the key.
#[inline]
pub(super) fn pack(key: SlotKey, entry: &Entry, align_shift: u8) -> Slot {
    assert!(entry.seq.0 != 0, "sequence 0 means an empty slot");
    assert!(fits(&entry.location, align_shift), "location does not fit a slot");
    let word = u64::from(key.low)
        | (entry.kind as u64) << KIND_SHIFT
        | u64::from(entry.location.record_bytes) << BYTES_SHIFT
        | (entry.location.address.0 >> align_shift) << UNITS_SHIFT;
    [key.position, entry.seq.0, word]
}

#[inline]
pub(super) fn unpack(slot: &Slot, align_shift: u8) -> Entry {
    Entry {
        seq: Seq(slot[1]),
        location: Location {
            address: LogAddress((slot[2] >> UNITS_SHIFT) << align_shift),
            record_bytes: (slot[2] >> BYTES_SHIFT) as u32 & RECORD_BYTES_MAX,
        },
        kind: kind(slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: u64, record_bytes: u32, kind: EntryKind) -> Entry {
        Entry {
            seq: Seq(u64::MAX),
            location: Location { address: LogAddress(address), record_bytes },
            kind,
        }
    }

    #[test]
    fn every_field_survives_packing_at_its_limits() {
        for align_shift in [0, 4, 12] {
            for units in [0, 1, (1 << UNITS_BITS) - 1] {
                for bytes in [0, 1, RECORD_BYTES_MAX] {
                    for kind in 0..4 {
                        for low in [0, 1, 31] {
                            let key = SlotKey { position: u64::MAX, low };
                            let entry =
                                entry(units << align_shift, bytes, EntryKind::from_bits(kind));
                            let slot = pack(key, &entry, align_shift);
                            assert_eq!(
                                (super::key(&slot), unpack(&slot, align_shift)),
                                (key, entry)
                            );
                            assert!(!is_empty(&slot));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn locations_beyond_the_fields_do_not_fit() {
        let fits = |address, bytes| fits(&entry(address, bytes, EntryKind::Value).location, 4);
        assert!(fits(((1 << UNITS_BITS) - 1) << 4, RECORD_BYTES_MAX));
        assert!(!fits(1 << (UNITS_BITS + 4), 1));
        assert!(!fits(u64::MAX, 1));
        assert!(!fits(8, 1));
        assert!(!fits(16, RECORD_BYTES_MAX + 1));
    }

    #[test]
    #[should_panic(expected = "sequence 0")]
    fn sequence_zero_is_refused() {
        let empty = Entry { seq: Seq(0), ..entry(0, 0, EntryKind::Value) };
        pack(SlotKey { position: 1, low: 0 }, &empty, 0);
    }
}
