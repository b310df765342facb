//! Little-endian integers in byte slices. Out of range reads give 0 and out of range writes do nothing, so that no
//! length taken from a medium can panic here; the callers' slices have constant lengths.

/// Reads one byte.
#[must_use]
pub fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Reads a 16-bit integer.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

/// Reads a 32-bit integer.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Reads a 64-bit integer.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Reads an array of 16 bytes.
#[must_use]
pub fn array16_at(bytes: &[u8], at: usize) -> [u8; 16] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; 16])
}

/// Writes `source` at a place.
pub fn put(bytes: &mut [u8], at: usize, source: &[u8]) {
    if let Some(target) = bytes.get_mut(at..at + source.len()) {
        target.copy_from_slice(source);
    }
}

/// `value` rounded up to a multiple of `unit`, a power of two.
#[must_use]
pub const fn round_up(value: u32, unit: u32) -> u32 {
    (value + (unit - 1)) & !(unit - 1)
}
