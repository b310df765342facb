//! One old version in 48 bytes: six words of the caller's memory.
//!
//! ```text
//! 0 position | 1 seq, 0 if free | 2 superseded by | 3 address
//! 4 low: next in the hash chain, or next free; high: next on the same hook
//! 5 record_bytes 32 | shard 16 | kind 2
//! ```
//! Links are entry numbers from 1; 0 is none. Entries that were never in use may hold anything.

use core::num::NonZeroU32;

use super::tally::touch;
use crate::keydir::Entry;
use crate::types::{EntryKind, Fingerprint, Location, LogAddress, Seq};

/// An entry of the version table's memory. Opaque.
pub type VersionSlot = [u64; 6];

/// A superseded record that a snapshot may still need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key.
    pub fingerprint: Fingerprint,
    /// What the keydir knew of it.
    pub entry: Entry,
    /// Sequence of the record that took its place. Snapshots from `entry.seq` up to before this one
    /// see the version.
    pub superseded_by: Seq,
}

impl Version {
    /// Whether a reader at this sequence sees it.
    #[must_use]
    pub fn is_visible_at(&self, read_seq: Seq) -> bool {
        self.entry.seq <= read_seq && read_seq < self.superseded_by
    }
}

/// Number of an entry, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryNumber(NonZeroU32);

impl EntryNumber {
    pub(super) fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    pub(super) fn get(self) -> u32 {
        self.0.get()
    }

    pub(super) fn word(number: Option<Self>) -> u32 {
        number.map_or(0, Self::get)
    }

    fn index(self) -> usize {
        self.get() as usize - 1
    }
}

/// The entries, by number.
#[derive(Debug)]
pub(super) struct Entries<'m>(pub(super) &'m mut [VersionSlot]);

impl Entries<'_> {
    fn at(&self, number: EntryNumber) -> &VersionSlot {
        touch();
        &self.0[number.index()]
    }

    fn at_mut(&mut self, number: EntryNumber) -> &mut VersionSlot {
        touch();
        &mut self.0[number.index()]
    }

    /// Writes a version, with no links.
    pub(super) fn store(&mut self, number: EntryNumber, version: &Version) {
        let Version { fingerprint, entry, superseded_by } = version;
        let small = u64::from(entry.location.record_bytes)
            | u64::from(fingerprint.shard) << 32
            | (entry.kind as u64) << 48;
        *self.at_mut(number) = [
            fingerprint.position,
            entry.seq.0,
            superseded_by.0,
            entry.location.address.0,
            0,
            small,
        ];
    }

    /// The version of an entry; `None` if it is free. It must have been in use before.
    pub(super) fn load(&self, number: EntryNumber) -> Option<Version> {
        let [position, seq, superseded_by, address, _, small] = *self.at(number);
        (seq != 0).then_some(Version {
            fingerprint: Fingerprint { shard: (small >> 32) as u16, position },
            entry: Entry {
                seq: Seq(seq),
                location: Location { address: LogAddress(address), record_bytes: small as u32 },
                kind: EntryKind::from_bits((small >> 48) as u8),
            },
            superseded_by: Seq(superseded_by),
        })
    }

    /// Marks an entry free and links it to the next free one.
    pub(super) fn clear(&mut self, number: EntryNumber, next_free: Option<EntryNumber>) {
        *self.at_mut(number) = [0, 0, 0, 0, u64::from(EntryNumber::word(next_free)), 0];
    }

    pub(super) fn set_location(&mut self, number: EntryNumber, location: Location) {
        let words = self.at_mut(number);
        words[3] = location.address.0;
        words[5] = words[5] >> 32 << 32 | u64::from(location.record_bytes);
    }

    pub(super) fn chain(&self, number: EntryNumber) -> Option<EntryNumber> {
        EntryNumber::new(self.at(number)[4] as u32)
    }

    pub(super) fn set_chain(&mut self, number: EntryNumber, next: Option<EntryNumber>) {
        let word = &mut self.at_mut(number)[4];
        *word = *word >> 32 << 32 | u64::from(EntryNumber::word(next));
    }

    /// The next entry on the same hook. A hook's list is a circle, so there always is one.
    pub(super) fn beside(&self, number: EntryNumber) -> EntryNumber {
        EntryNumber::new((self.at(number)[4] >> 32) as u32).expect("a hook's list is a circle")
    }

    pub(super) fn set_beside(&mut self, number: EntryNumber, next: EntryNumber) {
        let word = &mut self.at_mut(number)[4];
        *word = *word & 0xffff_ffff | u64::from(next.get()) << 32;
    }
}
