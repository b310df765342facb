//! Which crash images of a session were checked already.
//!
//! An image is the set of atoms that took effect: its key is the XOR of their hashes, so that "pending and all
//! there" before a flush and "durable" after it are the same image.

use super::fate::Fate;
use super::oplog::Atom;
use super::rng::mix;

/// An open-addressing set of 64-bit keys, and the key of what is durable.
#[derive(Debug, Default)]
pub struct Seen {
    slots: Vec<u64>,
    count: usize,
    durable: u64,
}

impl Seen {
    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.slots.len() > 1 << 12 {
            self.slots.truncate(1 << 12);
        }
        self.slots.fill(0);
        self.count = 0;
        self.durable = 0;
    }

    /// The hash of one atom's effect.
    #[must_use]
    pub fn effect(atom: &Atom, fate: Fate) -> u64 {
        let place = u64::from(atom.offset) << 32 | u64::from(atom.op) << 8;
        match fate {
            Fate::Absent => 0,
            Fate::Full => mix(mix(place)),
            Fate::Prefix(x) => mix(mix(place | 1).wrapping_add(x.into())),
            Fate::Suffix(x) => mix(mix(place | 2).wrapping_add(x.into())),
            Fate::Mix(x) => mix(mix(place | 3).wrapping_add(x.into())),
            Fate::Garbage(x) => mix(mix(place | 4).wrapping_add(x.into())),
            Fate::Unreadable(x) => mix(mix(place | 5).wrapping_add(x.into())),
            Fate::Weak => mix(mix(place | 6)),
            Fate::Unstable => mix(mix(place | 7)),
        }
    }

    /// An atom is durable now.
    pub fn applied(&mut self, atom: &Atom) {
        self.durable ^= Self::effect(atom, Fate::Full);
    }

    /// The key of the durable atoms.
    #[must_use]
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// Adds a key; false if it was there.
    pub fn insert(&mut self, key: u64) -> bool {
        let key = key.max(1);
        if self.slots.len() < 2 * (self.count + 1) {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut place = mix(key) as usize & mask;
        // Ends: at least half of the slots are empty.
        while self.slots[place] != 0 {
            if self.slots[place] == key {
                return false;
            }
            place = (place + 1) & mask;
        }
        self.slots[place] = key;
        self.count += 1;
        true
    }

    fn grow(&mut self) {
        let larger = (self.slots.len() * 2).max(1 << 6);
        let old = std::mem::replace(&mut self.slots, vec![0; larger]);
        self.count = 0;
        for key in old {
            if key != 0 {
                self.insert(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_key_is_new_once() {
        let mut seen = Seen::default();
        assert!((1..5000).all(|key| seen.insert(key)));
        assert!((1..5000).all(|key| !seen.insert(key)));
        seen.clear();
        assert!(seen.insert(17));
    }
}
