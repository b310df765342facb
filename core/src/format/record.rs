//! Records: 12 bytes of header, then key and value.
//!
//! ```text
//! 0 kind u8 | 1 flags u8 | 2 key_bytes u16 | 4 value_bytes u32 | 8 CRC-32C | 12 key | value
//! ```
//! A copy that a merge made carries its sequence, 8 bytes between header and key; every other record has that of its
//! place in the group.
//!
//! A *short* record is a group by itself, without group header and trailer (see [`SHORT_HEADER_BYTES`]):
//!
//! ```text
//! 0 01ct kkkk: c everything before is durable, t tombstone, k key_bytes - 1 | 1 value_bytes u8 | 2 CRC-32C | 6 key | value
//! ```
//! Its sequence is what follows the group before it.
//!
//! The checksum covers, seeded by segment, incarnation and boot: the record's offset, its sequence, the first eight
//! header bytes, and the checksum of key and value. So it holds for one record at one place of one incarnation only.

use super::bytes::{put, u8_at, u16_at, u32_at};
use super::checksum::Checksums;
use crate::types::{EntryKind, Offset, Seq};

/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: u32 = 12;
/// Flag: an 8-byte sequence follows the header (copies of a merge).
pub const FLAG_EXPLICIT_SEQ: u8 = 1;
/// Flag: kept for a snapshot only; recovery ignores the record.
pub const FLAG_OLD: u8 = 2;
/// Flag, in memory only: a short record.
pub const FLAG_SHORT: u8 = 0x80;
/// Bytes before the key of a short record.
pub const SHORT_HEADER_BYTES: u32 = 6;
/// Longest key of a short record.
pub const SHORT_KEY_BYTES_MAX: usize = 16;
/// Longest value of a short record.
pub const SHORT_VALUE_BYTES_MAX: usize = 255;
/// Most bytes of a short record.
pub const SHORT_RECORD_BYTES_MAX: usize =
    SHORT_HEADER_BYTES as usize + SHORT_KEY_BYTES_MAX + SHORT_VALUE_BYTES_MAX;
const SHORT_TAG: u8 = 0x40;
const SHORT_TAG_MASK: u8 = 0xc0;
const SHORT_DURABLE: u8 = 0x20;
const SHORT_TOMBSTONE: u8 = 0x10;
const FLAGS_KNOWN: u8 = FLAG_EXPLICIT_SEQ | FLAG_OLD;
/// Bytes of an explicit sequence.
pub const EXPLICIT_SEQ_BYTES: u32 = 8;

/// The kinds of record. The numbers are the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A key and its value.
    Value = 0x10,
    /// A deleted key.
    Tombstone = 0x11,
    /// A key and the description of its chunked value.
    ChunkHead = 0x12,
    /// One chunk, under an internal key of value id and index.
    Chunk = 0x13,
    /// Hints for records before it in the segment.
    Hints = 0x20,
    /// Where a session takes up the log again.
    Resume = 0x21,
    /// Frees a segment: everything in it that was alive stands before this record.
    Announcement = 0x22,
}

impl RecordKind {
    /// The kind for a byte of the medium.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x10 => Self::Value,
            0x11 => Self::Tombstone,
            0x12 => Self::ChunkHead,
            0x13 => Self::Chunk,
            0x20 => Self::Hints,
            0x21 => Self::Resume,
            0x22 => Self::Announcement,
            _ => return None,
        })
    }

    /// The keydir entry that a record of this kind makes.
    #[must_use]
    pub const fn entry_kind(self) -> Option<EntryKind> {
        Some(match self {
            Self::Value => EntryKind::Value,
            Self::Tombstone => EntryKind::Tombstone,
            Self::ChunkHead => EntryKind::ChunkHead,
            Self::Chunk => EntryKind::Chunk,
            Self::Hints | Self::Resume | Self::Announcement => return None,
        })
    }

    /// The kind of record behind a keydir entry.
    #[must_use]
    pub const fn of_entry(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Value => Self::Value,
            EntryKind::Tombstone => Self::Tombstone,
            EntryKind::ChunkHead => Self::ChunkHead,
            EntryKind::Chunk => Self::Chunk,
        }
    }
}

