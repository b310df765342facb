//! What is on a device stays there until exactly that is given up.

use emberkv_core::{BlockDevice, DeviceError, DeviceErrorKind, Error, Store};
use emberkv_raw::probe::{Content, Signature, ZONE_BYTES};
use emberkv_raw::{Access, Overwrite, RawDevice, RawError, Reason, Survey};

use crate::fixtures::{IMAGE_BYTES, image_of};
use crate::support::{Loop, MIB, geometry, memory, noise};

/// What a refused device was found to hold.
#[track_caller]
fn found(result: Result<RawDevice, RawError>) -> Content {
    match result {
        Err(RawError::Holds { found, .. }) => found,
        other => panic!("not refused for what it holds: {other:?}"),
    }
}

#[test]
fn every_foreign_signature_is_refused_without_a_write_and_destroyed_only_by_its_name() {
    let Some(device) = Loop::new(IMAGE_BYTES as u64, 512) else { return };
    for (index, &kind) in Signature::ALL.iter().enumerate() {
        let here = Content::Foreign(kind);
        let mut image = image_of(kind);
        // Something in the middle, which nobody may touch in any case.
        image[2 << 20] = 0x77;
        device.fill(&image);
        let before = device.writes();
        for access in [Access::ReadWrite, Access::ReadOnly] {
            assert_eq!(found(RawDevice::open(&device.path, access)), here);
        }
        let other = Signature::ALL[(index + 1) % Signature::ALL.len()];
        for overwrite in [
            Overwrite::Nothing,
            Overwrite::Destroy(Content::Foreign(other)),
            Overwrite::Destroy(Content::Unknown),
            Overwrite::Destroy(Content::Ember),
            Overwrite::Destroy(Content::Blank),
        ] {
            assert_eq!(found(RawDevice::claim(&device.path, overwrite)), here);
        }
        assert_eq!(device.writes(), before, "{kind:?}: something was written");
        assert_eq!(device.content(), image);
        let raw = RawDevice::claim(&device.path, Overwrite::Destroy(here)).expect("it was named");
        drop(raw);
        let mut wiped = vec![0; IMAGE_BYTES];
        wiped[2 << 20] = 0x77;
        assert_eq!(device.content(), wiped);
        RawDevice::claim(&device.path, Overwrite::Nothing).expect("it is blank now");
    }
}

#[test]
fn a_survey_holds_the_device_and_writes_nothing_until_it_is_claimed() {
    let Some(device) = Loop::new(IMAGE_BYTES as u64, 512) else { return };
    let image = image_of(Signature::Luks);
    device.fill(&image);
    let before = device.writes();
    let survey = Survey::new(&device.path).expect("free");
    let here = Content::Foreign(Signature::Luks);
    assert_eq!((survey.content(), survey.geometry().capacity), (here, 4 * MIB));
    device.is_refused(Reason::InUse, Overwrite::Destroy(here));
    assert_eq!(found(survey.claim(Overwrite::Nothing)), here);
    drop(Survey::new(&device.path).expect("it was let go of"));
    assert_eq!(device.writes(), before);
    assert_eq!(device.content(), image);
    let survey = Survey::new(&device.path).expect("free");
    let want = survey.geometry();
    let raw = survey.claim(Overwrite::Destroy(here)).expect("it was named");
    assert_eq!(geometry(&raw), want);
    drop(raw);
    assert_eq!(device.content(), vec![0; IMAGE_BYTES]);
}

#[test]
fn unknown_data_and_stores_are_kept_as_well() {
    let Some(device) = Loop::new(4 * MIB, 4096) else { return };
    let mut store = vec![0; 4 << 20];
    store[..8].copy_from_slice(b"EMBERKV\n");
    let mut farthest = vec![0; 4 << 20];
    farthest[1 << 20..(1 << 20) + 8].copy_from_slice(b"EMBERKV\n");
    for (image, here) in
        [(noise(4 << 20), Content::Unknown), (store, Content::Ember), (farthest, Content::Ember)]
    {
        device.fill(&image);
        let before = device.writes();
        for overwrite in [Overwrite::Nothing, Overwrite::Destroy(Content::Blank)] {
            assert_eq!(found(RawDevice::claim(&device.path, overwrite)), here);
        }
        assert_eq!(device.writes(), before);
        assert_eq!(device.content(), image);
        drop(RawDevice::claim(&device.path, Overwrite::Destroy(here)).expect("it was named"));
        assert_eq!(RawDevice::probe(&device.path).expect("free"), Content::Blank);
    }
}

