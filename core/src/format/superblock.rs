//! The superblock: who the store is and how it is cut. Two copies, written at format time and never again.
//!
//! ```text
//! 0 magic 8 | 8 version u16 | 10 key_bytes_max u16 | 12 compat u32 | 16 ro_compat u32 | 20 incompat u32
//! 24 store id 16 | 40 secret 16 | 56 commit_unit u32 | 60 segment_bytes u32 | 64 segments_max u32
//! 68 stride u32 | 72 data_offset u64 | 80 align_shift u8 | 81 copy u8 | 82 0 u16 | 84 record_bytes_max u32
//! 88 zeros | 120 CRC-64 of 0..120
//! ```

use super::bytes::{array16_at, put, u8_at, u16_at, u32_at, u64_at};
use super::checksum::Checksums;
use super::group::GROUP_HEADER_BYTES;
use crate::error::Error;

/// Bytes of an encoded superblock.
pub const SUPERBLOCK_BYTES: usize = 128;
/// First bytes of every store.
pub const MAGIC: [u8; 8] = *b"EMBERKV\n";
/// The format version that this program writes.
pub const VERSION: u16 = 1;
/// The copies lie at 0 and at the stride: at least this far apart.
pub const STRIDE_MIN: u32 = 4096;
/// The largest distance of the copies that open looks for when the first one is damaged.
pub const STRIDE_MAX: u32 = 1 << 20;
/// Records lie at multiples of 16 bytes at most: the first one of a group follows its header of 16 bytes.
pub const ALIGN_SHIFT_MAX: u8 = 4;
/// Incompatible feature: records may be short ones.
pub const INCOMPAT_SHORT_RECORDS: u32 = 1;
/// Largest commit unit of a store with short records, each of which is padded to one.
pub const SHORT_UNIT_MAX: u32 = 16;
const CHECKSUM_AT: usize = 120;

const _: () = assert!(GROUP_HEADER_BYTES == 1 << ALIGN_SHIFT_MAX);

/// Identity and geometry of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Longest key.
    pub key_bytes_max: u16,
    /// Who the store is; part of every checksum's seed.
    pub store_id: [u8; 16],
    /// Keys the hash of the keydir.
    pub secret: [u8; 16],
    /// What commits are padded to.
    pub commit_unit: u32,
    /// Bytes of a segment, a power of two.
    pub segment_bytes: u32,
    /// Most segments that the store may ever have: the bits of the header's bitmap.
    pub segments_max: u32,
    /// Distance of the two copies of the superblock.
    pub stride: u32,
    /// Address of segment 0.
    pub data_offset: u64,
    /// Records start at multiples of `1 << align_shift` bytes.
    pub align_shift: u8,
    /// Most bytes of a record, header included.
    pub record_bytes_max: u32,
    /// Features that a reader must know: [`INCOMPAT_SHORT_RECORDS`].
    pub incompat: u32,
}

