//! Keys to fingerprints: SipHash-1-3 with 128 bits out, keyed by the store's secret.
//!
//! Without the secret nobody can choose keys that collide or crowd one shard; the keydir's
//! arithmetic (see `shape`) rests on that. Hints on the medium hold fingerprints, so this function
//! is part of the format: a test pins it.

use core::hash::Hasher;

use siphasher::sip128::{Hash128, Hasher128, SipHasher13};

use crate::types::Fingerprint;

/// The fingerprint of a whole key.
#[inline]
#[must_use]
pub fn fingerprint(secret: &[u8; 16], key: &[u8]) -> Fingerprint {
    if cfg!(target_pointer_width = "64") {
        return from_hash(SipHasher13::new_with_key(secret).hash(key));
    }
    // The same by the functions that there are anyway: small machines have no room for it twice.
    let mut hasher = FingerprintHasher::new(secret);
    hasher.write(key);
    hasher.finish()
}

/// The fingerprint of a key that arrives in pieces: where it is cut does not matter.
#[derive(Clone, Debug)]
pub struct FingerprintHasher(SipHasher13);

impl FingerprintHasher {
    /// A hasher that has seen no bytes yet.
    #[must_use]
    pub fn new(secret: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(secret))
    }

    /// Takes the next bytes of the key.
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The fingerprint of all bytes so far.
    #[inline(never)]
    #[must_use]
    pub fn finish(&self) -> Fingerprint {
        from_hash(self.0.finish128())
    }
}

#[inline]
fn from_hash(hash: Hash128) -> Fingerprint {
    Fingerprint { shard: hash.h2 as u16, position: hash.h1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn pieces_give_the_fingerprint_of_the_whole() {
        let key: [u8; 67] = core::array::from_fn(|index| (index * 7) as u8);
        for length in 0..key.len() {
            let whole = fingerprint(&SECRET, &key[..length]);
            for first in 0..=length {
                for second in [first, (first + 1).min(length), (first + length) / 2, length] {
                    let mut hasher = FingerprintHasher::new(&SECRET);
                    hasher.write(&key[..first]);
                    hasher.write(&key[first..second]);
                    hasher.write(&key[second..length]);
                    assert_eq!(hasher.finish(), whole);
                }
            }
        }
    }

    #[test]
    fn the_secret_changes_the_fingerprint() {
        let other = *b"1123456789abcdef";
        assert_ne!(fingerprint(&SECRET, b"key"), fingerprint(&other, b"key"));
    }

    #[test]
    fn the_fingerprint_is_the_one_that_is_on_media() {
        let known = Fingerprint { shard: 58911, position: 5_132_337_649_865_818_071 };
        assert_eq!(fingerprint(&SECRET, b"a key of some length"), known);
    }
}
