//! Life with rot: images with one damaged byte, opened to go on behind it (`OnDamage::Degrade`),
//! salvaged, and scrubbed.
//!
//! The oracle knows every version that each key ever had. Degraded: the newest one or `Corrupted`,
//! never an older one, never "missing"; a write heals its key, for later sessions too. Salvaged:
//! some version, and whatever is not the newest one goes with a damaged place that is named.
//! Scrubbed: a flipped byte of a whole group is always found.

use emberkv_core::{Access, Config, Corruption, Cursor, Damage, Error, OnDamage, Pass, Store};

use super::device::SimDevice;
use super::ember;
use super::profile::{PROFILES, Setup};

/// Keys of the images.
pub const KEYS: usize = 12;

/// One image, and what is true of it.
pub struct Image {
    /// Which one, in messages.
    pub name: String,
    setup: Setup,
    medium: SimDevice,
    /// All values of each key, the newest last; `None` where it was deleted.
    versions: Vec<Vec<Option<Vec<u8>>>>,
    /// Segments that merges gave back while it was made.
    pub merged: u64,
}

/// What damaged images answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Images in which nothing was amiss.
    pub unharmed: u64,
    /// Opens that failed with `Corrupted`.
    pub refused: u64,
    /// Of those, opens that went on behind the damage when they were asked to.
    pub degraded: u64,
    /// Keys that answered `Corrupted`.
    pub detected: u64,
    /// Keys that were right although others of their image were not.
    pub right: u64,
    /// Keys of which a salvage showed no value or an older one.
    pub lost: u64,
    /// Of those, keys that an open by hints still shows.
    pub by_hints: u64,
    /// Images with such keys.
    pub lossy: u64,
}

fn key_of(index: usize) -> [u8; 3] {
    [b'k', b'0' + (index / 10) as u8, b'0' + (index % 10) as u8]
}

fn value_of(key: usize, version: usize) -> Vec<u8> {
    let bytes = match (key, version % 5) {
        // Longer than a record: in chunks.
        (3, _) => 700 + version,
        (_, 0) => 0,
        (_, shape) => 17 + 23 * shape + key,
    };
    (0..bytes).map(|index| (index * 7 + key * 31 + version * 101) as u8).collect()
}

fn setup_of(profile: usize, hints: bool) -> Setup {
    let profile = PROFILES[profile];
    let unit = profile.write_unit.max(profile.tear_unit);
    Setup {
        profile,
        segment_bytes: if unit > 64 { 16384 } else { 4096 },
        segments: 7,
        page_bytes: unit.max(256),
        frames: 64,
        hints,
        bug: None,
    }
}

impl Image {
    /// The image of a profile after so many rounds of puts, deletes and batches; closed cleanly.
    ///
    /// # Panics
    /// Where the store does not take them.
    #[must_use]
    pub fn new(profile: usize, hints: bool, rounds: usize) -> Self {
        Self::with_bug(profile, hints, rounds, None)
    }

    /// The same by a store with a seeded bug, which it has in its later life, too.
    ///
    /// # Panics
    /// As for [`new`](Self::new).
    #[must_use]
    pub fn with_bug(profile: usize, hints: bool, rounds: usize, bug: Option<&'static str>) -> Self {
        let setup = Setup { bug, ..setup_of(profile, hints) };
        let profile = setup.profile;
        let name = format!("{} hints {hints} rounds {rounds}", profile.name);
        let mut medium = SimDevice::default();
        medium.reset(&setup);
        let mut image = Self { name, setup, medium, versions: vec![vec![None]; KEYS], merged: 0 };
        image.fill(rounds);
        image
    }

    fn fill(&mut self, rounds: usize) {
        let config = ember::config(&self.setup);
        let mut arena = self.arena();
        let mut store = Store::format(&mut self.medium, &mut arena, &config).expect("formatted");
        for round in 0..rounds {
            for key in 0..KEYS {
                let versions = &mut self.versions[key];
                if key > 5 && round * (KEYS + 2) / rounds > key {
                    // Of all ages: the newest versions of these lie in older segments, or were
                    // copied by merges.
                    continue;
                }
                if (key + round) % 7 == 6 {
                    store.delete(&key_of(key)).expect("deleted");
                    versions.push(None);
                } else if key != 3 || round % 4 == 0 {
                    let value = value_of(key, round);
                    store.put(&key_of(key), &value).expect("put");
                    versions.push(Some(value));
                }
                if (key + round) % 2 == 0 {
                    store.sync().expect("synced");
                }
            }
            let mut batch = store.batch().expect("writable");
            for key in [1, 5] {
                let value = value_of(key, round + 1000);
                batch.put(&key_of(key), &value).expect("staged");
                self.versions[key].push(Some(value));
            }
            batch.commit().expect("committed");
        }
        self.merged = store.stats().segments_merged;
        store.close().expect("closed");
    }

