//! The kinds of content that are known by name.

use core::fmt;
use core::str::FromStr;

/// No content has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName;

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no kind of content has this name")
    }
}

impl std::error::Error for UnknownName {}

/// The kinds, each with its one-word name and what it is in a sentence.
macro_rules! signatures {
    ($($kind:ident $name:literal $text:literal,)+) => {
        /// A kind of content that is not ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Signature {
            $(#[doc = concat!("It holds ", $text, ".")] $kind,)+
        }

        impl Signature {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// One word for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$kind => $text,)+ }
            }
        }
    };
}

// In this order they are looked for: what holds the others first, what may be a leftover last.
signatures! {
    Md "md" "a member of a Linux software RAID",
    Imsm "imsm" "a member of an Intel firmware RAID",
    Ddf "ddf" "a member of a firmware RAID (DDF)",
    Drbd "drbd" "a DRBD replica",
    Gpt "gpt" "a GPT partition table",
    BitLocker "bitlocker" "a BitLocker encrypted volume",
    Ntfs "ntfs" "an NTFS file system",
    Refs "refs" "a ReFS file system",
    ExFat "exfat" "an exFAT file system",
    Fat "fat" "a FAT file system",
    Iso9660 "iso9660" "an ISO 9660 image",
    Mbr "mbr" "an MBR partition table",
    Luks "luks" "a LUKS encrypted volume",
    Lvm2 "lvm2" "an LVM2 physical volume",
    Vdo "vdo" "a VDO volume",
    Zfs "zfs" "a member of a ZFS pool",
    Bcache "bcache" "a bcache device",
    Bcachefs "bcachefs" "a bcachefs file system",
    BlueStore "bluestore" "a Ceph BlueStore device",
    OracleAsm "oracleasm" "an Oracle ASM disk",
    Ext2 "ext2" "an ext2 file system",
    Ext3 "ext3" "an ext3 file system",
    Ext4 "ext4" "an ext4 file system",
    Xfs "xfs" "an XFS file system",
    Btrfs "btrfs" "a btrfs file system",
    F2fs "f2fs" "an F2FS file system",
    Erofs "erofs" "an EROFS file system",
    Squashfs "squashfs" "a squashfs file system",
    Cramfs "cramfs" "a cramfs file system",
    Romfs "romfs" "a romfs file system",
    Jfs "jfs" "a JFS file system",
    Reiserfs "reiserfs" "a ReiserFS file system",
    Nilfs2 "nilfs2" "a NILFS2 file system",
    Gfs2 "gfs2" "a GFS2 file system",
    Ocfs2 "ocfs2" "an OCFS2 file system",
    Ubifs "ubifs" "a UBIFS file system",
    Ubi "ubi" "a UBI volume",
    Jffs2 "jffs2" "a JFFS2 file system",
    Littlefs "littlefs" "a littlefs file system",
    Apfs "apfs" "an APFS container",
    HfsPlus "hfsplus" "an HFS+ file system",
    Udf "udf" "a UDF file system",
    Swap "swap" "Linux swap space",
    Hibernation "hibernation" "the memory of a hibernated Linux",
    Sqlite "sqlite" "an SQLite database",
    Lmdb "lmdb" "an LMDB database",
    Bolt "bolt" "a bolt database",
    Redb "redb" "a redb database",
    BerkeleyDb "berkeleydb" "a Berkeley DB database",
    Gdbm "gdbm" "a GDBM database",
    TokyoCabinet "tokyocabinet" "a Tokyo Cabinet database",
    KyotoCabinet "kyotocabinet" "a Kyoto Cabinet database",
    GptBackup "gpt-backup" "the backup of a GPT partition table",
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for Signature {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.iter().find(|kind| kind.name() == name).copied().ok_or(UnknownName)
    }
}
