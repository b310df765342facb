//! Footers and headers: arbitrary bytes, mostly with a right checksum, decoded, and in the place of a store's own.

use emberkv_core::Checksums;
use emberkv_core::Store;
use emberkv_core::format::footer::{decode_footer, encode_footer, hint_group_at};
use emberkv_core::format::segment::{HeaderPlace, decode_header, encode_header};
use emberkv_core::types::SegmentId;

use crate::base::{base, key, was_put};
use crate::meter::Meter;
use crate::tape::Tape;

const SUMS: Checksums = Checksums::PORTABLE;

/// The entry.
pub fn run(data: &[u8]) {
    let mut tape = Tape::new(data);
    // The shapes with hints have footers of interest.
    let shape = [1, 3, 4][usize::from(tape.byte()) % 3];
    let origin = base(shape, usize::from(tape.byte()));
    let mut image = origin.image.clone();
    let segment = SegmentId(tape.below(image.segments() as usize) as u32);
    let how = tape.byte();
    let (slot_at, slot_bytes) = if how & 1 == 0 {
        (image.layout.data_end, image.layout.mark_start - image.layout.data_end)
    } else {
        (0, image.layout.header_slot)
    };
    let slot = &mut image.segment_mut(segment)[slot_at as usize..][..slot_bytes as usize];
    if how & 2 == 0 {
        let raw = tape.take(slot_bytes as usize);
        slot[..raw.len()].copy_from_slice(raw);
    } else {
        for _ in 0..1 + (how >> 2 & 7) {
            slot[tape.below(slot_bytes as usize)] = tape.byte();
        }
    }
    let fixed = how & 0xe0 != 0;
    if fixed {
        slot[..4].copy_from_slice(if how & 1 == 0 { b"EMFT" } else { b"EMSH" });
        slot[4..8].copy_from_slice(&segment.0.to_le_bytes());
        if how & 1 == 0 {
            image.fix_footer(segment);
        } else {
            image.fix_header(HeaderPlace::Own(segment));
        }
    }
    let store_id = image.block.store_id;
    let slot = image.segment(segment)[slot_at as usize..][..slot_bytes as usize].to_vec();
    if how & 1 == 0 {
        footer(&slot, segment, &store_id);
    } else {
        header(&slot, segment, &store_id, image.block.segments_max.div_ceil(8));
    }
    let mut arena = vec![0; 512 << 10];
    let device = Meter::new(image.bytes, origin.shape.rules);
    let Ok(mut store) = Store::open(device, &mut arena, &origin.shape.config) else { return };
    let mut buffer = vec![0; 32 << 10];
    for index in 0..=255 {
        let key = key(index);
        if let Ok(Some(value)) = store.get(&key, &mut buffer) {
            // Groups and hints have checksums of their own: a footer cannot make a value.
            assert!(was_put(&key, value), "a value that was never put");
        }
    }
    let _ = store.put(b"key", b"value");
    let _ = store.sync();
    let _ = store.check(|_| {});
}

fn footer(slot: &[u8], segment: SegmentId, store_id: &[u8; 16]) {
    let Some(footer) = decode_footer(slot, segment, &SUMS, store_id) else { return };
    let list: Vec<_> = (0..footer.hint_groups).map(|index| hint_group_at(slot, index)).collect();
    let mut again = vec![0; slot.len()];
    encode_footer(&footer, &list, &SUMS, store_id, &mut again);
    assert_eq!(decode_footer(&again, segment, &SUMS, store_id), Some(footer));
}

fn header(slot: &[u8], segment: SegmentId, store_id: &[u8; 16], bitmap_bytes: u32) {
    let place = HeaderPlace::Own(segment);
    let decode = |slot: &[u8]| decode_header(slot, place, &SUMS, store_id, bitmap_bytes);
    let Some(header) = decode(slot) else { return };
    let mut again = slot.to_vec();
    encode_header(&header, place, &SUMS, store_id, &mut again, bitmap_bytes);
    assert_eq!(decode(&again), Some(header));
}
