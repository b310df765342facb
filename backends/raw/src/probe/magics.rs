//! Kinds that are known by constant bytes at constant places. The numbers are those of the formats'
//! own documents and headers.

use super::signature::Signature::{self, *};
use super::zones::Zones;

/// Where bytes are looked for.
enum Place {
    /// From the start of the device.
    At(u64),
    /// Before its end.
    BeforeEnd(u64),
}

use Place::{At, BeforeEnd};

const KIB: u64 = 1 << 10;

/// Volume identifiers of ISO 9660 and UDF begin in sector 16 of 2 KiB, behind one byte of type.
const VOLUME: u64 = 32 * KIB + 1;

const TABLE: &[(Signature, Place, &[u8])] = &[
    (Imsm, BeforeEnd(1024), b"Intel Raid ISM Cfg Sig. "),
    (Imsm, BeforeEnd(8192), b"Intel Raid ISM Cfg Sig. "),
    (Ddf, BeforeEnd(512), &[0xde, 0x11, 0xde, 0x11]),
    (Ddf, BeforeEnd(4096), &[0xde, 0x11, 0xde, 0x11]),
    // The primary header lies in the second sector, of whatever size.
    (Gpt, At(512), b"EFI PART"),
    (Gpt, At(1024), b"EFI PART"),
    (Gpt, At(2048), b"EFI PART"),
    (Gpt, At(4096), b"EFI PART"),
    (GptBackup, BeforeEnd(512), b"EFI PART"),
    (GptBackup, BeforeEnd(1024), b"EFI PART"),
    (GptBackup, BeforeEnd(2048), b"EFI PART"),
    (GptBackup, BeforeEnd(4096), b"EFI PART"),
    (BitLocker, At(3), b"-FVE-FS-"),
    (Ntfs, At(3), b"NTFS    "),
    (Refs, At(3), b"ReFS\0\0\0\0"),
    (ExFat, At(3), b"EXFAT   "),
    (Iso9660, At(VOLUME), b"CD001"),
    (Udf, At(VOLUME), b"BEA01"),
    (Udf, At(VOLUME), b"NSR02"),
    (Udf, At(VOLUME), b"NSR03"),
    (Luks, At(0), b"LUKS\xba\xbe"),
    // The second header of LUKS2, in case that the first one is damaged.
    (Luks, At(16 * KIB), b"SKUL\xba\xbe"),
    (Luks, At(32 * KIB), b"SKUL\xba\xbe"),
    (Luks, At(64 * KIB), b"SKUL\xba\xbe"),
    (Luks, At(128 * KIB), b"SKUL\xba\xbe"),
    (Luks, At(256 * KIB), b"SKUL\xba\xbe"),
    (Luks, At(512 * KIB), b"SKUL\xba\xbe"),
    // A label may lie in any of the first four sectors.
    (Lvm2, At(0), b"LABELONE"),
    (Lvm2, At(512), b"LABELONE"),
    (Lvm2, At(1024), b"LABELONE"),
    (Lvm2, At(1536), b"LABELONE"),
    (Vdo, At(0), b"dmvdo001"),
    (Bcache, At(4 * KIB + 24), b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"),
    (
        Bcachefs,
        At(4 * KIB + 24),
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    (BlueStore, At(0), b"bluestore block device"),
    (OracleAsm, At(32), b"ORCLDISK"),
    (Xfs, At(0), b"XFSB"),
    (Btrfs, At(64 * KIB + 64), b"_BHRfS_M"),
    (F2fs, At(KIB), &[0x10, 0x20, 0xf5, 0xf2]),
    (Erofs, At(KIB), &[0xe2, 0xe1, 0xf5, 0xe0]),
    (Squashfs, At(0), b"hsqs"),
    (Squashfs, At(0), b"sqsh"),
    (Cramfs, At(0), &[0x45, 0x3d, 0xcd, 0x28]),
    (Cramfs, At(0), &[0x28, 0xcd, 0x3d, 0x45]),
    (Cramfs, At(512), &[0x45, 0x3d, 0xcd, 0x28]),
    (Romfs, At(0), b"-rom1fs-"),
    (Jfs, At(32 * KIB), b"JFS1"),
    (Reiserfs, At(64 * KIB + 52), b"ReIsErFs"),
    (Reiserfs, At(64 * KIB + 52), b"ReIsEr2Fs"),
    (Reiserfs, At(64 * KIB + 52), b"ReIsEr3Fs"),
    // Big-endian: the magic number, and the type of a superblock.
    (Gfs2, At(64 * KIB), &[0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1]),
    // In block 2, of whatever size.
    (Ocfs2, At(KIB), b"OCFSV2"),
    (Ocfs2, At(2 * KIB), b"OCFSV2"),
    (Ocfs2, At(4 * KIB), b"OCFSV2"),
    (Ocfs2, At(8 * KIB), b"OCFSV2"),
    (Ubifs, At(0), &[0x31, 0x18, 0x10, 0x06]),
    (Ubi, At(0), b"UBI#"),
    (Apfs, At(32), b"NXSB"),
    // With the version, 4 or 5.
    (HfsPlus, At(KIB), b"H+\0\x04"),
    (HfsPlus, At(KIB), b"HX\0\x05"),
    (Sqlite, At(0), b"SQLite format 3\0"),
    // Behind the header of the first page.
    (Lmdb, At(16), &[0xde, 0xc0, 0xef, 0xbe]),
    (Bolt, At(16), &[0xed, 0xda, 0x0c, 0xed]),
    (Redb, At(0), b"redb\x1a\x0a\xa9\x0d\x0a"),
    (TokyoCabinet, At(0), b"ToKyO CaBiNeT"),
    (KyotoCabinet, At(0), b"KC\n"),
];

/// Whether bytes of this kind are where they belong.
pub(super) fn has_magic(zones: &Zones<'_>, kind: Signature) -> bool {
    TABLE.iter().filter(|row| row.0 == kind).any(|(_, place, magic)| match *place {
        At(address) => zones.holds(address, magic),
        BeforeEnd(distance) => zones.holds_before_end(distance, magic),
    })
}
