//! What the owner of a store chooses: at format time (written to the medium) and at each open.

use crate::canary::Cage;
use crate::format::checksum::Checksums;

/// Choices for formatting and opening a store. `Config::default()` suits hosts; see the fields for small devices.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of a segment, a power of two; 0 chooses clamp(capacity / 256, 64 KiB, 4 MiB), and not less than 32 commit
    /// units or four erase units. Format time only.
    pub segment_bytes: u32,
    /// Secret bytes that make the store unique: identity, and the key of its hash. Take them from a random
    /// generator. Format time only.
    pub seed: [u8; 32],
    /// Bytes of a page, a power of two: the unit of the buffer pool. At least one commit unit.
    pub page_bytes: u32,
    /// Frames of the buffer pool, each one page.
    pub frames: u32,
    /// Most keys at once, deleted ones that are not yet merged away among them.
    pub keys_max: u32,
    /// Longest key, in bytes.
    pub key_bytes_max: u16,
    /// Write hints and footers, so that open reads those instead of the data.
    pub hints: Hints,
    /// Whether small records of single puts and deletes are short ones. Of format only: open does as the store was made.
    pub short_records: ShortRecords,
    /// Most live bytes of the log, in percent of what its segments hold: 50 to 90. More stores more in the same place, less
    /// makes merges cheaper: at most 1 / (1 - live_percent/100) bytes are written for each byte.
    pub live_percent: u8,
    /// When appends pay for merges.
    pub pacing: Pacing,
    /// Most snapshots at once; those of one sequence count once for each 32.
    pub snapshots_max: u16,
    /// Most old versions that are kept for snapshots, 52 bytes each.
    pub versions_max: u32,
    /// What happens when one more would have to be kept.
    pub snapshot_pressure: SnapshotPressure,
    /// Whether this open may write.
    pub access: Access,
    /// What an open does about damage in data that was acknowledged.
    pub damage: OnDamage,
    /// What the arena holds when it is given.
    pub arena: ArenaContent,
    /// The implementation of the checksums.
    pub checksums: Checksums,
    /// A seeded bug, for tests of the tests.
    #[cfg(feature = "canaries")]
    pub canary: Option<crate::canary::Canary>,
}

/// Whether sealed segments get hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// Open by hints: fast, costs about 13 bytes a record on the medium and one run of frames.
    Write,
    /// Open by scanning: for small devices.
    Omit,
}

/// How a single put or delete of a few bytes is written, on devices whose commit unit is at most 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortRecords {
    /// As a group of six bytes more than its key and value: a third of the bytes on the medium. After rot in such a record the
    /// keys of those behind it may answer `Corrupted` as well, up to the next ordinary group, and a batch that overwrites
    /// them takes more room than they did.
    Write,
    /// As an ordinary group.
    Omit,
}

/// What happens when a version must be kept for a snapshot and the version table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPressure {
    /// The write that replaces it is refused.
    Refuse,
    /// The oldest snapshot expires: its readers get an error.
    ExpireOldest,
}

/// When appends pay for merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// In step with the bytes appended: no call does much.
    Incremental,
    /// A segment at a time: one call in many does it all.
    OneShot,
}

/// What the arena holds when it is given to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArenaContent {
    /// Anything: the store clears what it needs cleared.
    Unknown,
    /// Zeros. The keydir's part is then touched only as keys arrive, so that an operating system that commits memory lazily
    /// spends it only for them.
    Zeroed,
}

/// What an open store may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Never write. After a crash, what this open shows may be a state that was never acknowledged as durable.
    ReadOnly,
    /// Never write, and never fail because of damage: show whatever can be read, of each key the newest version that is whole.
    /// What was lost is told by `damages` and `check`. Deleted keys whose deletion is lost may show.
    Salvage,
}

/// What an open does where a group of acknowledged data is damaged, so that it is not known which keys were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// It fails with `Corrupted`, naming the place.
    Refuse,
    /// It goes on behind the damage, where that lies in a sealed segment. Keys that may have been in the lost records answer
    /// `Corrupted` until they are written again, in this session; see `engine/damage.rs`. The segment is kept for ever, so that no later
    /// session forgets.
    Degrade,
}

/// Fewest frames of a pool for segments and pages of these sizes.
const fn frames_min(segment_bytes: u32, page_bytes: u32) -> u32 {
    let eighth = segment_bytes / 8;
    let most = if page_bytes * 12 < 32 << 10 { page_bytes * 12 } else { 32 << 10 };
    let record_pages = (if eighth < most { eighth } else { most }) / page_bytes + 2;
    // What `Engine::new` asks for.
    3 * record_pages + 8
}

impl Config {
    /// A small store on NOR flash whose erase blocks have `segment_bytes`: one segment a block, pages of 256 bytes
    /// (1 KiB for blocks of 64 KiB and more), the
    /// smallest pool that takes its records, no hints, two snapshots that keep sixteen versions, and checksums without
    /// tables. `seed` as in the field of that name.
    ///
    /// Records have at most an eighth of a segment and twelve pages. At 60 percent of live bytes at most 2.5 bytes are
    /// written for each byte in the worst case.
    #[must_use]
    pub const fn mcu(seed: [u8; 32], segment_bytes: u32, keys_max: u32) -> Self {
        // From 64 KiB on a footer has room for 64 hint groups, whether or not there are any.
        let page_bytes = if segment_bytes < 64 << 10 { 256 } else { 1024 };
        Self {
            segment_bytes,
            seed,
            page_bytes,
            frames: frames_min(segment_bytes, page_bytes),
            keys_max,
            key_bytes_max: 64,
            hints: Hints::Omit,
            short_records: ShortRecords::Omit,
            live_percent: 60,
            pacing: Pacing::Incremental,
            snapshots_max: if crate::parts::SNAPSHOTS { 2 } else { 0 },
            versions_max: if crate::parts::SNAPSHOTS { 16 } else { 0 },
            snapshot_pressure: SnapshotPressure::ExpireOldest,
            access: Access::ReadWrite,
            damage: OnDamage::Refuse,
            arena: ArenaContent::Unknown,
            checksums: Checksums::SMALL,
            #[cfg(feature = "canaries")]
            canary: None,
        }
    }

    #[cfg(feature = "canaries")]
    pub(crate) const fn cage(&self) -> Cage {
        Cage::new(self.canary)
    }

    #[cfg(not(feature = "canaries"))]
    pub(crate) const fn cage(&self) -> Cage {
        Cage {}
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 0,
            seed: [0; 32],
            page_bytes: 4096,
            frames: 1024,
            keys_max: 1 << 20,
            key_bytes_max: 1024,
            hints: if crate::parts::HINTS { Hints::Write } else { Hints::Omit },
            short_records: ShortRecords::Omit,
            live_percent: 75,
            pacing: Pacing::Incremental,
            snapshots_max: 64,
            versions_max: 1 << 14,
            snapshot_pressure: SnapshotPressure::Refuse,
            access: Access::ReadWrite,
            damage: OnDamage::Refuse,
            arena: ArenaContent::Unknown,
            checksums: Checksums::PORTABLE,
            #[cfg(feature = "canaries")]
            canary: None,
        }
    }
}