/// A decoded record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the record is.
    pub kind: RecordKind,
    /// [`FLAG_EXPLICIT_SEQ`], [`FLAG_OLD`].
    pub flags: u8,
    /// Bytes of the key.
    pub key_bytes: u16,
    /// Bytes of the value.
    pub value_bytes: u32,
    /// The stored checksum.
    pub checksum: u32,
}

impl RecordHeader {
    /// Decodes a header; `None` for an unknown kind or unknown flags.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if is_short(u8_at(bytes, 0)) {
            return Self::decode_short(bytes);
        }
        let flags = u8_at(bytes, 1);
        // An old version without its own sequence would take one that it never had.
        if flags & !FLAGS_KNOWN != 0 || flags == FLAG_OLD {
            return None;
        }
        Some(Self {
            kind: RecordKind::from_byte(u8_at(bytes, 0))?,
            flags,
            key_bytes: u16_at(bytes, 2),
            value_bytes: u32_at(bytes, 4),
            checksum: u32_at(bytes, 8),
        })
    }

    fn decode_short(bytes: &[u8]) -> Option<Self> {
        let (tag, value_bytes) = (u8_at(bytes, 0), u8_at(bytes, 1));
        let is_tombstone = tag & SHORT_TOMBSTONE != 0;
        if is_tombstone && value_bytes != 0 {
            return None;
        }
        Some(Self {
            kind: if is_tombstone { RecordKind::Tombstone } else { RecordKind::Value },
            flags: FLAG_SHORT,
            key_bytes: u16::from(tag & 0x0f) + 1,
            value_bytes: u32::from(value_bytes),
            checksum: u32_at(bytes, 2),
        })
    }

    /// Whether this is a short record, a group by itself.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.flags & FLAG_SHORT != 0
    }

    /// Bytes before the key: the header, and the sequence where it is explicit.
    #[must_use]
    pub const fn prefix_bytes(&self) -> u32 {
        if self.is_short() {
            SHORT_HEADER_BYTES
        } else if self.flags & FLAG_EXPLICIT_SEQ != 0 {
            RECORD_HEADER_BYTES + EXPLICIT_SEQ_BYTES
        } else {
            RECORD_HEADER_BYTES
        }
    }

    /// Bytes of the whole record without alignment; saturates, so that a damaged length compares as too large.
    #[must_use]
    pub const fn record_bytes(&self) -> u32 {
        self.value_bytes.saturating_add(self.key_bytes as u32 + self.prefix_bytes())
    }

    /// Whether the record is an old version, kept for a snapshot only.
    #[must_use]
    pub const fn is_old(&self) -> bool {
        self.flags & FLAG_OLD != 0
    }
}

/// What a record's header is made from.
#[derive(Clone, Copy, Debug)]
pub struct RecordShape {
    /// What the record is.
    pub kind: RecordKind,
    /// [`FLAG_EXPLICIT_SEQ`], [`FLAG_OLD`].
    pub flags: u8,
    /// Bytes of the key.
    pub key_bytes: u16,
    /// Bytes of the value.
    pub value_bytes: u32,
    /// CRC-32C of key and value.
    pub inner: u32,
}

impl RecordShape {
    /// A record without flags, with these bytes of key and value.
    #[must_use]
    pub const fn plain(kind: RecordKind, sizes: (u16, u32), inner: u32) -> Self {
        Self { kind, flags: 0, key_bytes: sizes.0, value_bytes: sizes.1, inner }
    }
}

/// Encodes a header. `seed` is that of the segment (see `group::Seeds`).
#[must_use]
pub fn encode_header(
    shape: &RecordShape,
    place: (Offset, Seq),
    seed: u32,
    sums: &Checksums,
) -> [u8; RECORD_HEADER_BYTES as usize] {
    let mut bytes = [0; RECORD_HEADER_BYTES as usize];
    put(&mut bytes, 0, &[shape.kind as u8, shape.flags]);
    put(&mut bytes, 2, &shape.key_bytes.to_le_bytes());
    put(&mut bytes, 4, &shape.value_bytes.to_le_bytes());
    let sum = checksum(&bytes, place, shape.inner, seed, sums);
    put(&mut bytes, 8, &sum.to_le_bytes());
    bytes
}

