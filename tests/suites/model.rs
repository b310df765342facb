//! No crashes: the store against a map, through closes and kills, with many keys and with the tape's few.

use std::collections::BTreeMap;

use emberkv_core::{BlockDevice as _, Config, Cursor, Error, Store, required_bytes};
use emberkv_tests::sim::device::SimDevice;
use emberkv_tests::sim::plan::to_hex;
use emberkv_tests::sim::profile::{PROFILES, Setup};
use emberkv_tests::sim::rng::Rng;
use emberkv_tests::sim::tape::generate;
use emberkv_tests::sim::{Bench, Ember};
use emberkv_tests::unallocated::unallocated;

#[test]
fn random_tapes_behave_like_a_map() {
    let tapes = if cfg!(debug_assertions) { 200 } else { 5_000 };
    let mut bench = Bench::<Ember>::new(None);
    for seed in 0..tapes {
        let mut tape = generate(0x5eed_0000 + seed, None);
        // Everything is read before and after a close.
        tape.extend_from_slice(&[0x70, 0x80, 0x70]);
        if let Err(problem) = bench.play(&tape, None) {
            panic!("seed {seed}: [{}] {} (tape {})", problem.class, problem.what, to_hex(&tape));
        }
    }
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// One open store's life: random operations, each compared with the model.
fn live(store: &mut Store<'_, &mut SimDevice>, model: &mut Model, rng: &mut Rng) {
    let mut buffer = vec![0; 8192];
    for _ in 0..400 {
        let key = format!("key-{}", rng.below(300)).into_bytes();
        match rng.below(10) {
            0..5 => {
                let longest = if rng.one_in(20) { 4000 } else { 60 };
                let bytes = rng.below(longest) as usize;
                let mut value = vec![0; bytes];
                rng.fill(&mut value);
                match unallocated(|| store.put(&key, &value)) {
                    Ok(()) => drop(model.insert(key, value)),
                    Err(Error::Full | Error::KeydirFull { .. }) => {}
                    Err(error) => panic!("put: {error}"),
                }
            }
            5 => match unallocated(|| store.delete(&key)) {
                Ok(there) => assert_eq!(there, model.remove(&key).is_some()),
                Err(Error::Full | Error::KeydirFull { .. }) => {}
                Err(error) => panic!("delete: {error}"),
            },
            6 => unallocated(|| store.sync()).expect("sync works on a sound device"),
            _ => {
                let value = store.get(&key, &mut buffer).expect("get works on a sound device");
                assert_eq!(value, model.get(&key).map(Vec::as_slice));
            }
        }
    }
    let mut cursor = Cursor::default();
    let mut listed = Model::new();
    while let Some((key, value)) = store.next(&mut cursor, &mut buffer).expect("iteration works") {
        assert!(listed.insert(key.to_vec(), value.to_vec()).is_none(), "a key comes twice");
    }
    assert_eq!(&listed, model);
    assert_eq!(store.stats().keys, model.len() as u64);
}

#[test]
fn many_keys_behave_like_a_map_through_reopens() {
    for (index, profile) in PROFILES.iter().enumerate() {
        let setup = Setup {
            profile: *profile,
            segment_bytes: profile.max_transfer * 16,
            segments: 40,
            page_bytes: profile.max_transfer.min(4096),
            frames: 128,
            hints: index % 2 == 0,
            bug: None,
        };
        let config = Config {
            segment_bytes: setup.segment_bytes,
            page_bytes: setup.page_bytes,
            frames: setup.frames,
            keys_max: 1024,
            ..Config::default()
        };
        let mut device = SimDevice::default();
        device.reset(&setup);
        let mut arena = vec![0; required_bytes(&config, &device.geometry())];
        drop(
            Store::format(&mut device, &mut arena, &config)
                .expect("format works on a blank device"),
        );
        let mut model = Model::new();
        let mut rng = Rng::for_place(&[7, index as u64]);
        for _ in 0..6 {
            device.reset_counters();
            let mut store =
                Store::open(&mut device, &mut arena, &config).expect("open works after a close");
            live(&mut store, &mut model, &mut rng);
            store.close().expect("close works on a sound device");
        }
        assert_eq!(device.violation, None);
    }
}