    fn arena(&self) -> Vec<u8> {
        vec![0; emberkv_core::required_bytes(&ember::config(&self.setup), &self.setup.geometry())]
    }

    /// Bytes of the medium.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.medium.bytes.len() as u32
    }

    fn newest(&self, key: usize) -> Option<&[u8]> {
        self.versions[key].last().and_then(Option::as_deref)
    }

    /// Opens the image with one byte flipped, in all ways, and adds up what came of it.
    ///
    /// # Errors
    /// The first answer that is wrong.
    pub fn flip(&self, bench: &mut DecayBench, at: u32, counts: &mut Counts) -> Result<(), String> {
        let mask = 1 << (at % 8);
        self.flip_mask(bench, (at, mask), counts)
            .map_err(|what| format!("{}: byte {at} xor {mask:#x}: {what}", self.name))
    }

    /// The same with a mask of one's own.
    ///
    /// # Errors
    /// As for [`flip`](Self::flip).
    pub fn flip_mask(
        &self,
        bench: &mut DecayBench,
        (at, mask): (u32, u8),
        counts: &mut Counts,
    ) -> Result<(), String> {
        self.load(bench, at, mask);
        let refused = self.answers(bench, OnDamage::Refuse)?;
        self.load(bench, at, mask);
        let degraded = self.answers(bench, OnDamage::Degrade)?;
        if let (Some(refused), Some(degraded)) = (&refused, &degraded)
            && refused != degraded
        {
            return Err("both opens succeed, with different answers".into());
        }
        if refused.is_some() && degraded.is_none() {
            return Err("only the degraded open fails".into());
        }
        counts.refused += u64::from(refused.is_none());
        counts.degraded += u64::from(refused.is_none() && degraded.is_some());
        if let Some(known) = &degraded {
            let right = known.iter().filter(|known| **known == Known::Right).count() as u64;
            counts.right += right;
            counts.detected += KEYS as u64 - right;
            // Enough to run through the device, now and then.
            let churn = if counts.detected.is_multiple_of(2) { 300 } else { 0 };
            self.heal(bench, known, churn)?;
        }
        self.load(bench, at, mask);
        self.salvage(bench, degraded.as_deref(), counts)
    }

    fn load(&self, bench: &mut DecayBench, at: u32, mask: u8) {
        bench.medium.copy_medium(&self.medium, &self.setup);
        bench.medium.power_on();
        bench.medium.bytes[at as usize] ^= mask;
        bench.medium.reset_counters();
        bench.arena.resize(self.arena().len(), 0);
    }

    fn config(&self, damage: OnDamage) -> Config {
        Config { damage, ..ember::config(&self.setup) }
    }

    /// Opens and reads everything; `None` where open refuses.
    fn answers(
        &self,
        bench: &mut DecayBench,
        damage: OnDamage,
    ) -> Result<Option<Vec<Known>>, String> {
        let config = self.config(damage);
        let mut store = match Store::open(&mut bench.medium, &mut bench.arena, &config) {
            Ok(store) => store,
            Err(Error::Corrupted(_)) => return Ok(None),
            Err(error) => return Err(format!("open ({damage:?}) answered {error}")),
        };
        let mut known = Vec::new();
        for key in 0..KEYS {
            known.push(match store.get(&key_of(key), &mut bench.buffer) {
                Ok(value) if value == self.newest(key) => Known::Right,
                Ok(_) => return Err(format!("({damage:?}) key {key} is silently wrong")),
                Err(Error::Corrupted(_)) => Known::Doubtful,
                Err(error) => return Err(format!("get answered {error}")),
            });
        }
        let absent = store.get(b"never", &mut bench.buffer);
        let in_doubt = store.stats().doubt.0 > 0;
        if absent != Ok(None) && !(in_doubt && matches!(absent, Err(Error::Corrupted(_)))) {
            return Err(format!("a key that never was answered {absent:?}"));
        }
        let mut cursor = Cursor::default();
        let mut shown = 0;
        let complete = loop {
            match store.next(&mut cursor, &mut bench.buffer) {
                Ok(Some((name, value))) => {
                    let key = (0..KEYS).find(|&key| key_of(key) == name).ok_or("a strange key")?;
                    if self.newest(key) != Some(value) {
                        return Err(format!("iteration shows key {key} wrong"));
                    }
                    shown += 1;
                }
                Ok(None) => break true,
                Err(Error::Corrupted(_)) => break false,
                Err(error) => return Err(format!("iteration answered {error}")),
            }
        };
        let all = (0..KEYS).filter(|&key| self.newest(key).is_some()).count();
        if complete && (shown != all || in_doubt) {
            return Err(format!("iteration shows {shown} of {all} keys, and no error"));
        }
        Ok(Some(known))
    }

    /// Writes every doubtful key again: a put or a delete settles it, now and for later sessions.
    fn heal(&self, bench: &mut DecayBench, known: &[Known], churn: usize) -> Result<(), String> {
        let all_doubtful = (0..KEYS).filter(|&key| known[key] == Known::Doubtful);
        // Some stay as they are, and must not be forgotten by what follows.
        let doubtful: Vec<usize> = all_doubtful.filter(|key| *key < 6 || key % 2 == 0).collect();
        if !known.contains(&Known::Doubtful) {
            return Ok(());
        }
        let mut truth: Vec<Option<Vec<u8>>> =
            (0..KEYS).map(|key| self.newest(key).map(<[u8]>::to_vec)).collect();
        let config = self.config(OnDamage::Degrade);
        let failed = |what: &str, error: Error| format!("{what} answered {error}");
        let mut store = Store::open(&mut bench.medium, &mut bench.arena, &config)
            .map_err(|error| failed("a second open", error))?;
        for &key in &doubtful {
            let healed = if key % 4 == 2 {
                store.delete(&key_of(key)).map(|_| truth[key] = None)
            } else {
                let value = value_of(key, 9000);
                store.put(&key_of(key), &value).map(|()| truth[key] = Some(value))
            };
            match healed {
                Ok(()) => {}
                // A kept segment is lost room: a full store says so.
                Err(Error::Full) => return Ok(()),
                Err(error) => return Err(failed("a healing write", error)),
            }
            let now = store.get(&key_of(key), &mut bench.buffer);
            if now != Ok(truth[key].as_deref()) {
                return Err(format!("key {key} is not healed: {now:?}"));
            }
        }
        // Merges may come: they take no witness away.
        let settled: Vec<usize> = (0..KEYS)
            .filter(|&key| known[key] == Known::Right || doubtful.contains(&key))
            .collect();
        for version in 0..churn {
            let key = settled[version % settled.len()];
            let value = value_of(key, 5000 + version);
            match store.put(&key_of(key), &value).and_then(|()| store.sync()) {
                Ok(()) => truth[key] = Some(value),
                Err(Error::Full) => break,
                Err(error) => return Err(failed("a put", error)),
            }
        }
        store.merge_step(1 << 20).map_err(|error| failed("a merge", error))?;
        store.close().map_err(|error| failed("close", error))?;
        let written = if churn > 0 { &settled } else { &doubtful };
        for damage in [OnDamage::Degrade, OnDamage::Refuse] {
            let config = self.config(damage);
            let mut store = match Store::open(&mut bench.medium, &mut bench.arena, &config) {
                Ok(store) => store,
                Err(Error::Corrupted(_)) if damage == OnDamage::Refuse => continue,
                Err(error) => return Err(failed("open after healing", error)),
            };
            for (key, truth) in truth.iter().enumerate() {
                match store.get(&key_of(key), &mut bench.buffer) {
                    Ok(value) if value == truth.as_deref() => {}
                    Err(Error::Corrupted(_)) if !written.contains(&key) => {}
                    answer => {
                        return Err(format!("({damage:?}) healed, then key {key}: {answer:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn salvage(
        &self,
        bench: &mut DecayBench,
        degraded: Option<&[Known]>,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let before = bench.medium.bytes.clone();
        let config = Config { access: Access::Salvage, ..ember::config(&self.setup) };
        let mut store = Store::open(&mut bench.medium, &mut bench.arena, &config)
            .map_err(|error| format!("salvage answered {error}"))?;
        let mut lost = 0;
        for key in 0..KEYS {
            let value = match store.get(&key_of(key), &mut bench.buffer) {
                Ok(value) => value,
                Err(Error::Corrupted(_)) => {
                    lost += 1;
                    continue;
                }
                Err(error) => return Err(format!("a salvaged get answered {error}")),
            };
            if !self.versions[key].iter().any(|version| version.as_deref() == value) {
                return Err(format!("salvage shows key {key} with a value that it never had"));
            }
            if value != self.newest(key) {
                lost += 1;
                // Hints tell of a tombstone that is never read, and of the sequence of a copy whose
                // own is damaged: a scan does not.
                counts.by_hints +=
                    u64::from(degraded.is_some_and(|known| known[key] == Known::Right));
                if !self.setup.hints && degraded.is_some_and(|known| known[key] == Known::Right) {
                    return Err(format!("salvage loses key {key}, which can be read"));
                }
            }
        }
        let mut places = Vec::new();
        let count = store.damages(|place| places.push(place));
        let summary = store.check(|place| places.push(place)).map_err(|error| error.to_string())?;
        if lost > 0 && count == 0 && summary.damages == 0 {
            return Err(format!("salvage loses {lost} keys and names no place"));
        }
        drop(store);
        if bench.medium.bytes != before {
            return Err("salvage wrote".into());
        }
        counts.lost += lost;
        counts.lossy += u64::from(lost > 0);
        counts.unharmed += u64::from(lost == 0 && places.is_empty());
        Ok(())
    }

    /// Flips each byte of the medium under an open store, and scrubs: how many bytes the scrub
    /// missed nothing of, and how many bytes the groups of the store have.
    ///
    /// # Errors
    /// A scrub that fails, or sees damage where there is none.
    pub fn scrubbed(&self, bench: &mut DecayBench) -> Result<(u64, u64), String> {
        self.load(bench, 0, 0);
        let config = ember::config(&self.setup);
        let mut store = Store::open(&mut bench.medium, &mut bench.arena, &config)
            .map_err(|error| error.to_string())?;
        if let Some(place) = scrub(&mut store, 700)?.first() {
            return Err(format!("a healthy store: {place}"));
        }
        let summary = store.check(|_| {}).map_err(|error| error.to_string())?;
        let mut found = 0;
        for at in 0..self.medium.bytes.len() {
            store.device_mut().bytes[at] ^= 1 << (at % 8);
            store.device_mut().reset_counters();
            let places = scrub(&mut store, 3000)?;
            found += u64::from(places.iter().any(|place| place.what == Damage::Group));
            store.device_mut().bytes[at] ^= 1 << (at % 8);
        }
        if let Some(place) = scrub(&mut store, 1 << 20)?.first() {
            return Err(format!("a healed medium: {place}"));
        }
        Ok((found, summary.bytes))
    }
}

/// Scrubs in small steps between writes that keep merges busy.
///
/// # Errors
/// A write or a step that fails, and damage that is none.
pub fn scrub_under_load(profile: usize, hints: bool) -> Result<(), String> {
    let setup = setup_of(profile, hints);
    let mut medium = SimDevice::default();
    medium.reset(&setup);
    let config = ember::config(&setup);
    let mut arena = vec![0; emberkv_core::required_bytes(&config, &setup.geometry())];
    let mut store =
        Store::format(&mut medium, &mut arena, &config).map_err(|error| error.to_string())?;
    for round in 0..400 {
        for key in 0..KEYS {
            let put = store.put(&key_of(key), &value_of(key, round));
            put.map_err(|error| format!("put: {error}"))?;
            let budget = 1 << (round % 11);
            let step = store.scrub_step(budget).map_err(|error| format!("a step: {error}"))?;
            if let Some(place) = step.damage {
                return Err(format!("{} round {round}: {place}", setup.profile.name));
            }
        }
        if round % 3 == 0 {
            store.sync().map_err(|error| format!("sync: {error}"))?;
        }
        store.device_mut().reset_counters();
    }
    let stats = store.stats();
    if stats.scrub_passes < 3 || stats.segments_merged < 10 || stats.scrub_damages > 0 {
        return Err(format!("{stats:?}"));
    }
    Ok(())
}

/// One pass of a scrub, in steps.
fn scrub(store: &mut Store<'_, &mut SimDevice>, budget: u64) -> Result<Vec<Corruption>, String> {
    let mut places = Vec::new();
    for _ in 0..10_000 {
        let step = store.scrub_step(budget).map_err(|error| format!("a scrub: {error}"))?;
        places.extend(step.damage);
        if step.pass == Pass::Complete {
            return Ok(places);
        }
    }
    Err("a scrub does not end".into())
}

/// What an open store knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Right,
    Doubtful,
}

/// Memory that one image after the other is opened in.
pub struct DecayBench {
    medium: SimDevice,
    arena: Vec<u8>,
    buffer: Vec<u8>,
}

impl Default for DecayBench {
    fn default() -> Self {
        Self { medium: SimDevice::default(), arena: Vec::new(), buffer: vec![0; 65536] }
    }
}
