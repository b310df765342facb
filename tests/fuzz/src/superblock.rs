//! Superblocks: arbitrary bytes, mostly with a right checksum, decoded, and opened on a small device.

use emberkv_core::format::layout::Layout;
use emberkv_core::format::superblock::{MAGIC, SUPERBLOCK_BYTES, Superblock, VERSION};
use emberkv_core::types::{Offset, SegmentId};
use emberkv_core::{Checksums, Store};

use crate::base::base;
use crate::meter::Meter;
use crate::tape::Tape;

const SUMS: Checksums = Checksums::PORTABLE;

/// The entry.
pub fn run(data: &[u8]) {
    let mut tape = Tape::new(data);
    let (how, place) = (tape.byte(), tape.byte());
    let origin = base(usize::from(place >> 2), usize::from(place));
    let mut bytes = origin.image.block.encode(&SUMS, 0);
    if how & 0x10 == 0 {
        let raw = tape.take(SUPERBLOCK_BYTES);
        bytes[..raw.len()].copy_from_slice(raw);
    } else {
        // A few bytes of a valid one.
        for _ in 0..1 + (how & 3) {
            bytes[tape.below(SUPERBLOCK_BYTES)] = tape.byte();
        }
    }
    if how & 0xe0 != 0 {
        bytes[..8].copy_from_slice(&MAGIC);
        if how & 0x80 != 0 {
            bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
            bytes[12..24].fill(0);
        }
        let sum = (SUMS.crc64)(0, &bytes[..120]);
        bytes[120..].copy_from_slice(&sum.to_le_bytes());
    }
    if let Ok(block) = Superblock::decode(&SUMS, &bytes) {
        for copy in 0..2 {
            assert_eq!(Superblock::decode(&SUMS, &block.encode(&SUMS, copy)), Ok(block));
        }
        layouts(&block);
    }
    let mut device = origin.image.bytes.clone();
    let at = if how & 4 == 0 { 0 } else { 4096 };
    device[at..at + SUPERBLOCK_BYTES].copy_from_slice(&bytes);
    if how & 8 == 0 {
        // The only copy.
        device[4096 - at..4096 - at + SUPERBLOCK_BYTES].fill(0);
    }
    let mut arena = vec![0; 512 << 10];
    let device = Meter::new(device, origin.shape.rules);
    if let Ok(mut store) = Store::open(device, &mut arena, &origin.shape.config) {
        let _ = store.put(b"key", b"value");
        let _ = store.sync();
        let _ = store.check(|_| {});
    }
}

fn layouts(block: &Superblock) {
    for shift in 6..20 {
        let page_bytes = 1 << shift;
        let Ok(layout) = Layout::new(block, page_bytes) else { continue };
        assert!(layout.data_start < layout.data_end && layout.data_end < layout.mark_start);
        assert!(layout.mark_start + layout.header_slot == layout.segment_bytes);
        assert!(layout.header_slot <= page_bytes);
        let last = SegmentId(block.segments_max - 1);
        let address = layout.log_address(last, Offset(layout.segment_bytes - 1));
        assert_eq!(layout.segment_of(address), last);
        assert_eq!(layout.offset_of(address), Offset(layout.segment_bytes - 1));
        assert_eq!(layout.segments_in(u64::MAX), block.segments_max);
        assert!(layout.capacity_of(block.segments_max) > layout.device_address(address));
    }
}
