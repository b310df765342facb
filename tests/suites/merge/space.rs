//! What the store takes of its device beside what is alive in it.

use emberkv_core::{Hints, MergeNeed, Store};
use emberkv_memory::MemoryDevice;
use emberkv_tests::churn::{Aim, Rig, Shape, Sizes};

/// Bytes of the segments in use.
fn space(store: &Store<'_, MemoryDevice<Vec<u8>>>) -> u64 {
    let stats = store.stats();
    u64::from(stats.segments - stats.segments_free) * u64::from(stats.segment_bytes)
}

#[test]
fn after_a_hundred_overwrites_the_device_holds_little_but_live_data() {
    for (hints, aim) in [(Hints::Omit, Aim::Uniform), (Hints::Write, Aim::InTurn)] {
        let shape = Shape::block(128, 32 << 10).with_hints(hints);
        let device = shape.device();
        let mut arena = shape.arena(&device);
        let store = Store::format(device, &mut arena, &shape.config).expect("formats");
        let mut rig = Rig::new(store, Sizes::Of(1000), 2);
        rig.fill(100).expect("fills");
        let mut aimer = rig.aimer(aim);
        let mut most = 0;
        for round in 0..100 * rig.key_count {
            rig.overwrite(&mut aimer).expect("overwrites");
            if round % 16 == 0 {
                most = most.max(space(&rig.store));
            }
        }
        let live = rig.store.stats().live_cost;
        rig.settle().expect("settles");
        let (settled, stats) = (space(&rig.store), rig.store.stats());
        // What was appended and copied and is not alive any more is dead; what of it still takes room did not come back.
        let dead = stats.appended_bytes + stats.copied_bytes - live;
        let back = dead - stats.used_bytes.saturating_sub(live);
        let (most, settled) = (most as f64 / live as f64, settled as f64 / live as f64);
        let back = back as f64 / dead as f64;
        println!("{hints:?}, {aim:?}: {most:.2}, settled {settled:.2}, {:.2} % back", back * 100.0);
        assert!(most <= 1.5, "while writing {most}");
        assert!(settled <= 1.3, "settled {settled}");
        assert!(back >= 0.98, "{back} of the dead bytes came back");
        assert_eq!(rig.store.need_merge(), MergeNeed::No);
        rig.verify();
    }
}

#[test]
fn after_deletes_idle_steps_alone_give_the_space_and_the_tombstones_back() {
    for hints in [Hints::Omit, Hints::Write] {
        let shape = Shape::block(128, 32 << 10).with_hints(hints);
        let device = shape.device();
        let mut arena = shape.arena(&device);
        let store = Store::format(device, &mut arena, &shape.config).expect("formats");
        let mut rig = Rig::new(store, Sizes::Of(200), 3);
        rig.fill(100).expect("fills");
        let kept = |key: u32| key.is_multiple_of(10);
        for key in (0..rig.key_count).filter(|&key| !kept(key)) {
            assert!(rig.store.delete(&key.to_le_bytes()).expect("deletes"), "{key} was there");
        }
        rig.settle().expect("settles");
        let stats = rig.store.stats();
        let ratio = space(&rig.store) as f64 / stats.live_cost as f64;
        println!("{hints:?}: {ratio:.2}, {} keys, {} entries", stats.keys, stats.entries);
        assert!(ratio <= 1.5, "{ratio}: {stats:#?}");
        assert_eq!(stats.keys, u64::from(rig.key_count.div_ceil(10)));
        assert_eq!(stats.entries, stats.keys, "tombstones are left");
        let mut buffer = [0; 256];
        for key in 0..rig.key_count {
            let found = rig.store.get(&key.to_le_bytes(), &mut buffer).expect("gets");
            assert_eq!(found.is_some(), kept(key), "key {key}");
        }
        let live_bytes = stats.live_bytes;
        let device = rig.store.close().expect("closes");
        let store = Store::open(device, &mut arena, &shape.config).expect("opens");
        assert_eq!((store.stats().keys, store.stats().live_bytes), (stats.keys, live_bytes));
    }
}
