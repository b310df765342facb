//! Media that the simulator plays, and the shape of a store on one: all of it comes from three bytes.
//!
//! Devices are tiny (8-256 KiB) so that a crash image costs microseconds.

use emberkv_core::{Caps, Geometry};

/// How a medium takes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A disk with a volatile cache: any subset of un-flushed writes survives, each of them may tear.
    Block,
    /// NOR flash: programs clear bits, in call order, durable when they return; only the operation in flight tears.
    Nor,
}

/// One kind of device.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name in replay lines.
    pub name: &'static str,
    /// How it takes bytes.
    pub medium: Medium,
    /// Granularity of reads, in bytes.
    pub read_unit: u32,
    /// Granularity of writes.
    pub write_unit: u32,
    /// What a torn write may destroy around itself.
    pub tear_unit: u32,
    /// Granularity of erases.
    pub erase_unit: u32,
    /// Most bytes of one transfer.
    pub max_transfer: u32,
    /// Writes can be asked to be durable by themselves.
    pub durable_write: bool,
    /// Discarded ranges lose their content.
    pub discard: bool,
    /// A torn unit may answer `Uncorrectable` until it is written or erased again (fault F8).
    pub torn_unreadable: bool,
    /// A unit that a torn program touched, visibly or not, must be erased before it is programmed. No profile asks for
    /// this yet: a unit that still reads as erased is taken for one that was not touched.
    pub program_once: bool,
    /// A torn program may read well once and badly later: half-charged bits. No profile has them yet: recovery does not
    /// write the last groups again.
    pub weak_bits: bool,
    /// The smallest segment to try.
    pub segment_bytes: u32,
    /// Most segments to try: large ones make a device too large for millions of images.
    pub segments_max: u32,
}

const BLOCK_512: Profile = Profile {
    name: "block512",
    medium: Medium::Block,
    read_unit: 512,
    write_unit: 512,
    tear_unit: 512,
    erase_unit: 512,
    max_transfer: 65536,
    durable_write: false,
    discard: false,
    torn_unreadable: false,
    program_once: false,
    weak_bits: false,
    segment_bytes: 8192,
    segments_max: 16,
};

const NOR_1: Profile = Profile {
    name: "nor1",
    medium: Medium::Nor,
    read_unit: 1,
    write_unit: 1,
    tear_unit: 1,
    erase_unit: 1024,
    max_transfer: 512,
    durable_write: false,
    discard: false,
    torn_unreadable: false,
    program_once: false,
    weak_bits: false,
    segment_bytes: 2048,
    segments_max: 16,
};

/// All profiles; the first byte of a tape chooses one. The last one has segments too small to be merged: such a store is
/// only appended to.
pub const PROFILES: [Profile; 9] = [
    BLOCK_512,
    Profile { name: "block512-fua", durable_write: true, ..BLOCK_512 },
    Profile {
        name: "block512-ecc",
        torn_unreadable: true,
        discard: true,
        max_transfer: 2048,
        ..BLOCK_512
    },
    Profile {
        name: "block512e",
        tear_unit: 4096,
        erase_unit: 4096,
        segment_bytes: 65536,
        segments_max: 8,
        ..BLOCK_512
    },
    NOR_1,
    Profile { name: "nor4", read_unit: 4, write_unit: 4, tear_unit: 4, ..NOR_1 },
    Profile {
        name: "nor16-ecc",
        read_unit: 16,
        write_unit: 16,
        tear_unit: 16,
        torn_unreadable: true,
        segment_bytes: 4096,
        ..NOR_1
    },
    Profile {
        name: "page256",
        write_unit: 256,
        tear_unit: 256,
        segment_bytes: 8192,
        max_transfer: 1024,
        ..NOR_1
    },
    Profile { name: "block512-tiny", segment_bytes: 4096, ..BLOCK_512 },
];

/// The 4Kn disk: too large for the fast mix, reached by its name.
pub const BLOCK_4096: Profile = Profile {
    name: "block4096",
    read_unit: 4096,
    write_unit: 4096,
    tear_unit: 4096,
    erase_unit: 4096,
    segment_bytes: 65536,
    segments_max: 8,
    ..BLOCK_512
};

/// Looks a profile up by its name.
#[must_use]
pub fn profile_named(name: &str) -> Option<Profile> {
    PROFILES.iter().chain([&BLOCK_4096]).copied().find(|profile| profile.name == name)
}

/// A store's shape on a device.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The medium.
    pub profile: Profile,
    /// Bytes of a segment.
    pub segment_bytes: u32,
    /// Segments' worth of bytes that the device has.
    pub segments: u32,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Frames of the pool.
    pub frames: u32,
    /// Whether hints and footers are written.
    pub hints: bool,
    /// A seeded bug, by the engine's own name for it.
    pub bug: Option<&'static str>,
}

/// Bytes at the head of a tape that describe the setup.
pub const SETUP_BYTES: usize = 3;

impl Setup {
    /// The setup that the first bytes of a tape ask for; missing bytes count as 0.
    #[must_use]
    pub fn decode(tape: &[u8]) -> Self {
        let byte = |index: usize| tape.get(index).copied().unwrap_or(0);
        let first = byte(0) as usize;
        let profile = if first == 255 { BLOCK_4096 } else { PROFILES[first % PROFILES.len()] };
        let shape = byte(1);
        let page_least = profile.write_unit.max(profile.tear_unit).max(profile.read_unit).max(256);
        Self {
            profile,
            segment_bytes: profile.segment_bytes
                << if profile.segments_max > 8 { shape >> 6 & 1 } else { 0 },
            segments: [6, 8, 12, 16][(shape >> 4 & 3) as usize].min(profile.segments_max),
            page_bytes: (page_least << (shape & 1)).min(profile.max_transfer),
            frames: [4, 8, 16, 32][(shape >> 2 & 3) as usize],
            hints: shape & 2 == 0,
            bug: None,
        }
    }

    /// Geometry of the device that carries this store.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        let capacity = u64::from(self.segment_bytes) * u64::from(self.segments);
        Geometry {
            capacity,
            capacity_max: capacity,
            read_unit: self.profile.read_unit,
            write_unit: self.profile.write_unit,
            erase_unit: self.profile.erase_unit,
            tear_unit: self.profile.tear_unit,
            buffer_align: 1,
            max_transfer: self.profile.max_transfer,
        }
    }

    /// Abilities of that device.
    #[must_use]
    pub fn caps(&self) -> Caps {
        let nor = self.profile.medium == Medium::Nor;
        Caps {
            needs_erase: nor,
            erased: if nor { Some(0xff) } else { None },
            ordered: nor,
            discard: self.profile.discard,
            durable_write: self.profile.durable_write,
        }
    }
}
