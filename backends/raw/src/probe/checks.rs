//! Kinds that take more than constant bytes to know: a place that depends on the size, a number of
//! two bytes that needs company to be believed.

use super::magics::has_magic;
use super::signature::Signature;
use super::zones::Zones;

const KIB: u64 = 1 << 10;

/// The first kind, in the order of [`Signature::ALL`], that is there.
pub(super) fn signature(zones: &Zones<'_>) -> Option<Signature> {
    Signature::ALL.iter().copied().find(|&kind| is(zones, kind))
}

fn is(zones: &Zones<'_>, kind: Signature) -> bool {
    match kind {
        Signature::Md => is_md(zones),
        Signature::Drbd => is_drbd(zones),
        Signature::Fat => is_fat(zones) == Some(true),
        Signature::Mbr => is_mbr(zones),
        Signature::Zfs => is_zfs(zones),
        Signature::Ext2 | Signature::Ext3 | Signature::Ext4 => ext(zones) == Some(kind),
        Signature::Nilfs2 => {
            // A magic number of two bytes, with the one revision that ever was.
            zones.u16_at(KIB + 6) == Some(0x3434) && zones.u32_at(KIB) == Some(2)
        }
        Signature::Jffs2 => is_jffs2(zones),
        Signature::Littlefs => is_littlefs(zones),
        Signature::Swap => in_swap_header(zones, &[b"SWAPSPACE2", b"SWAP-SPACE"]),
        Signature::Hibernation => {
            in_swap_header(zones, &[b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"])
        }
        Signature::BerkeleyDb => is_berkeley_db(zones),
        Signature::Gdbm => is_gdbm(zones),
        _ => has_magic(zones, kind),
    }
}

/// Version 1 at the start (1.1), at 4 KiB (1.2) or 8 to 12 KiB before the end (1.0); version 0.90
/// in the last 64 KiB that are aligned to 64 KiB, in the byte order of the machine that made it.
fn is_md(zones: &Zones<'_>) -> bool {
    const MAGIC: u32 = 0xa92b_4efc;
    let near_end = (zones.bytes / 512).saturating_sub(16) & !7;
    let version_1 = [0, 4 * KIB, near_end * 512].into_iter().any(|address| {
        zones.holds(address, &MAGIC.to_le_bytes()) && zones.u32_at(address + 4) == Some(1)
    });
    let version_0 = (zones.bytes & !0xffff).checked_sub(64 * KIB).is_some_and(|address| {
        zones.holds(address, &MAGIC.to_le_bytes()) || zones.holds(address, &MAGIC.to_be_bytes())
    });
    version_1 || version_0
}

/// The metadata lies in the last 4 KiB, its magic number 60 bytes on.
fn is_drbd(zones: &Zones<'_>) -> bool {
    (zones.bytes & !0xfff).checked_sub(4 * KIB).is_some_and(|address| {
        [0x8374_026b_u32, 0x8374_026c]
            .iter()
            .any(|magic| zones.holds(address + 60, &magic.to_be_bytes()))
    })
}

fn has_boot_mark(zones: &Zones<'_>) -> bool {
    zones.holds(510, &[0x55, 0xaa])
}

/// No FAT says its name at a sure place: every field of its parameters must make sense.
fn is_fat(zones: &Zones<'_>) -> Option<bool> {
    let jump = zones.u8_at(0)?;
    let sector_bytes = zones.u16_at(11)?;
    let cluster_sectors = zones.u8_at(13)?;
    let reserved = zones.u16_at(14)?;
    let tables = zones.u8_at(16)?;
    let media = zones.u8_at(21)?;
    let sectors = u32::from(zones.u16_at(19)?) | zones.u32_at(32)?;
    Some(
        has_boot_mark(zones)
            && matches!(jump, 0xeb | 0xe9)
            && matches!(sector_bytes, 512 | 1024 | 2048 | 4096)
            && cluster_sectors.is_power_of_two()
            && reserved > 0
            && matches!(tables, 1 | 2)
            && media >= 0xf0
            && sectors > 0,
    )
}

/// At least one entry of the four is used, and each used one makes sense. An empty table is no
/// partition table, but not blank either.
fn is_mbr(zones: &Zones<'_>) -> bool {
    let mut used = 0;
    for entry in 0..4 {
        let at = 446 + 16 * entry;
        let Some(bytes) = zones.at(at, 16) else { return false };
        if bytes.iter().all(|&byte| byte == 0) {
            continue;
        }
        let (active, kind) = (bytes[0], bytes[4]);
        let (first, count) = (zones.u32_at(at + 8), zones.u32_at(at + 12));
        if !matches!(active, 0 | 0x80) || kind == 0 || first == Some(0) || count == Some(0) {
            return false;
        }
        used += 1;
    }
    used > 0 && has_boot_mark(zones)
}

/// Four labels of 256 KiB, two at each end; in the upper half of each a ring of uberblocks, each
/// beginning with the magic number in the byte order of the machine that wrote it.
fn is_zfs(zones: &Zones<'_>) -> bool {
    const LABEL: u64 = 256 * KIB;
    const MAGIC: u64 = 0x00ba_b10c;
    let end = zones.bytes & !(LABEL - 1);
    let labels = [Some(0), Some(LABEL), end.checked_sub(2 * LABEL), end.checked_sub(LABEL)];
    labels.into_iter().flatten().any(|label| {
        (label + LABEL / 2..label + LABEL).step_by(KIB as usize).any(|slot| {
            zones.holds(slot, &MAGIC.to_le_bytes()) || zones.holds(slot, &MAGIC.to_be_bytes())
        })
    })
}

/// Which of the three: by the features that the older drivers do not know.
fn ext(zones: &Zones<'_>) -> Option<Signature> {
    const SUPERBLOCK: u64 = KIB;
    const HAS_JOURNAL: u32 = 4;
    /// File types, recovery, journal device, meta block groups.
    const INCOMPATIBLE_OF_EXT3: u32 = 0x02 | 0x04 | 0x08 | 0x10;
    /// Sparse superblocks, large files, B-tree directories.
    const READ_ONLY_OF_EXT3: u32 = 0x01 | 0x02 | 0x04;
    let block_shift = zones.u32_at(SUPERBLOCK + 24)?;
    let revision = zones.u32_at(SUPERBLOCK + 76)?;
    if zones.u16_at(SUPERBLOCK + 56)? != 0xef53 || block_shift > 6 || revision > 1 {
        return None;
    }
    let compatible = zones.u32_at(SUPERBLOCK + 92)?;
    let incompatible = zones.u32_at(SUPERBLOCK + 96)?;
    let read_only = zones.u32_at(SUPERBLOCK + 100)?;
    Some(if incompatible & !INCOMPATIBLE_OF_EXT3 != 0 || read_only & !READ_ONLY_OF_EXT3 != 0 {
        Signature::Ext4
    } else if compatible & HAS_JOURNAL != 0 {
        Signature::Ext3
    } else {
        Signature::Ext2
    })
}

/// A node begins with the magic number and one of its kinds, both in one byte order.
fn is_jffs2(zones: &Zones<'_>) -> bool {
    const KINDS: [u16; 7] = [0xe001, 0xe002, 0x2003, 0x2004, 0x2006, 0xe008, 0xe009];
    let pair = (zones.u16_at(0), zones.u16_at(2));
    let (Some(magic), Some(kind)) = pair else { return false };
    magic == 0x1985 && KINDS.contains(&kind)
        || magic.swap_bytes() == 0x1985 && KINDS.contains(&kind.swap_bytes())
}

/// The superblock is the first entry of the pair of blocks 0 and 1, of whatever size.
fn is_littlefs(zones: &Zones<'_>) -> bool {
    let blocks = (7..20).map(|shift| 1_u64 << shift);
    std::iter::once(0).chain(blocks).any(|block| zones.holds(block + 8, b"littlefs"))
}

/// The last ten bytes of the first page, of whatever size.
fn in_swap_header(zones: &Zones<'_>, magics: &[&[u8]]) -> bool {
    [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB]
        .iter()
        .any(|page| magics.iter().any(|magic| zones.holds(page - 10, magic)))
}

/// Kinds of access method, in the byte order of the machine.
fn is_berkeley_db(zones: &Zones<'_>) -> bool {
    const MAGICS: [u32; 3] = [0x0005_3162, 0x0006_1561, 0x0004_2253];
    zones
        .u32_at(12)
        .is_some_and(|magic| MAGICS.contains(&magic) || MAGICS.contains(&magic.swap_bytes()))
}

/// Formats of 32 and 64 bits, old, standard and numsync, in the byte order of the machine.
fn is_gdbm(zones: &Zones<'_>) -> bool {
    let known = |magic: u32| (0x1357_9acd..=0x1357_9ad1).contains(&magic);
    zones.u32_at(0).is_some_and(|magic| known(magic) || known(magic.swap_bytes()))
}
