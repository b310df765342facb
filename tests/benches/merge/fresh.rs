//! Puts and deletes of ever new keys, with a keydir that is far too small for all of them.

use std::time::Instant;

use emberkv_core::{Hints, Store};
use emberkv_tests::churn::Shape;

/// `pairs` puts, each deleted a thousand puts later, with a keydir of `entries`.
pub(crate) fn measure(pairs: u64, entries: u64) {
    const LAG: u64 = 1000;
    let mut shape = Shape::block(64, 1 << 20).with_hints(Hints::Omit);
    shape.config.keys_max = u32::try_from(entries).expect("a keydir's size");
    shape.config.frames = 1024;
    let device = shape.device();
    let mut arena = shape.arena(&device);
    let mut store = Store::format(device, &mut arena, &shape.config).expect("formats");
    let start = Instant::now();
    let mut entries_most = 0;
    for pair in 0..pairs + LAG {
        if pair < pairs {
            store.put(&pair.to_le_bytes(), &[7; 16]).expect("puts");
        }
        if pair >= LAG {
            assert!(store.delete(&(pair - LAG).to_le_bytes()).expect("deletes"), "it was there");
        }
        if pair % 64 == 0 {
            entries_most = entries_most.max(store.stats().entries);
        }
    }
    let (seconds, stats) = (start.elapsed().as_secs_f64(), store.stats());
    assert_eq!(stats.keys, 0, "everything was deleted");
    println!(
        "{pairs} puts and deletes of new keys, keydir of {entries}: {seconds:.1} s, {:.0} thousand pairs/s, \
         at most {entries_most} entries, at least {} free segments, {:.2} bytes of the log for each appended",
        pairs as f64 / seconds / 1e3,
        stats.segments_free_min,
        (stats.appended_bytes + stats.copied_bytes) as f64 / stats.appended_bytes as f64,
    );
}
