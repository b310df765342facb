//! Images of stores that firmware made: their segments are smaller than any that a host makes.

use std::fs;

use emberkv_core::{BlockDevice, Config, Hints, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};

use crate::support::{Place, on};

/// The image of a store with segments of 16 KiB, in units of 512 bytes, as on an SD card.
fn image() -> Vec<u8> {
    let mut device = MemoryDevice::new(vec![0; 512 << 10], Rules::block(512)).expect("a device");
    let config = Config {
        segment_bytes: 16 << 10,
        page_bytes: 512,
        frames: 26,
        keys_max: 100,
        hints: Hints::Omit,
        ..Config::default()
    };
    let mut arena = vec![0; required_bytes(&config, &BlockDevice::geometry(&device))];
    let mut store = Store::format(&mut device, &mut arena, &config).expect("a store");
    for reading in 0..50 {
        let key = format!("reading {reading:02}");
        store.put(key.as_bytes(), &[b'v'; 20]).expect("there is room");
    }
    store.close().expect("it closes");
    device.into_inner()
}

#[test]
fn regression_a_store_with_segments_of_16_kib_opens_on_a_host() {
    let place = Place::new();
    let path = place.path("card.image");
    fs::write(&path, image()).expect("the file is ours");
    on(&path, "check", &[]).done();
    assert_eq!(on(&path, "get", &["reading 49"]).done(), [b'v'; 20]);
    let keys = on(&path, "list", &[]).done();
    assert_eq!(keys.split(|byte| *byte == b'\n').filter(|key| !key.is_empty()).count(), 50);
}
