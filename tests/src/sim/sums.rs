//! The format's checksums on the vector units of this machine: with tables they are a third of a simulation's time.

use crc_fast::{CrcAlgorithm, Digest};
use emberkv_core::Checksums;

/// CRC-64 of fewer bytes is faster from a table.
const CRC64_SHORT_BYTES: usize = 192;

/// The same values as `Checksums::PORTABLE`.
pub(super) const CHECKSUMS: Checksums = Checksums { crc32c, crc64 };

fn crc32c(earlier: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!earlier));
    digest.update(bytes);
    // The upper half of a CRC-32 is zero.
    digest.finalize() as u32
}

fn crc64(earlier: u64, bytes: &[u8]) -> u64 {
    if bytes.len() < CRC64_SHORT_BYTES {
        return (Checksums::PORTABLE.crc64)(earlier, bytes);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Nvme, !earlier);
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::CHECKSUMS;
    use emberkv_core::Checksums;

    #[test]
    fn every_length_gives_the_value_of_the_tables() {
        let bytes: Vec<u8> = (0..2000_u32).map(|n| ((n * 193) >> 3) as u8).collect();
        for length in 0..bytes.len() {
            let (piece, tables) = (&bytes[..length], Checksums::PORTABLE);
            assert_eq!((CHECKSUMS.crc32c)(7, piece), (tables.crc32c)(7, piece));
            assert_eq!((CHECKSUMS.crc64)(7, piece), (tables.crc64)(7, piece));
        }
    }
}
