//! What an open could not read and went on behind, and which answers that puts in doubt.
//!
//! A lost record's key is not known. So a key without an entry, or whose entry is older than the
//! newest record that a damaged place may have held, answers [`Error::Corrupted`] with that place:
//! neither "not there" nor the older value is known to be true. A newer write of the key settles
//! it. Iterations show the keys that are certain, and end with the same error instead of the end.
//! Nothing here grows: of many places the first few are remembered, the last one standing for all
//! further ones.

use heapless::Vec;

use super::core_state::{Engine, Health};
use crate::error::{Corruption, Error};
use crate::keydir::Entry;
use crate::parts::SALVAGE;
use crate::types::Seq;

/// Damaged places that are remembered.
const PLACES_MAX: usize = if SALVAGE { 8 } else { 1 };

/// A damaged place.
#[derive(Clone, Copy, Debug)]
struct Damaged {
    place: Corruption,
    /// Every record that was lost there is older than this; 0 where nothing was lost, or nobody
    /// asks.
    below: Seq,
}

/// The damaged places that an open met.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    places: Vec<Damaged, PLACES_MAX>,
    count: u64,
    /// The place noted last: recovery may come by twice.
    last: Option<Corruption>,
}

impl Damages {
    /// Remembers a place, once.
    pub(crate) fn note(&mut self, place: Corruption, below: Seq) {
        if let Some(known) = self.places.iter_mut().find(|known| known.place == place) {
            known.below = known.below.max(below);
            return;
        }
        if self.last.replace(place) == Some(place) {
            return;
        }
        self.count += 1;
        if self.places.push(Damaged { place, below }).is_err()
            && let Some(last) = self.places.last_mut()
        {
            last.below = last.below.max(below);
        }
    }

    /// Places met; more than are remembered.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Everything before this sequence is in doubt.
    pub(crate) fn doubt(&self) -> Seq {
        self.places.iter().map(|damaged| damaged.below).max().unwrap_or(Seq(0))
    }

    /// A place that may have held a record newer than `seq`.
    fn newer_than(&self, seq: Seq) -> Option<Corruption> {
        self.places.iter().find(|damaged| damaged.below > seq).map(|damaged| damaged.place)
    }
}

impl Engine<'_> {
    /// Fails where the newest record of a key may be lost; `entry` is what the keydir has of it.
    pub(crate) fn check_certain(&self, entry: Option<&Entry>) -> Result<(), Error> {
        // Recovery itself asks for what there is.
        if !SALVAGE || self.damages.count == 0 || self.health == Health::Opening {
            return Ok(());
        }
        let seq = entry.map_or(Seq(0), |entry| entry.seq);
        self.damages.newer_than(seq).map_or(Ok(()), |place| Err(Error::Corrupted(place)))
    }

    /// Tells each damaged place that this open met and went on behind, at most eight; answers how
    /// many there are.
    pub fn damages(&self, mut report: impl FnMut(Corruption)) -> u64 {
        for damaged in &self.damages.places {
            report(damaged.place);
        }
        self.damages.count
    }
}