/// Whether a short record may begin with this byte.
#[must_use]
pub const fn is_short(byte: u8) -> bool {
    byte & SHORT_TAG_MASK == SHORT_TAG
}

/// Whether a short record's first byte says that everything before it was durable.
#[must_use]
pub const fn short_claims(byte: u8) -> bool {
    byte & SHORT_DURABLE != 0
}

/// What a short record says of the log before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// All of it in this segment was durable when the record was encoded.
    Durable,
    /// Nothing.
    Unknown,
}

/// Encodes the header of a short record. Its key has 1 to 16 bytes, its value at most 255.
#[must_use]
pub fn encode_short(
    shape: &RecordShape,
    place: (Offset, Seq),
    before: Before,
    seed: u32,
    sums: &Checksums,
) -> [u8; SHORT_HEADER_BYTES as usize] {
    let mut bytes = [0; SHORT_HEADER_BYTES as usize];
    let durable = if before == Before::Durable { SHORT_DURABLE } else { 0 };
    let tombstone = if shape.kind == RecordKind::Tombstone { SHORT_TOMBSTONE } else { 0 };
    let key = (shape.key_bytes - 1) as u8 & 0x0f;
    put(&mut bytes, 0, &[SHORT_TAG | durable | tombstone | key, shape.value_bytes as u8]);
    let sum = short_checksum(&bytes, place, shape.inner, seed, sums);
    put(&mut bytes, 2, &sum.to_le_bytes());
    bytes
}

/// The state of a short record's checksum before the low half of the sequence, which comes last: see [`short_seq`].
fn short_prefix(
    header: &[u8],
    place: (Offset, u32),
    inner: u32,
    seed: u32,
    sums: &Checksums,
) -> u32 {
    let mut covered = [0; 14];
    put(&mut covered, 0, &place.0.0.to_le_bytes());
    put(&mut covered, 4, &place.1.to_le_bytes());
    put(&mut covered, 8, &header[..2]);
    put(&mut covered, 10, &inner.to_le_bytes());
    (sums.crc32c)(seed, &covered)
}

fn short_checksum(
    header: &[u8],
    place: (Offset, Seq),
    inner: u32,
    seed: u32,
    sums: &Checksums,
) -> u32 {
    let (offset, seq) = place;
    let prefix = short_prefix(header, (offset, (seq.0 >> 32) as u32), inner, seed, sums);
    (sums.crc32c)(prefix, &(seq.0 as u32).to_le_bytes())
}

/// The low half of the sequence with which a short record would be whole: there is exactly one, since a CRC of 32 bits
/// maps the last four bytes that it covers one to one. So a reader who does not know the sequence needs no search, and
/// believes the record if that one lies where it may lie.
#[must_use]
pub fn short_seq(
    header: &[u8],
    place: (Offset, u32),
    inner: u32,
    seed: u32,
    sums: &Checksums,
) -> u32 {
    /// The reflected polynomial of CRC-32C.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    // Both registers without the final inversion.
    let before = !short_prefix(header, place, inner, seed, sums);
    let mut register = !u32_at(header, 2);
    for _ in 0..32 {
        // The step shifts right and folds the polynomial in, whose top bit is set: so the top bit tells whether it did.
        let folded = register >> 31 != 0;
        register = if folded { (register ^ POLYNOMIAL) << 1 | 1 } else { register << 1 };
    }
    register ^ before
}

/// The checksum that a record header must carry.
#[must_use]
pub fn checksum(
    header: &[u8],
    place: (Offset, Seq),
    inner: u32,
    seed: u32,
    sums: &Checksums,
) -> u32 {
    if is_short(u8_at(header, 0)) {
        return short_checksum(header, place, inner, seed, sums);
    }
    let mut covered = [0; 24];
    put(&mut covered, 0, &place.0.0.to_le_bytes());
    put(&mut covered, 4, &place.1.0.to_le_bytes());
    put(&mut covered, 12, &header[..8]);
    put(&mut covered, 20, &inner.to_le_bytes());
    (sums.crc32c)(seed, &covered)
}
