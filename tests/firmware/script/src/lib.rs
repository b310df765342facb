//! What the firmware writes, as a function of a counter: settings that are overwritten, a log of
//! which the oldest records are deleted, settings that are deleted, batches.
//!
//! State `n` is what the store holds after the first `n` operations, so everything can be derived
//! from `n` alone: the firmware finds out at boot which state it holds, and the harness, which
//! shares this crate, checks that it is one it may be.
//!
//! ```text
//! n % 8   0..=3   put a setting
//!         4, 5    batch: append a log record, delete the one 48 before it
//!         6       batch: three settings
//!         7       delete a setting
//! ```
#![no_std]

#[cfg(test)]
extern crate std;

use core::fmt::{self, Write};

/// Settings: keys that are overwritten.
pub const SETTINGS: u32 = 24;
/// Log records that are kept.
pub const LOG_RECORDS: u32 = 48;
/// Longest value.
pub const VALUE_BYTES_MAX: usize = 700;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 16;
/// Most keys at once.
pub const KEYS_MAX: u32 = SETTINGS + LOG_RECORDS;

/// How many operations were made: the name of a state.
pub type Count = u32;

/// A key of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// One of [`SETTINGS`].
    Setting(u32),
    /// A log record, counted from the first one ever.
    Record(u32),
}

/// A name or a value, in place.
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Key {
    /// Its bytes in the store.
    #[must_use]
    pub fn name(self) -> Text<KEY_BYTES_MAX> {
        let mut text = Text::new();
        let done = match self {
            Self::Setting(index) => write!(text, "set/{index:02}"),
            Self::Record(index) => write!(text, "log/{index:08}"),
        };
        debug_assert!(done.is_ok(), "names are shorter than KEY_BYTES_MAX");
        text
    }

    /// The key of this name.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (kind, digits) = name.split_at_checked(4)?;
        let index = core::str::from_utf8(digits).ok()?.parse().ok()?;
        match kind {
            b"set/" if index < SETTINGS => Some(Self::Setting(index)),
            b"log/" => Some(Self::Record(index)),
            _ => None,
        }
    }

    fn salt(self) -> u32 {
        match self {
            Self::Setting(index) => index,
            Self::Record(index) => index | 1 << 31,
        }
    }
}

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One put.
    Put(Key),
    /// One delete.
    Delete(Key),
    /// A batch of puts.
    PutAll([Key; 3]),
    /// A batch: a log record, and the delete of the one that is then too old.
    Append {
        /// The record that is put.
        record: Key,
        /// The record that is deleted.
        outdated: Option<Key>,
    },
}

/// A well-mixed number (the finalizer of MurmurHash3): seeds must not change their meaning with a
/// dependency.
const fn mix(mut number: u32) -> u32 {
    number ^= number >> 16;
    number = number.wrapping_mul(0x85EB_CA6B);
    number ^= number >> 13;
    number = number.wrapping_mul(0xC2B2_AE35);
    number ^ number >> 16
}

/// Log records that the first `count` operations append.
const fn appended(count: Count) -> u32 {
    let (rounds, rest) = (count / 8, count % 8);
    rounds * 2
        + if rest > 5 {
            2
        } else if rest > 4 {
            1
        } else {
            0
        }
}

/// The state that appends this record.
const fn appends(record: u32) -> Count {
    record / 2 * 8 + 5 + record % 2
}

/// The operation that leads from the state before `count` to `count`, which is at least 1.
#[must_use]
pub fn operation(count: Count) -> Operation {
    let index = count - 1;
    let random = mix(index);
    match index % 8 {
        4 | 5 => {
            let record = appended(index);
            let outdated = record.checked_sub(LOG_RECORDS).map(Key::Record);
            Operation::Append { record: Key::Record(record), outdated }
        }
        6 => {
            let third = SETTINGS / 3;
            Operation::PutAll(
                [0, 1, 2]
                    .map(|part: u32| Key::Setting(part * third + (random >> (8 * part)) % third)),
            )
        }
        7 => Operation::Delete(Key::Setting(random % SETTINGS)),
        _ => Operation::Put(Key::Setting(random % SETTINGS)),
    }
}

/// The value that the operation leading to `count` gives to `key`: its state in digits, then
/// letters. One in sixteen is long.
#[must_use]
pub fn value(key: Key, count: Count) -> Text<VALUE_BYTES_MAX> {
    let mut text = Text::new();
    let done = write!(text, "{count:08} ");
    debug_assert!(done.is_ok(), "ten bytes fit");
    let mut random = mix(count ^ mix(key.salt()));
    let len = match random % 16 {
        0 => 300 + (random >> 8) as usize % 400,
        _ => 9 + (random >> 8) as usize % 56,
    };
    for byte in &mut text.bytes[text.len..len] {
        random = mix(random.wrapping_add(0x9E37_79B9));
        *byte = b'a' + (random % 26) as u8;
    }
    text.len = len;
    text
}

/// The state that wrote this value of `key`, if it is a value of that key at all: every byte is
/// checked.
#[must_use]
pub fn written_by(key: Key, bytes: &[u8]) -> Option<Count> {
    let count = core::str::from_utf8(bytes.get(..8)?).ok()?.parse().ok()?;
    (value(key, count).as_bytes() == bytes).then_some(count)
}

/// A state: which operation wrote each key. 0: the key is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of how many operations.
    pub count: Count,
    settings: [Count; SETTINGS as usize],
}

impl Default for State {
    fn default() -> Self {
        Self { count: 0, settings: [0; SETTINGS as usize] }
    }
}

