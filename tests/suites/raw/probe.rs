//! What the probe says of images: needs no device.

use emberkv_core::format::superblock::MAGIC;
use emberkv_raw::probe::{Content, Signature, ZONE_BYTES, content};

use crate::fixtures::{IMAGE_BYTES, image_of, variants};
use crate::support::noise;

fn look(image: &[u8]) -> Content {
    let mut reads = 0;
    let found = content(image.len() as u64, |address, buffer: &mut [u8]| {
        reads += buffer.len() as u64;
        let start = usize::try_from(address).map_err(|_| ())?;
        buffer.copy_from_slice(image.get(start..start + buffer.len()).ok_or(())?);
        Ok::<(), ()>(())
    });
    assert!(reads <= 2 * ZONE_BYTES + (64 << 10), "{reads} bytes were read");
    found.expect("all reads lie inside")
}

#[test]
fn every_signature_is_found_in_its_image() {
    for &kind in Signature::ALL {
        assert_eq!(look(&image_of(kind)), Content::Foreign(kind));
    }
    for (kind, image) in variants() {
        assert_eq!(look(&image), Content::Foreign(kind));
    }
}

#[test]
fn a_signature_counts_only_at_its_place() {
    for &kind in Signature::ALL {
        // One byte on: no field of any image is where it was.
        let mut image = image_of(kind);
        image.rotate_right(1);
        assert_ne!(look(&image), Content::Foreign(kind));
        assert_ne!(look(&image), Content::Blank, "{kind:?} is somebody's data all the same");
    }
}

#[test]
fn every_kind_has_a_name_of_its_own_that_is_read_back() {
    let contents = [Content::Blank, Content::Ember, Content::Unknown];
    let foreign = Signature::ALL.iter().map(|&kind| Content::Foreign(kind));
    let all: Vec<Content> = contents.into_iter().chain(foreign).collect();
    let names: std::collections::BTreeSet<_> = all.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), all.len());
    for kind in all {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert!(
            kind.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
    }
    assert!("ext5".parse::<Content>().is_err() && "".parse::<Content>().is_err());
}

#[test]
fn only_zones_of_zeros_or_of_ones_are_blank() {
    for fill in [0x00, 0xff] {
        let mut image = vec![fill; IMAGE_BYTES];
        assert_eq!(look(&image), Content::Blank);
        // What lies between the zones is not looked at.
        image[2 << 20] = 1;
        assert_eq!(look(&image), Content::Blank);
        for at in
            [0, 4095, ZONE_BYTES as usize - 1, IMAGE_BYTES - ZONE_BYTES as usize, IMAGE_BYTES - 1]
        {
            let mut image = vec![fill; IMAGE_BYTES];
            image[at] ^= 0x10;
            assert_eq!(look(&image), Content::Unknown, "at {at}");
        }
    }
    assert_eq!(look(&vec![1; IMAGE_BYTES]), Content::Unknown);
    assert_eq!(look(&noise(IMAGE_BYTES)), Content::Unknown);
}

#[test]
fn a_store_is_known_by_either_superblock_and_whatever_its_data_looks_like() {
    for stride in (12..=20).map(|shift| 1_usize << shift) {
        let mut image = vec![0; IMAGE_BYTES];
        image[stride..stride + 8].copy_from_slice(&MAGIC);
        assert_eq!(look(&image), Content::Ember, "at {stride}");
    }
    // A value that holds the first MiB of a file system, and a first superblock in order.
    let mut image = image_of(Signature::Btrfs);
    image[..8].copy_from_slice(&MAGIC);
    assert_eq!(look(&image), Content::Ember);
    // The disk got a partition table later: the old store's second superblock is a leftover.
    let mut image = image_of(Signature::Gpt);
    image[8192..8200].copy_from_slice(&MAGIC);
    assert_eq!(look(&image), Content::Foreign(Signature::Gpt));
}

#[test]
fn what_holds_others_is_named_before_what_it_holds() {
    let both = |one: Signature, other: Signature| {
        let mut image = image_of(one);
        for (byte, more) in image.iter_mut().zip(image_of(other)) {
            *byte |= more;
        }
        look(&image)
    };
    // A mirror with its metadata at the end has the file system at the start.
    let (_, md) = variants().filter(|(kind, _)| *kind == Signature::Md).nth(1).expect("1.0");
    let mut image = image_of(Signature::Ext4);
    image[IMAGE_BYTES - 8192..].copy_from_slice(&md[IMAGE_BYTES - 8192..]);
    assert_eq!(look(&image), Content::Foreign(Signature::Md));
    // A bootable image of a CD, a file system with a boot loader's table, a leftover backup.
    assert_eq!(both(Signature::Iso9660, Signature::Mbr), Content::Foreign(Signature::Iso9660));
    assert_eq!(both(Signature::Ext4, Signature::Mbr), Content::Foreign(Signature::Mbr));
    assert_eq!(both(Signature::Xfs, Signature::GptBackup), Content::Foreign(Signature::Xfs));
}

#[test]
fn a_partition_table_without_partitions_is_not_blank() {
    let mut image = vec![0; IMAGE_BYTES];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(look(&image), Content::Unknown);
}

#[test]
fn devices_of_every_size_and_damaged_images_are_answered_without_a_panic() {
    let noise = noise(3 << 20);
    for bytes in (0..3000).chain([4095, 4096, 65535, 65536, 65537, (1 << 20) - 1, 1 << 20, 3 << 20])
    {
        let found = look(&noise[..bytes]);
        assert_eq!(found == Content::Blank, bytes == 0, "{bytes} bytes: {found:?}");
        assert_eq!(look(&vec![0; bytes]), Content::Blank);
    }
    for &kind in Signature::ALL {
        let image = image_of(kind);
        for bytes in [512, 1000, 4096, 70_000, 1 << 20, (1 << 20) + 512] {
            look(&image[..bytes]);
            look(&image[IMAGE_BYTES - bytes..]);
        }
    }
}

#[test]
fn an_error_of_reading_is_passed_on() {
    for failing in 0..4 {
        let mut calls = 0;
        let found = content(IMAGE_BYTES as u64, |address, buffer: &mut [u8]| {
            buffer.fill(0);
            calls += 1;
            if calls > failing { Err(address) } else { Ok(()) }
        });
        let places = [0, 64 << 10, IMAGE_BYTES as u64 - ZONE_BYTES, ZONE_BYTES];
        assert_eq!(found, Err(places[failing]));
    }
}
