//! A store that is written for ever on a device that does not grow.

use emberkv_core::{Hints, Store};
use emberkv_tests::churn::{Aim, Rig, Shape, Sizes};

#[test]
fn a_store_that_is_overwritten_for_ever_never_fills_up() {
    for hints in [Hints::Write, Hints::Omit] {
        let shape = Shape::block(63, 64 << 10).with_hints(hints);
        let device = shape.device();
        let mut arena = shape.arena(&device);
        let store = Store::format(device, &mut arena, &shape.config).expect("format");
        let mut rig = Rig::new(store, Sizes::Of(100), 1);
        rig.fill(95).expect("filling");
        let mut aimer = rig.aimer(Aim::Uniform);
        for round in 0..200_000_u32 {
            rig.overwrite(&mut aimer).unwrap_or_else(|error| panic!("{round}: {error}"));
        }
        rig.verify();
        let (key_count, stats) = (rig.key_count, rig.store.stats());
        assert!(stats.segments_free_min > 0, "{stats:#?}");
        let device = rig.store.close().expect("close");
        let mut store = Store::open(device, &mut arena, &shape.config).expect("open");
        assert_eq!(store.stats().keys, u64::from(key_count));
        assert_eq!(store.stats().live_bytes, stats.live_bytes);
        assert_eq!(store.check(|place| panic!("{place}")).expect("check").damages, 0);
    }
}