impl Superblock {
    /// Encodes one of the two copies.
    #[must_use]
    pub fn encode(&self, sums: &Checksums, copy: u8) -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 10, &self.key_bytes_max.to_le_bytes());
        put(&mut bytes, 20, &self.incompat.to_le_bytes());
        put(&mut bytes, 24, &self.store_id);
        put(&mut bytes, 40, &self.secret);
        put(&mut bytes, 56, &self.commit_unit.to_le_bytes());
        put(&mut bytes, 60, &self.segment_bytes.to_le_bytes());
        put(&mut bytes, 64, &self.segments_max.to_le_bytes());
        put(&mut bytes, 68, &self.stride.to_le_bytes());
        put(&mut bytes, 72, &self.data_offset.to_le_bytes());
        put(&mut bytes, 80, &[self.align_shift, copy]);
        put(&mut bytes, 84, &self.record_bytes_max.to_le_bytes());
        let sum = (sums.crc64)(0, &bytes[..CHECKSUM_AT]);
        put(&mut bytes, CHECKSUM_AT, &sum.to_le_bytes());
        bytes
    }

    /// Decodes and checks one copy.
    ///
    /// # Errors
    /// `NotAStore` where magic or checksum are wrong, `UnsupportedVersion` and `UnsupportedFeatures` where the store is
    /// newer, `Config` where a value lies outside of what any version writes.
    pub fn decode(sums: &Checksums, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < SUPERBLOCK_BYTES || !bytes.starts_with(&MAGIC) {
            return Err(Error::NotAStore);
        }
        if (sums.crc64)(0, &bytes[..CHECKSUM_AT]) != u64_at(bytes, CHECKSUM_AT) {
            return Err(Error::NotAStore);
        }
        let found = u16_at(bytes, 8);
        if found != VERSION {
            return Err(Error::UnsupportedVersion { found });
        }
        // Unknown incompatible features refuse, read-only compatible ones refuse writing, and as there is no telling here
        // how the store will be used, both refuse.
        let incompat = u32_at(bytes, 20);
        let bits = u32_at(bytes, 16) | incompat & !INCOMPAT_SHORT_RECORDS;
        if bits != 0 {
            return Err(Error::UnsupportedFeatures { bits });
        }
        let block = Self {
            key_bytes_max: u16_at(bytes, 10),
            store_id: array16_at(bytes, 24),
            secret: array16_at(bytes, 40),
            commit_unit: u32_at(bytes, 56),
            segment_bytes: u32_at(bytes, 60),
            segments_max: u32_at(bytes, 64),
            stride: u32_at(bytes, 68),
            data_offset: u64_at(bytes, 72),
            align_shift: u8_at(bytes, 80),
            record_bytes_max: u32_at(bytes, 84),
            incompat,
        };
        block.validate()?;
        Ok(block)
    }

    fn validate(&self) -> Result<(), Error> {
        let fail = |field, want| Err(Error::Config { field, want });
        if !self.segment_bytes.is_power_of_two()
            || !(1 << 10..=1 << 30).contains(&self.segment_bytes)
        {
            return fail("superblock segment_bytes", "a power of two from 1 KiB to 1 GiB");
        }
        if !self.commit_unit.is_power_of_two() || self.commit_unit > self.segment_bytes / 8 {
            return fail(
                "superblock commit_unit",
                "a power of two, at most an eighth of a segment",
            );
        }
        if self.segments_max == 0 || self.segments_max > 1 << 20 {
            return fail("superblock segments_max", "1 to 2^20");
        }
        if !(STRIDE_MIN..=STRIDE_MAX).contains(&self.stride) || !self.stride.is_power_of_two() {
            return fail("superblock stride", "a power of two from 4 KiB to 1 MiB");
        }
        if self.align_shift > ALIGN_SHIFT_MAX || (1u32 << self.align_shift) > self.commit_unit {
            return fail("superblock align_shift", "0 to 4, and at most the commit unit");
        }
        if self.key_bytes_max == 0
            || self.record_bytes_max > self.segment_bytes / 8
            || self.record_bytes_max < 64
        {
            return fail("superblock record_bytes_max", "64 to an eighth of a segment");
        }
        if u32::from(self.key_bytes_max) + 64 > self.record_bytes_max {
            return fail("superblock key_bytes_max", "64 bytes less than a record");
        }
        if self.incompat & INCOMPAT_SHORT_RECORDS != 0 && self.commit_unit > SHORT_UNIT_MAX {
            return fail("superblock incompat", "short records with a unit of at most 16 only");
        }
        if self.stride < self.commit_unit {
            return fail("superblock stride", "at least the commit unit");
        }
        if self.data_offset < 2 * u64::from(self.stride)
            || self.data_offset > 1 << 32
            || !self.data_offset.is_multiple_of(u64::from(self.stride))
        {
            return fail("superblock data_offset", "behind both superblocks, a multiple of stride");
        }
        Ok(())
    }
}
