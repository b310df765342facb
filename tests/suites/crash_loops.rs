//! Crashes in a row on a store that is as full as it may be: opening must never use room up for good.

#![expect(clippy::print_stdout, reason = "figures are part of a result")]

use emberkv_core::{BlockDevice as _, Config, DeviceErrorKind, Error, Store, required_bytes};
use emberkv_tests::sim::device::SimDevice;
use emberkv_tests::sim::ember::config;
use emberkv_tests::sim::fault::{Fault, FaultKind};
use emberkv_tests::sim::profile::{Setup, profile_named};

const VALUE_BYTES: usize = 120;

/// A device, the store's configuration, and what its keys hold.
struct Loop {
    device: SimDevice,
    config: Config,
    arena: Vec<u8>,
    rounds: Vec<u32>,
}

fn key(index: usize) -> [u8; 4] {
    (index as u32).to_le_bytes()
}

fn value(round: u32) -> [u8; VALUE_BYTES] {
    let mut value = [round as u8; VALUE_BYTES];
    value[..4].copy_from_slice(&round.to_le_bytes());
    value
}

impl Loop {
    /// A store that was filled with keys of one size until a put was refused.
    fn new(profile: &str) -> Self {
        let profile = profile_named(profile).expect("a profile of this name");
        let setup = Setup {
            profile,
            segment_bytes: profile.segment_bytes,
            segments: 16,
            page_bytes: profile.write_unit.max(256),
            frames: 32,
            hints: true,
            bug: None,
        };
        let mut device = SimDevice::default();
        device.reset(&setup);
        let config = config(&setup);
        let mut arena = vec![0; required_bytes(&config, &device.geometry())];
        let mut rounds = Vec::new();
        let mut store = Store::format(&mut device, &mut arena, &config).expect("format");
        loop {
            match store.put(&key(rounds.len()), &value(0)) {
                Ok(()) => rounds.push(0),
                Err(Error::Full) => break,
                Err(error) => panic!("filling: {error}"),
            }
        }
        store.sync().expect("sync");
        let stats = store.stats();
        assert!(stats.live_cost + 400 > stats.live_bytes_max, "{stats:?}");
        drop(store);
        Self { device, config, arena, rounds }
    }

    /// The power fails, and what the device was told is there.
    fn cut_power(&mut self) {
        self.device.fault = None;
        self.device.power_on();
    }

    /// Opens while the device stops answering at one of the first writes and flushes.
    fn crash_in_open(&mut self, turn: u32) {
        self.cut_power();
        let done = self.device.totals;
        let (kind, done) = match turn % 2 {
            0 => (FaultKind::Write, done.writes),
            _ => (FaultKind::Flush, done.flushes),
        };
        let (at, error) = (done + turn / 2 % 3, DeviceErrorKind::Gone);
        self.device.fault = Some(Fault { kind, at, sticky: true, error });
        drop(Store::open(&mut self.device, &mut self.arena, &self.config));
    }

    /// Opens, overwrites one key, syncs, and is cut off.
    fn overwrite(&mut self, round: u32) {
        self.cut_power();
        let index = round as usize * 7 % self.rounds.len();
        let mut store = Store::open(&mut self.device, &mut self.arena, &self.config)
            .unwrap_or_else(|error| panic!("open {round}: {error}"));
        store
            .put(&key(index), &value(round))
            .unwrap_or_else(|error| panic!("overwrite {round}: {error} {:?}", store.stats()));
        store.sync().unwrap_or_else(|error| panic!("sync {round}: {error}"));
        self.rounds[index] = round;
        assert_eq!(store.device().violation, None);
    }

    /// Every key has its newest value, and the room that they take is what it was at the beginning, but for the sequences
    /// that copies carry.
    fn check(&mut self) {
        self.cut_power();
        let mut store =
            Store::open(&mut self.device, &mut self.arena, &self.config).expect("open at the end");
        let mut buffer = [0; 256];
        for (index, &round) in self.rounds.iter().enumerate() {
            let found = store.get(&key(index), &mut buffer).expect("get");
            assert_eq!(found, Some(&value(round)[..]), "key {index}");
        }
        while store.merge_step(u64::MAX).expect("merges") {}
        let stats = store.stats();
        let keys = self.rounds.len() as u64;
        // Records are aligned to 16 bytes at most.
        let record = 12 + 4 + VALUE_BYTES as u64;
        let copy = (record + 8).next_multiple_of(16);
        assert_eq!((stats.keys, stats.entries), (keys, keys));
        // Small stores go without hints.
        let (least, most) = ((record + 8) * keys, (copy + 8 + 26) * keys);
        assert!((least..=most).contains(&stats.live_cost), "{least}..={most} {stats:?}");
        assert_eq!(stats.segments_free + stats.segments_sealed + 1, stats.segments, "{stats:?}");
        drop(store);
        self.cut_power();
        let again = Store::open(&mut self.device, &mut self.arena, &self.config).expect("open");
        assert_eq!(
            again.stats().live_cost,
            stats.live_cost,
            "accounting differs after a reopening"
        );
    }
}

const PROFILES: [&str; 4] = ["block512", "block512-ecc", "nor1", "nor16-ecc"];

#[test]
fn ten_thousand_crashes_with_one_overwrite_each_never_fill_a_full_store() {
    let turns = if cfg!(debug_assertions) { 300 } else { 10_000 };
    for profile in PROFILES {
        let mut store = Loop::new(profile);
        for round in 1..=turns {
            store.overwrite(round);
        }
        store.check();
    }
}

#[test]
fn a_thousand_crashes_in_a_row_inside_open_leave_a_full_store_writable() {
    for profile in PROFILES {
        let mut store = Loop::new(profile);
        for turn in 0..1000 {
            store.crash_in_open(turn);
        }
        for round in 1..=200 {
            store.overwrite(round);
        }
        store.check();
    }
}

/// What needs erase is written once, so that every opening takes a little room: it must be given back by those that follow.
#[test]
fn crashes_inside_open_between_overwrites_leave_full_flash_writable() {
    for profile in ["nor1", "nor16-ecc"] {
        let mut store = Loop::new(profile);
        for round in 1..=200 {
            for turn in 0..8 {
                store.crash_in_open(turn);
            }
            store.overwrite(round);
        }
        store.check();
    }
}

/// Most keys are never written again: their segments must be moved, or few others would wear out alone.
#[test]
fn wear_spreads_over_all_segments_of_flash() {
    let turns = if cfg!(debug_assertions) { 4_000 } else { 60_000 };
    for profile in ["nor1", "nor16-ecc"] {
        let mut store = Loop::new(profile);
        store.cut_power();
        let mut open =
            Store::open(&mut store.device, &mut store.arena, &store.config).expect("open");
        for round in 1..=turns {
            open.device_mut().reset_counters();
            open.put(&key(round as usize % 16), &value(round)).expect("an overwrite");
        }
        let stats = open.stats();
        drop(open);
        let segment = stats.segment_bytes;
        let end = store.device.bytes.len() as u32;
        let first = end - segment * stats.segments;
        let (least, most) = store.device.wear.spread(first, end, segment);
        println!("{profile}: {} segments, erased {least} to {most} times", stats.segments);
        assert!(least > 0 && most - least <= 2 + most / 3, "{least} to {most}");
    }
}
