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

    /// With tables of 64 and 128 bytes, four bits at a time: where 3 KiB of constants are too much.
    pub const SMALL: Self = Self { crc32c: small_crc32c, crc64: small_crc64 };
}

/// The reflected polynomials of CRC-32C and CRC-64/NVME.
const POLYNOMIAL_32: u64 = 0x82f6_3b78;
const POLYNOMIAL_64: u64 = 0x9a6c_9329_ac4b_c9b5;

/// What four bits do to a register.
const fn nibble(polynomial: u64, index: usize) -> u64 {
    let (mut value, mut bit) = (index as u64, 0);
    while bit < 4 {
        value = if value & 1 == 1 { value >> 1 ^ polynomial } else { value >> 1 };
        bit += 1;
    }
    value
}

static NIBBLES_32: [u32; 16] = {
    let (mut table, mut index) = ([0; 16], 0);
    while index < 16 {
        table[index] = nibble(POLYNOMIAL_32, index) as u32;
        index += 1;
    }
    table
};

static NIBBLES_64: [u64; 16] = {
    let (mut table, mut index) = ([0; 16], 0);
    while index < 16 {
        table[index] = nibble(POLYNOMIAL_64, index);
        index += 1;
    }
    table
};

fn small_crc32c(earlier: u32, bytes: &[u8]) -> u32 {
    let mut register = !earlier;
    for &byte in bytes {
        register ^= u32::from(byte);
        register = register >> 4 ^ NIBBLES_32[(register & 15) as usize];
        register = register >> 4 ^ NIBBLES_32[(register & 15) as usize];
    }
    !register
}

fn small_crc64(earlier: u64, bytes: &[u8]) -> u64 {
    let mut register = !earlier;
    for &byte in bytes {
        register ^= u64::from(byte);
        register = register >> 4 ^ NIBBLES_64[(register & 15) as usize];
        register = register >> 4 ^ NIBBLES_64[(register & 15) as usize];
    }
    !register
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
    fn small_tables_give_the_same_values() {
        let bytes: [u8; 300] = core::array::from_fn(|index| ((index * 31) >> 3) as u8);
        let (small, portable) = (Checksums::SMALL, Checksums::PORTABLE);
        for count in 0..bytes.len() {
            let (first, rest) = bytes[..count].split_at(count / 3);
            assert_eq!((small.crc32c)(7, first), (portable.crc32c)(7, first));
            assert_eq!((small.crc64)(7, first), (portable.crc64)(7, first));
            let whole = (portable.crc64)(0, &bytes[..count]);
            assert_eq!((small.crc64)((small.crc64)(0, first), rest), whole);
        }
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
