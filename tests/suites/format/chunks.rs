//! Chunked values, as a store writes them.

use emberkv_core::format::record::RecordKind;
use emberkv_core::{BlockDevice as _, Config, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::Image;

use super::document::{check_structure, rows, says};
use super::samples::{SUMS, le};

#[test]
fn chunked_values_are_as_documented() {
    let config = Config {
        segment_bytes: 1 << 13,
        page_bytes: 1024,
        frames: 32,
        keys_max: 64,
        key_bytes_max: 32,
        ..Config::default()
    };
    let device = MemoryDevice::blank(vec![0; 8192 + 8 * 8192], Rules::block(512)).expect("valid");
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("format works");
    let value: Vec<u8> = (0..2500_u32).map(|index| (index * 7 + index / 256) as u8).collect();
    store.put(b"key", &value).expect("there is room");
    store.sync().expect("the device works");
    let image = Image::new(store.into_device().into_inner(), 1024).expect("a store");
    let header = image.headers()[0];
    let records: Vec<_> = image.groups(&header).iter().flat_map(|g| g.records.clone()).collect();
    let chunks: Vec<_> =
        records.iter().filter(|record| record.header.kind == RecordKind::Chunk).collect();
    let head = records.iter().find(|record| record.header.kind == RecordKind::ChunkHead);
    let (key, head) = image.body(header.segment, head.expect("a head"));
    assert_eq!(key, b"key");
    let chunk_bytes = (image.block.record_bytes_max - 12 - 8 - 12) as usize;
    assert!(says("chunk_bytes = record_bytes_max - 12 - 8 - 12"));
    let id = head[..8].to_vec();
    let fields = vec![
        ("value id", id.clone()),
        ("bytes", le(2500_u64.to_le_bytes())),
        ("chunk_bytes", le((chunk_bytes as u32).to_le_bytes())),
        ("count", le((chunks.len() as u32).to_le_bytes())),
        ("digest", le((SUMS.crc64)(0, &value).to_le_bytes())),
    ];
    check_structure(&rows("Chunk head"), head, fields, &[]);
    assert_eq!(chunks.len(), value.len().div_ceil(chunk_bytes));
    for (index, (chunk, piece)) in chunks.iter().zip(value.chunks(chunk_bytes)).enumerate() {
        let (key, body) = image.body(header.segment, chunk);
        let fields = vec![("value id", id.clone()), ("index", le((index as u32).to_le_bytes()))];
        check_structure(&rows("Chunk key"), key, fields, &[]);
        assert_eq!(body, piece);
    }
}