impl State {
    /// The next state.
    pub fn advance(&mut self) {
        self.count += 1;
        match operation(self.count) {
            Operation::Put(key) => self.put(key),
            Operation::PutAll(keys) => {
                for key in keys {
                    self.put(key);
                }
            }
            Operation::Delete(Key::Setting(index)) => self.settings[index as usize] = 0,
            Operation::Delete(Key::Record(_)) | Operation::Append { .. } => {}
        }
    }

    fn put(&mut self, key: Key) {
        if let Key::Setting(index) = key {
            self.settings[index as usize] = self.count;
        }
    }

    /// The state `count`.
    #[must_use]
    pub fn at(count: Count) -> Self {
        let mut state = Self::default();
        while state.count < count {
            state.advance();
        }
        state
    }

    /// Which operation wrote this key; `None` if the key is not there.
    #[must_use]
    pub fn writer(&self, key: Key) -> Option<Count> {
        match key {
            Key::Setting(index) => {
                self.settings.get(index as usize).copied().filter(|count| *count > 0)
            }
            Key::Record(index) => self.records().contains(&index).then(|| appends(index)),
        }
    }

    fn records(&self) -> core::ops::Range<u32> {
        let end = appended(self.count);
        end.saturating_sub(LOG_RECORDS)..end
    }

    /// The keys that are there.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let set = (0..SETTINGS).map(Key::Setting).filter(|key| self.writer(*key).is_some());
        set.chain(self.records().map(Key::Record))
    }
}

/// What was found in a store, to be told which state it is.
#[derive(Clone, Debug)]
pub struct Found {
    settings: [Count; SETTINGS as usize],
    records: u32,
    record_first: u32,
    record_last: u32,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            settings: [0; SETTINGS as usize],
            records: 0,
            record_first: u32::MAX,
            record_last: 0,
        }
    }
}

/// Why what was found is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// This is no key of the firmware, or no value of its key.
    Content,
    /// No state holds all of it.
    NoState,
}

impl Found {
    /// Adds an entry. Says which operation wrote it.
    ///
    /// # Errors
    /// The entry is none of the firmware's.
    pub fn add(&mut self, name: &[u8], bytes: &[u8]) -> Result<Count, Wrong> {
        let key = Key::parse(name).ok_or(Wrong::Content)?;
        let count = written_by(key, bytes).ok_or(Wrong::Content)?;
        match key {
            Key::Setting(index) => self.settings[index as usize] = count,
            Key::Record(index) if appends(index) == count => {
                self.records += 1;
                self.record_first = self.record_first.min(index);
                self.record_last = self.record_last.max(index);
            }
            Key::Record(_) => return Err(Wrong::Content),
        }
        Ok(count)
    }

    fn is(&self, state: &State) -> bool {
        let records = state.records();
        let same_records = match self.records {
            0 => records.is_empty(),
            count => {
                records.len() as u32 == count
                    && records.start == self.record_first
                    && records.end == self.record_last + 1
            }
        };
        same_records && self.settings == state.settings
    }

    /// The first state from `least` on that holds exactly this.
    ///
    /// # Errors
    /// There is none.
    pub fn state(&self, least: Count) -> Result<State, Wrong> {
        let newest = self.settings.iter().copied().max().unwrap_or(0);
        let newest = if self.records > 0 { newest.max(appends(self.record_last)) } else { newest };
        let mut state = State::default();
        // Each row of eight operations appends records, so what is behind the newest writer is at
        // most the rest of a row.
        while state.count <= newest.max(least) + 8 {
            if state.count >= least && self.is(&state) {
                return Ok(state);
            }
            state.advance();
        }
        Err(Wrong::NoState)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn found(state: &State) -> Found {
        let mut found = Found::default();
        for key in state.keys() {
            let count = state.writer(key).expect("it is there");
            assert_eq!(found.add(key.name().as_bytes(), value(key, count).as_bytes()), Ok(count));
        }
        found
    }

    #[test]
    fn every_state_is_told_from_what_it_holds() {
        for count in 0..600 {
            let state = State::at(count);
            let told = found(&state).state(count).expect("it is a state");
            assert_eq!(told, state);
            // A delete of a key that was not there leaves no trace; nothing else looks like an
            // older state.
            let least = found(&state).state(0).expect("it is a state");
            assert!(least.settings == state.settings && count - least.count <= 1, "state {count}");
        }
    }

    #[test]
    fn an_older_value_of_one_key_is_no_state() {
        let mut state = State::at(400);
        let older = State::at(300);
        state.settings[3] = older.settings[3].max(1);
        state.settings[4] = older.settings[4].max(1);
        assert_eq!(found(&state).state(390), Err(Wrong::NoState));
    }

    #[test]
    fn a_missing_record_is_no_state() {
        let state = State::at(400);
        let mut found = Found::default();
        for key in state.keys().filter(|key| *key != Key::Record(70)) {
            let count = state.writer(key).expect("it is there");
            assert!(found.add(key.name().as_bytes(), value(key, count).as_bytes()).is_ok());
        }
        assert_eq!(found.state(0), Err(Wrong::NoState));
    }

    #[test]
    fn a_changed_byte_is_no_value() {
        let key = Key::Setting(5);
        let mut bytes = Vec::from(value(key, 77).as_bytes());
        assert_eq!(written_by(key, &bytes), Some(77));
        bytes[20] ^= 1;
        assert_eq!(written_by(key, &bytes), None);
    }
}
