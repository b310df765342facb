//! The images that the image targets start from: small stores of several shapes and histories. Every value tells whose it
//! is and proves itself, so that a value that was never put is known without a list of those that were.

use std::sync::OnceLock;

use emberkv_core::{BlockDevice as _, Checksums, Config, Hints, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::Image;
use emberkv_tests::sim::rng::Rng;

use crate::meter::Meter;

/// A shape of a store.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The device's rules.
    pub rules: Rules,
    /// The configuration.
    pub config: Config,
    /// Segments on the device.
    pub segments: u32,
}

/// Shapes.
pub const SHAPES: usize = 5;
/// Histories of each shape; the odd ones are closed.
pub const HISTORIES: usize = 4;

/// A shape by its number.
#[must_use]
pub fn shape(index: usize) -> Shape {
    let small = Config {
        seed: [0x77; 32],
        keys_max: 64,
        key_bytes_max: 32,
        segment_bytes: 8192,
        page_bytes: 1024,
        frames: 32,
        hints: Hints::Omit,
        ..Config::default()
    };
    let nor = Config { segment_bytes: 2048, page_bytes: 256, ..small };
    let hints = Config { hints: Hints::Write, ..small };
    match index % SHAPES {
        0 => Shape { rules: Rules::block(512), config: small, segments: 8 },
        1 => Shape { rules: Rules::block(512), config: hints, segments: 6 },
        2 => Shape {
            rules: Rules::Nor { write_unit: 4, erase_unit: 1024 },
            config: nor,
            segments: 8,
        },
        3 => Shape {
            rules: Rules::Nor { write_unit: 1, erase_unit: 1024 },
            config: Config { hints: Hints::Write, ..nor },
            segments: 8,
        },
        _ => Shape { rules: Rules::block_with_durable_writes(16), config: hints, segments: 5 },
    }
}

/// A store's bytes.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its shape.
    pub shape: Shape,
    /// The bytes.
    pub image: Image,
}

/// Value `number` of a key: the key, the number, a filler, and a checksum of them all.
#[must_use]
pub fn value_of(key: &[u8], number: u32, bytes: usize) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(4 + bytes, 0);
    Rng::for_place(&[u64::from(number), bytes as u64]).fill(&mut value[4..]);
    let sum = (Checksums::PORTABLE.crc64)((Checksums::PORTABLE.crc64)(0, key), &value);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}

/// Whether this was a value of this key at any time, in any history.
#[must_use]
pub fn was_put(key: &[u8], value: &[u8]) -> bool {
    let Some((value, sum)) = value.split_last_chunk::<8>() else { return false };
    let expected = (Checksums::PORTABLE.crc64)((Checksums::PORTABLE.crc64)(0, key), value);
    u64::from_le_bytes(*sum) == expected
}

/// A key of the histories.
#[must_use]
pub fn key(index: u8) -> Vec<u8> {
    format!("key-{:0width$}", index % 16, width = 1 + usize::from(index % 8)).into_bytes()
}

fn build(shape: Shape, history: usize) -> Base {
    let blank = if matches!(shape.rules, Rules::Nor { .. }) { 0xff } else { 0 };
    let mut bytes = vec![blank; 8192 + (shape.segments * shape.config.segment_bytes) as usize];
    let device = MemoryDevice::new(bytes.clone(), shape.rules).expect("the rules are valid");
    let mut arena = vec![0; required_bytes(&shape.config, &device.geometry())];
    let mut rng = Rng::for_place(&[history as u64, u64::from(shape.segments)]);
    // Three sessions: the second resumes the first one's log, or not.
    for session in 0..3_u32 {
        let device = Meter::new(bytes, shape.rules);
        let config = &shape.config;
        let opened = match session {
            0 => Store::format(device, &mut arena, config),
            _ => Store::open(device, &mut arena, config),
        };
        let mut store = opened.expect("a sound store opens");
        for step in 0..14_u32 {
            let key = key(rng.next() as u8);
            let number = session << 8 | step;
            let longest = shape.config.segment_bytes / if rng.one_in(6) { 3 } else { 30 };
            let full = match rng.below(8) {
                0 => store.delete(&key).is_err(),
                1 => {
                    let mut batch = store.batch().expect("a batch");
                    let other = [&key[..], b"+"].concat();
                    let staged = batch.put(&key, &value_of(&key, number, 5)).is_ok()
                        && batch.put(&other, &value_of(&other, number, 6)).is_ok();
                    !staged || batch.commit().is_err()
                }
                _ => {
                    let bytes = rng.below(u64::from(longest)) as usize;
                    store.put(&key, &value_of(&key, number, bytes)).is_err()
                }
            };
            if full {
                break;
            }
            if rng.one_in(3) {
                store.sync().expect("memory does not fail");
            }
        }
        let closes = session == 1 || history % 2 == 1;
        bytes = if closes {
            store.close().expect("memory does not fail").into_bytes()
        } else {
            store.into_device().into_bytes()
        };
    }
    let image = Image::new(bytes, shape.config.page_bytes).expect("a store");
    Base { shape, image }
}

/// A base image.
///
/// # Panics
/// If a sound store does not work.
#[must_use]
pub fn base(index: usize, history: usize) -> &'static Base {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    let bases = BASES.get_or_init(|| {
        (0..SHAPES * HISTORIES)
            .map(|number| build(shape(number / HISTORIES), number % HISTORIES))
            .collect()
    });
    &bases[index % SHAPES * HISTORIES + history % HISTORIES]
}