#[test]
fn claiming_a_blank_device_writes_nothing() {
    let Some(device) = Loop::new(4 * MIB, 512) else { return };
    for fill in [0x00, 0xff] {
        device.fill(&vec![fill; 4 << 20]);
        let before = device.writes();
        // Naming something that is not there harms nothing.
        for overwrite in [Overwrite::Nothing, Overwrite::Destroy(Content::Foreign(Signature::Xfs))]
        {
            drop(RawDevice::claim(&device.path, overwrite).expect("blank"));
        }
        assert_eq!(device.writes(), before);
    }
}

#[test]
fn a_store_made_over_something_leaves_nothing_of_it_to_be_found() {
    let Some(device) = Loop::new(16 * MIB, 512) else { return };
    let mut image = image_of(Signature::Gpt);
    image.resize(16 << 20, 0);
    let end = image.len();
    image[end - 512..end - 504].copy_from_slice(b"EFI PART");
    device.fill(&image);
    let overwrite = Overwrite::Destroy(Content::Foreign(Signature::Gpt));
    let mut raw = RawDevice::claim(&device.path, overwrite).expect("it was named");
    let (config, mut arena) = memory(&geometry(&raw));
    let store = Store::open_or_format(&mut raw, &mut arena, &config).expect("blank by now");
    store.close().expect("healthy");
    drop(raw);
    let zone = ZONE_BYTES as usize;
    assert_eq!(device.bytes(16 * MIB - ZONE_BYTES, zone), vec![0; zone]);
    let mut raw = RawDevice::open(&device.path, Access::ReadWrite).expect("a store");
    assert_eq!(raw.content(), Content::Ember);
    Store::open(&mut raw, &mut arena, &config).expect("a store");
}

/// The disk was a store's, then somebody made partitions on it: the second superblock of the old
/// store is still there, but the disk is not the store's any more.
#[test]
fn an_old_store_below_a_new_partition_table_is_not_opened() {
    let Some(device) = Loop::new(16 * MIB, 512) else { return };
    let mut raw = RawDevice::claim(&device.path, Overwrite::Nothing).expect("blank");
    let (config, mut arena) = memory(&geometry(&raw));
    Store::format(&mut raw, &mut arena, &config).expect("it fits").close().expect("healthy");
    drop(raw);
    let mut content = device.content();
    let table = image_of(Signature::Mbr);
    content[..512].copy_from_slice(&table[..512]);
    device.fill(&content);
    let here = Content::Foreign(Signature::Mbr);
    assert_eq!(found(RawDevice::open(&device.path, Access::ReadWrite)), here);
    // The engine alone would have taken it for a store with one damaged superblock.
    let mut memory_device =
        emberkv_memory::MemoryDevice::new(content, emberkv_memory::Rules::block(512))
            .expect("the rules are valid");
    let opened = Store::open(&mut memory_device, &mut arena, &config).map(drop);
    assert!(!matches!(opened, Err(Error::NotAStore)), "{opened:?}");
}

#[test]
fn a_device_that_cannot_be_written_is_not_claimed() {
    let Some(device) = Loop::with(4 * MIB, 512, &["--read-only"]) else { return };
    let error = RawDevice::claim(&device.path, Overwrite::Nothing).expect_err("read-only");
    let RawError::Device(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), DeviceErrorKind::ReadOnly);
    let raw = RawDevice::open(&device.path, Access::ReadOnly).expect("readable");
    assert!(!raw.caps().needs_erase);
}
