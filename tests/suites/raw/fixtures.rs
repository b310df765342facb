//! For each signature the least image that carries it, built from the formats' own descriptions,
//! not from the tables of the probe.

use emberkv_raw::probe::Signature;

/// Bytes of every image: both zones, and some between them.
pub(crate) const IMAGE_BYTES: usize = 4 << 20;

/// What is known by constant bytes: where, and which.
const PLAIN: &[(Signature, usize, &[u8])] = &[
    (Signature::Luks, 0, b"LUKS\xba\xbe\0\x02"),
    (Signature::BitLocker, 0, b"\xeb\x58\x90-FVE-FS-"),
    (Signature::Ntfs, 0, b"\xeb\x52\x90NTFS    \0\x02\x08"),
    (Signature::Refs, 0, b"\0\0\0ReFS\0\0\0\0\0\0\0\0\0FSRS"),
    (Signature::ExFat, 0, b"\xeb\x76\x90EXFAT   "),
    (Signature::Iso9660, 32768, b"\x01CD001\x01"),
    (Signature::Udf, 32768, b"\0BEA01\x01"),
    (Signature::Lvm2, 512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001"),
    (Signature::Vdo, 0, b"dmvdo001"),
    (Signature::BlueStore, 0, b"bluestore block device\n"),
    (Signature::OracleAsm, 32, b"ORCLDISKVOL1"),
    (Signature::Xfs, 0, b"XFSB\0\0\x10\0"),
    (Signature::Btrfs, 65600, b"_BHRfS_M"),
    (Signature::F2fs, 1024, b"\x10\x20\xf5\xf2\x01\0\x0f\0"),
    (Signature::Erofs, 1024, b"\xe2\xe1\xf5\xe0"),
    (Signature::Squashfs, 0, b"hsqs"),
    (Signature::Cramfs, 0, b"\x45\x3d\xcd\x28"),
    (Signature::Romfs, 0, b"-rom1fs-"),
    (Signature::Jfs, 32768, b"JFS1\x01\0\0\0"),
    (Signature::Reiserfs, 65588, b"ReIsEr2Fs"),
    (Signature::Nilfs2, 1024, b"\x02\0\0\0\0\0\x34\x34"),
    (Signature::Gfs2, 65536, b"\x01\x16\x19\x70\0\0\0\x01"),
    (Signature::Ocfs2, 8192, b"OCFSV2"),
    (Signature::Ubifs, 0, b"\x31\x18\x10\x06"),
    (Signature::Ubi, 0, b"UBI#\x01"),
    (Signature::Jffs2, 0, b"\x85\x19\x03\x20\x0c\0\0\0"),
    (Signature::Littlefs, 4096, b"\x01\0\0\0\xf0\x0f\xff\xf7littlefs"),
    (Signature::Apfs, 32, b"NXSB"),
    (Signature::HfsPlus, 1024, b"H+\0\x04"),
    (Signature::Swap, 4086, b"SWAPSPACE2"),
    (Signature::Hibernation, 4086, b"S1SUSPEND\0"),
    (Signature::Sqlite, 0, b"SQLite format 3\0"),
    (Signature::Lmdb, 16, b"\xde\xc0\xef\xbe\x01\0\0\0"),
    (Signature::Bolt, 16, b"\xed\xda\x0c\xed\x02\0\0\0"),
    (Signature::Redb, 0, b"redb\x1a\x0a\xa9\x0d\x0a"),
    (Signature::BerkeleyDb, 12, b"\x62\x31\x05\0\x09\0\0\0"),
    (Signature::Gdbm, 0, b"\xce\x9a\x57\x13"),
    (Signature::TokyoCabinet, 0, b"ToKyO CaBiNeT\n"),
    (Signature::KyotoCabinet, 0, b"KC\n\x10\x0e\x06\xb4"),
];

/// Further places and forms of kinds that are above or below.
const VARIANTS: &[(Signature, usize, &[u8])] = &[
    (Signature::Luks, 16384, b"SKUL\xba\xbe\0\x02"),
    (Signature::Lvm2, 1536, b"LABELONE"),
    (Signature::Gpt, 4096, b"EFI PART\0\0\x01\0"),
    (Signature::GptBackup, IMAGE_BYTES - 4096, b"EFI PART\0\0\x01\0"),
    (Signature::Squashfs, 0, b"sqsh"),
    (Signature::Jffs2, 0, b"\x19\x85\x20\x03\0\0\0\x0c"),
    (Signature::Littlefs, 0, b"\x01\0\0\0\xf0\x0f\xff\xf7littlefs"),
    (Signature::Swap, 65526, b"SWAPSPACE2"),
    (Signature::Swap, 4086, b"SWAP-SPACE"),
    (Signature::BerkeleyDb, 12, b"\0\x06\x15\x61\0\0\0\x09"),
    // md 1.1 at the start, 1.0 8 KiB before the end, 0.90 64 KiB before it in both byte orders.
    (Signature::Md, 0, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
    (Signature::Md, IMAGE_BYTES - 8192, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
    (Signature::Md, IMAGE_BYTES - 65536, b"\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0"),
    (Signature::Md, IMAGE_BYTES - 65536, b"\xa9\x2b\x4e\xfc\0\0\0\0\0\0\0\x5a"),
    // The last label of ZFS, from a machine of the other byte order.
    (Signature::Zfs, IMAGE_BYTES - (128 << 10), b"\0\0\0\0\0\xba\xb1\x0c"),
    (Signature::Zfs, (384 << 10) + 8192, b"\x0c\xb1\xba\0\0\0\0\0"),
];

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn planted(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = vec![0; IMAGE_BYTES];
    put(&mut image, at, bytes);
    image
}

/// An image of this kind.
pub(crate) fn image_of(kind: Signature) -> Vec<u8> {
    if let Some((_, at, bytes)) = PLAIN.iter().find(|row| row.0 == kind) {
        return planted(*at, bytes);
    }
    match kind {
        Signature::Md => planted(4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
        Signature::Imsm => planted(IMAGE_BYTES - 1024, b"Intel Raid ISM Cfg Sig. 1.3.00"),
        Signature::Ddf => planted(IMAGE_BYTES - 512, b"\xde\x11\xde\x11"),
        Signature::Drbd => planted(IMAGE_BYTES - 4096 + 60, b"\x83\x74\x02\x6b"),
        Signature::Gpt => gpt(),
        Signature::GptBackup => planted(IMAGE_BYTES - 512, b"EFI PART\0\0\x01\0\x5c\0\0\0"),
        Signature::Mbr => mbr(0x83),
        Signature::Fat => fat(),
        Signature::Zfs => planted(128 << 10, b"\x0c\xb1\xba\0\0\0\0\0"),
        Signature::Bcache => planted(4096 + 24, &uuid("c68573f64e1a45ca8265f57f48ba6d81")),
        Signature::Bcachefs => planted(4096 + 24, &uuid("c68573f666ce90a9d96a60cf803df7ef")),
        // Sparse superblocks only; with a journal; with extents too.
        Signature::Ext2 => ext(0, 0x02, 0x01),
        Signature::Ext3 => ext(0x04, 0x06, 0x03),
        Signature::Ext4 => ext(0x3c, 0x2c2, 0x46b),
        other => panic!("no fixture for {other:?}"),
    }
}

/// The images of other forms, with what they are.
pub(crate) fn variants() -> impl Iterator<Item = (Signature, Vec<u8>)> {
    VARIANTS.iter().map(|(kind, at, bytes)| (*kind, planted(*at, bytes)))
}

fn uuid(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

/// One partition from sector 2048.
fn mbr(kind: u8) -> Vec<u8> {
    let mut image = planted(510, &[0x55, 0xaa]);
    put(&mut image, 446, &[0x80, 0, 2, 0, kind, 0, 9, 9]);
    put(&mut image, 454, &2048_u32.to_le_bytes());
    put(&mut image, 458, &4096_u32.to_le_bytes());
    image
}

/// Both headers, and the protective MBR.
fn gpt() -> Vec<u8> {
    let mut image = mbr(0xee);
    put(&mut image, 512, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    put(&mut image, IMAGE_BYTES - 512, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    image
}

fn fat() -> Vec<u8> {
    let mut image = planted(510, &[0x55, 0xaa]);
    put(&mut image, 0, b"\xeb\x3c\x90mkfs.fat");
    put(&mut image, 11, &512_u16.to_le_bytes());
    put(&mut image, 13, &[4, 4, 0, 2]);
    put(&mut image, 19, &8192_u16.to_le_bytes());
    put(&mut image, 21, &[0xf8]);
    image
}

fn ext(compatible: u32, incompatible: u32, read_only: u32) -> Vec<u8> {
    let mut image = planted(1024 + 56, &[0x53, 0xef, 1, 0]);
    put(&mut image, 1024 + 24, &2_u32.to_le_bytes());
    put(&mut image, 1024 + 76, &1_u32.to_le_bytes());
    put(&mut image, 1024 + 92, &compatible.to_le_bytes());
    put(&mut image, 1024 + 96, &incompatible.to_le_bytes());
    put(&mut image, 1024 + 100, &read_only.to_le_bytes());
    image
}
