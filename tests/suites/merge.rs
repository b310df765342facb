//! Merging: a store that is written for ever on a device that does not grow.

use emberkv_core::{Config, Hints, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};

fn config() -> Config {
    Config {
        segment_bytes: 64 << 10,
        frames: 128,
        keys_max: 40_000,
        seed: [7; 32],
        ..Config::default()
    }
}

#[test]
fn a_store_that_is_overwritten_for_ever_never_fills_up() {
    for hints in [Hints::Write, Hints::Omit] {
        let config = Config { hints, ..config() };
        let device = MemoryDevice::new(vec![0_u8; 4 << 20], Rules::block(512)).expect("rules");
        let mut arena =
            vec![0; required_bytes(&config, &emberkv_core::BlockDevice::geometry(&device))];
        let mut store = Store::format(device, &mut arena, &config).expect("format");
        let mut key_count = 0_u32;
        let value = [7; 100];
        while store.stats().live_cost + 200 < store.stats().live_bytes_max * 95 / 100 {
            store.put(&key_count.to_le_bytes(), &value).expect("filling");
            key_count += 1;
        }
        let mut state = 1_u64;
        let mut low = u32::MAX;
        for round in 0..200_000_u32 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let key = (state >> 33) as u32 % key_count;
            let mut fresh = value;
            fresh[..4].copy_from_slice(&round.to_le_bytes());
            store
                .put(&key.to_le_bytes(), &fresh)
                .unwrap_or_else(|error| panic!("{round}: {error}"));
            low = low.min(store.stats().segments_free);
        }
        let stats = store.stats();
        println!("{key_count} keys, low {low}, {stats:#?}");
        let wa = (stats.appended_bytes + stats.copied_bytes) as f64 / stats.appended_bytes as f64;
        println!("write amplification {wa:.3}");
        let device = store.close().expect("close");
        let mut arena = vec![0; arena.len()];
        let mut store = Store::open(device, &mut arena, &config).expect("open");
        assert_eq!(store.stats().keys, u64::from(key_count));
        assert_eq!(store.stats().live_bytes, stats.live_bytes);
        assert_eq!(store.check(|place| panic!("{place}")).expect("check").damages, 0);
    }
}
