//! A store with a fixed set of keys, each with a value of a fixed size, that are overwritten again and again. Every call
//! is metered: what it consumed of the log, what it moved on the device.

use emberkv_core::{Error, Store};
use emberkv_memory::{MemoryDevice, MemoryError};

use super::aim::{Aim, Aimer};
use super::bound::Call;
use crate::sim::rng::{Rng, mix};
use crate::unallocated::unallocated;

/// How large the values are.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// All alike.
    Of(u32),
    /// From the first to the second, each key its own.
    Between(u32, u32),
}

impl Sizes {
    fn of(self, key: u32) -> u32 {
        match self {
            Self::Of(bytes) => bytes,
            Self::Between(least, most) => {
                least + (mix(u64::from(key)) % u64::from(most - least + 1)) as u32
            }
        }
    }
}

/// Sums over all calls since the last [`Rig::reset`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Bytes of keys and values that users wrote.
    pub user_bytes: u64,
    /// Bytes of the log that were consumed for anything but copies.
    pub appended: u64,
    /// Bytes of copies.
    pub copied: u64,
    /// Bytes written to the device.
    pub written: u64,
    /// Bytes read from it.
    pub read: u64,
}

impl Totals {
    /// Copied and appended bytes for each appended one.
    #[must_use]
    pub fn log_amplification(&self) -> f64 {
        (self.appended + self.copied) as f64 / self.appended.max(1) as f64
    }

    /// Bytes written to the device for each byte of keys and values.
    #[must_use]
    pub fn device_amplification(&self) -> f64 {
        self.written as f64 / self.user_bytes.max(1) as f64
    }
}

/// A store, the sizes of its values, and what was done to it.
#[derive(Debug)]
pub struct Rig<'m> {
    /// The store.
    pub store: Store<'m, MemoryDevice<Vec<u8>>>,
    /// Keys `0..key_count` have a value.
    pub key_count: u32,
    sizes: Sizes,
    value: Vec<u8>,
    rng: Rng,
    round: u32,
    /// The stamp in the newest value of each key.
    stamps: Vec<u32>,
    totals: Totals,
}

/// What can go wrong.
pub type Failure = Error<MemoryError>;

