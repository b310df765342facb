//! The two checksums of the format: CRC-32C for records, CRC-64/NVME for groups and everything else.
//!
//! Both continue: `crc32c(crc32c(0, a), b) == crc32c(0, a ++ b)`. Hosts may plug in hardware versions that give the
//! same values.

use crc::{CRC_32_ISCSI, CRC_64_NVME, Crc, Table};

#[cfg(feature = "fast-checksums")]
type Lookup = Table<16>;
#[cfg(not(feature = "fast-checksums"))]
type Lookup = Table<1>;

static CRC32C: Crc<u32, Lookup> = Crc::<u32, Lookup>::new(&CRC_32_ISCSI);
static CRC64: Crc<u64, Lookup> = Crc::<u64, Lookup>::new(&CRC_64_NVME);

/// The implementation of the checksums: two continuing functions.
#[derive(Clone, Copy, Debug)]
pub struct Checksums {
    /// CRC-32C (Castagnoli), continued from an earlier result; 0 starts.
    pub crc32c: fn(u32, &[u8]) -> u32,
    /// CRC-64/NVME, continued from an earlier result; 0 starts.
    pub crc64: fn(u64, &[u8]) -> u64,
}

impl Checksums {
    /// Table-driven, for every machine. The feature `fast-checksums` chooses larger tables.
    pub const PORTABLE: Self = Self { crc32c, crc64 };
}

fn crc32c(earlier: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC32C.digest_with_initial((!earlier).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

fn crc64(earlier: u64, bytes: &[u8]) -> u64 {
    let mut digest = CRC64.digest_with_initial((!earlier).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::Checksums;

    #[test]
    fn check_values_are_those_of_the_catalogue() {
        assert_eq!((Checksums::PORTABLE.crc32c)(0, b"123456789"), 0xe306_9283);
        assert_eq!((Checksums::PORTABLE.crc64)(0, b"123456789"), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn both_continue() {
        let sums = Checksums::PORTABLE;
        assert_eq!(
            (sums.crc32c)((sums.crc32c)(0, b"1234"), b"56789"),
            (sums.crc32c)(0, b"123456789")
        );
        assert_eq!((sums.crc64)((sums.crc64)(0, b"1234"), b"56789"), (sums.crc64)(0, b"123456789"));
    }
}