impl<'m> Rig<'m> {
    /// Takes an empty store.
    #[must_use]
    pub fn new(store: Store<'m, MemoryDevice<Vec<u8>>>, sizes: Sizes, seed: u64) -> Self {
        let most = match sizes {
            Sizes::Of(bytes) => bytes,
            Sizes::Between(_, most) => most,
        };
        Self {
            store,
            key_count: 0,
            sizes,
            value: vec![0x5a; most as usize],
            rng: Rng::new(seed),
            round: 0,
            stamps: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// The rig's random numbers.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Puts new keys until their records cost this many percent of what is admitted.
    ///
    /// # Errors
    /// As for a put.
    pub fn fill(&mut self, percent: u64) -> Result<(), Failure> {
        let most = self.store.stats().live_bytes_max / 100 * percent;
        loop {
            // Nothing of the key but its header, sequence, hints and alignment comes on top.
            let cost = u64::from(self.sizes.of(self.key_count)) + 96;
            if self.store.stats().live_cost + cost > most {
                return Ok(());
            }
            self.stamps.push(0);
            match self.put(self.key_count) {
                Ok(_) => self.key_count += 1,
                Err(error) => {
                    self.stamps.pop();
                    return Err(error);
                }
            }
        }
    }

    /// An aim at the keys that are there.
    #[must_use]
    pub fn aimer(&self, aim: Aim) -> Aimer {
        Aimer::new(aim, self.key_count, self.store.stats().segments)
    }

    /// Overwrites the key that is aimed at.
    ///
    /// # Errors
    /// As for a put.
    pub fn overwrite(&mut self, aimer: &mut Aimer) -> Result<Call, Failure> {
        let key = aimer.next(&self.store, &mut self.rng);
        self.put(key)
    }

    /// Writes a key's next value.
    ///
    /// # Errors
    /// As for a put.
    pub fn put(&mut self, key: u32) -> Result<Call, Failure> {
        let bytes = self.stamp(key);
        let value = core::mem::take(&mut self.value);
        let call = self.metered(|store| store.put(&key.to_le_bytes(), &value[..bytes]));
        self.value = value;
        let call = call?;
        self.stamps[key as usize] = self.round;
        self.totals.user_bytes += 4 + bytes as u64;
        Ok(call)
    }

    /// Overwrites several keys in one batch.
    ///
    /// # Errors
    /// As for a put; a key that does not fit any more is left out.
    pub fn overwrite_batch(&mut self, aimer: &mut Aimer, bytes_max: u32) -> Result<Call, Failure> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max {
            let key = aimer.next(&self.store, &mut self.rng);
            bytes += self.sizes.of(key) + 40;
            if !keys.contains(&key) {
                keys.push(key);
            }
            if keys.len() as u32 == self.key_count {
                break;
            }
        }
        let (sizes, round) = (self.sizes, self.round + 1);
        let mut value = core::mem::take(&mut self.value);
        self.round = round;
        let (mut staged, mut user_bytes) = (0, 0);
        let call = self.metered(|store| {
            let mut batch = store.batch()?;
            for &key in &keys {
                let bytes = sizes.of(key) as usize;
                stamp(&mut value[..bytes], round);
                match batch.put(&key.to_le_bytes(), &value[..bytes]) {
                    Err(Error::BatchTooLarge { .. }) => break,
                    result => result?,
                }
                staged += 1;
                user_bytes += 4 + bytes as u64;
            }
            batch.commit().map(|_| ())
        });
        self.value = value;
        let call = call?;
        for &key in &keys[..staged] {
            self.stamps[key as usize] = round;
        }
        self.totals.user_bytes += user_bytes;
        Ok(call)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// As for a sync.
    pub fn sync(&mut self) -> Result<Call, Failure> {
        self.metered(Store::sync)
    }

    /// Idle steps until there is nothing to do. Each is metered as a call.
    ///
    /// # Errors
    /// As for a merge step.
    pub fn settle(&mut self) -> Result<(), Failure> {
        let steps_max = 1_000_000;
        for _ in 0..steps_max {
            let mut more = false;
            self.metered(|store| store.merge_step(64 << 10).map(|answer| more = answer))?;
            if !more {
                return Ok(());
            }
        }
        panic!("idle steps do not come to an end: {:?}", self.store.stats());
    }

    /// What happened since the last [`reset`](Self::reset).
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Sums from zero again.
    pub fn reset(&mut self) {
        self.totals = Totals::default();
    }

    /// Reads every key's value and compares it.
    ///
    /// # Panics
    /// A value is not the newest one.
    pub fn verify(&mut self) {
        let mut buffer = vec![0; self.value.len() + 8];
        for key in 0..self.key_count {
            let bytes = self.sizes.of(key) as usize;
            let stamped = &mut self.value[..bytes];
            stamp(stamped, self.stamps[key as usize]);
            let (store, buffer) = (&mut self.store, &mut buffer);
            let found = unallocated(move || store.get(&key.to_le_bytes(), buffer)).expect("a get");
            assert_eq!(found, Some(&*stamped), "key {key} has another value");
        }
    }

    fn stamp(&mut self, key: u32) -> usize {
        self.round += 1;
        let bytes = self.sizes.of(key) as usize;
        stamp(&mut self.value[..bytes], self.round);
        bytes
    }

    fn metered(
        &mut self,
        call: impl FnOnce(&mut Store<'m, MemoryDevice<Vec<u8>>>) -> Result<(), Failure>,
    ) -> Result<Call, Failure> {
        let (before, device_before) = (self.store.stats(), self.store.device().counters());
        let result = unallocated(|| call(&mut self.store));
        let (after, device) = (self.store.stats(), self.store.device().counters());
        let call = Call {
            appended: after.appended_bytes - before.appended_bytes,
            copied: after.copied_bytes - before.copied_bytes,
            work: after.merge_work - before.merge_work,
            segments: after.segments_merged - before.segments_merged,
            read: device.bytes_read - device_before.bytes_read,
            written: device.bytes_written - device_before.bytes_written,
        };
        self.totals.appended += call.appended;
        self.totals.copied += call.copied;
        self.totals.read += call.read;
        self.totals.written += call.written;
        result.map(|()| call)
    }
}

fn stamp(value: &mut [u8], round: u32) {
    for (byte, stamp) in value.iter_mut().zip(round.to_le_bytes()) {
        *byte = stamp;
    }
}
