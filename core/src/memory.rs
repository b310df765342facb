//! The engine's memory: a struct of slices that the caller owns, cut from one arena of bytes.

use bytemuck::Pod;

use crate::config::{Config, Hints, ShortRecords};
use crate::device::Geometry;
use crate::error::Error;
use crate::format::layout::Layout;
use crate::format::superblock::{
    ALIGN_SHIFT_MAX, INCOMPAT_SHORT_RECORDS, SHORT_UNIT_MAX, Superblock,
};
use crate::keydir::{ShardMeta, Slot, shards_for, slots_for};
use crate::merge::Limits;
use crate::pool::PageTable;
use crate::snapshot::{Hook, SnapshotSlot, VersionSlot, buckets_for, hooks_for};

/// Everything that the engine keeps in memory beyond its own struct. All of it is zero but the frames.
#[derive(Debug)]
pub struct Memory<'m> {
    /// The pool's frames, aligned as the device asks.
    pub frames: &'m mut [u8],
    /// One word for each frame: its page.
    pub frame_pages: &'m mut [u64],
    /// One word for each frame: its state.
    pub frame_states: &'m mut [u32],
    /// The page table.
    pub page_table: &'m mut [u64],
    /// The keydir's slots.
    pub slots: &'m mut [Slot],
    /// The keydir's shards.
    pub shards: &'m mut [ShardMeta],
    /// The segment table.
    pub segments: &'m mut [[u64; 2]],
    /// Room to order segments while opening.
    pub order: &'m mut [u32],
    /// Hints of the open segment.
    pub hints: &'m mut [u8],
    /// Snapshots.
    pub snapshots: &'m mut [SnapshotSlot],
    /// Old versions.
    pub versions: &'m mut [VersionSlot],
    /// Where each key's versions begin.
    pub version_buckets: &'m mut [u32],
    /// Where each snapshot's versions begin.
    pub version_hooks: &'m mut [Hook],
}

/// Most segments of a store.
const SEGMENTS_MAX: u64 = 1 << 20;

/// How much of everything a configuration needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    frame_bytes: usize,
    frames: usize,
    slots: usize,
    shards: usize,
    segments: usize,
    hint_bytes: usize,
    snapshots: usize,
    versions: usize,
    buckets: usize,
    hooks: usize,
    align: usize,
}

// The parts lie in the order of their alignment, so that none but the first needs room to be aligned: pages are multiples
// of 16 bytes, and so on down.
const _: () = assert!(align_of::<u64>() <= 16 && align_of::<u32>() <= 8);
const _: () =
    assert!(size_of::<Slot>().is_multiple_of(8) && size_of::<VersionSlot>().is_multiple_of(8));
const _: () = assert!(size_of::<SnapshotSlot>().is_multiple_of(8));
const _: () =
    assert!(size_of::<ShardMeta>().is_multiple_of(4) && size_of::<Hook>().is_multiple_of(4));

impl Sizes {
    const fn new(
        config: &Config,
        buffer_align: u32,
        segments_max: u32,
        segment_bytes: u32,
    ) -> Self {
        let hint_bytes = match config.hints {
            // One run of pages, at most a 32nd of the segment and an eighth of the pool.
            Hints::Write => least(
                least(segment_bytes as usize / 32, 60 << 10),
                config.frames as usize / 8 * config.page_bytes as usize,
            ),
            Hints::Omit => 0,
        };
        Self {
            frame_bytes: config.page_bytes as usize,
            frames: config.frames as usize,
            slots: slots_for(config.keys_max),
            shards: shards_for(config.keys_max),
            segments: segments_max as usize,
            hint_bytes,
            snapshots: config.snapshots_max as usize,
            versions: config.versions_max as usize,
            buckets: buckets_for(config.versions_max),
            hooks: hooks_for(config.snapshots_max),
            align: if buffer_align > 16 { buffer_align as usize } else { 16 },
        }
    }

    const fn bytes(&self) -> usize {
        self.frames * (self.frame_bytes + 8 + 4)
            + PageTable::words_for(self.frames as u32) * 8
            + self.slots * size_of::<Slot>()
            + self.shards * size_of::<ShardMeta>()
            + self.segments * (16 + 4)
            + self.hint_bytes
            + self.snapshots * size_of::<SnapshotSlot>()
            + self.versions * size_of::<VersionSlot>()
            + self.buckets * 4
            + self.hooks * size_of::<Hook>()
            + self.align
    }
}

/// What format would write on this device.
///
/// # Errors
/// `Geometry` and `Config` for values that do not fit one another or the device, or for segments too small to be merged.
pub fn plan(config: &Config, geometry: &Geometry) -> Result<Superblock, Error> {
    let block = lay_out(config, geometry)?;
    let layout = Layout::new(&block, config.page_bytes)?;
    let limits = Limits::new(&layout, Limits::tail_reserve(&layout), config.live_percent);
    if !limits.allow_merges() {
        let want = "larger: a merge needs room for a record and its paddings";
        return Err(Error::Config { field: "segment_bytes", want });
    }
    Ok(block)
}

/// The superblock for a configuration, whether or not its segments can be merged: stores that were formatted before
/// that was asked can be opened.
fn lay_out(config: &Config, geometry: &Geometry) -> Result<Superblock, Error> {
    geometry.validate().map_err(Error::Geometry)?;
    let fail = |field, want| Err(Error::Config { field, want });
    let commit_unit = geometry.commit_unit();
    let stride = geometry.erase_unit.max(commit_unit).max(crate::format::superblock::STRIDE_MIN);
    let segment_bytes = if config.segment_bytes == 0 {
        let smallest = (32 * commit_unit).max(4 * geometry.erase_unit).max(64 << 10);
        let wanted = (geometry.capacity_max / 256).min(4 << 20) as u32;
        wanted.max(smallest.min(4 << 20)).max(smallest).next_power_of_two()
    } else {
        config.segment_bytes
    };
    if !segment_bytes.is_power_of_two()
        || segment_bytes < geometry.erase_unit
        || segment_bytes < 8 * commit_unit
    {
        return fail(
            "segment_bytes",
            "a power of two, at least the erase unit and eight commit units",
        );
    }
    if segment_bytes > 1 << 30 {
        return fail("segment_bytes", "at most 1 GiB");
    }
    let data_offset = 2 * u64::from(stride);
    let segments_max = (geometry.capacity_max.saturating_sub(data_offset)
        / u64::from(segment_bytes))
    .min(SEGMENTS_MAX) as u32;
    if geometry.capacity.saturating_sub(data_offset) / u64::from(segment_bytes) < 4 {
        return fail("capacity", "large enough for four segments and two superblocks");
    }
    // 36 bits of the keydir count units of the alignment.
    let log_bytes = u64::from(segments_max) * u64::from(segment_bytes);
    let mut align_shift = 0;
    while (log_bytes >> align_shift) > 1 << 36 {
        align_shift += 1;
    }
    if align_shift > ALIGN_SHIFT_MAX {
        return fail("capacity_max", "at most 1 TiB");
    }
    let record_bytes_max = (segment_bytes / 8).min(32 << 10).min(12 * config.page_bytes);
    let key_bytes_max =
        u32::from(config.key_bytes_max).min(record_bytes_max.saturating_sub(64)) as u16;
    let (store_id, secret) = split_seed(&config.seed);
    let block = Superblock {
        key_bytes_max,
        store_id,
        secret,
        commit_unit,
        segment_bytes,
        segments_max,
        stride,
        data_offset,
        align_shift,
        record_bytes_max,
        incompat: match config.short_records {
            ShortRecords::Write if commit_unit <= SHORT_UNIT_MAX => INCOMPAT_SHORT_RECORDS,
            _ => 0,
        },
    };
    let layout = Layout::new(&block, config.page_bytes)?;
    if config.hints == Hints::Write && layout.hint_groups_max == 0 {
        return fail("hints", "omitted in segments this small");
    }
    Ok(block)
}

fn split_seed(seed: &[u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (mut id, mut secret) = ([0; 16], [0; 16]);
    id.copy_from_slice(&seed[..16]);
    secret.copy_from_slice(&seed[16..]);
    (id, secret)
}

/// Bytes of arena that `Store::format` needs on such a device, and `Store::open` for a store formatted so.
///
/// A store that was formatted with smaller segments has more of them and may need more; open then says how much.
#[must_use]
pub fn required_bytes(config: &Config, geometry: &Geometry) -> usize {
    lay_out(config, geometry).map_or(0, |block| required_for(config, geometry.buffer_align, &block))
}

/// Most bytes of arena that [`required_bytes`] asks for, as a constant: for statics. It differs by what the two superblocks
/// leave to segments, 20 bytes each.
///
/// # Panics
/// Where `segment_bytes` is left to `format` to choose.
#[must_use]
pub const fn arena_bytes(config: &Config, geometry: &Geometry) -> usize {
    assert!(config.segment_bytes > 0, "a constant arena needs the size of segments");
    let segments = geometry.capacity_max / config.segment_bytes as u64;
    let segments = if segments > SEGMENTS_MAX { SEGMENTS_MAX } else { segments };
    Sizes::new(config, geometry.buffer_align, segments as u32, config.segment_bytes).bytes()
}

const fn least(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// Bytes of arena for a store with this superblock.
#[must_use]
pub fn required_for(config: &Config, buffer_align: u32, block: &Superblock) -> usize {
    Sizes::new(config, buffer_align, block.segments_max, block.segment_bytes).bytes()
}

impl<'m> Memory<'m> {
    /// Cuts the memory from an arena.
    ///
    /// # Errors
    /// `ArenaTooSmall`.
    pub fn carve(
        arena: &'m mut [u8],
        config: &Config,
        buffer_align: u32,
        block: &Superblock,
    ) -> Result<Self, Error> {
        let sizes = Sizes::new(config, buffer_align, block.segments_max, block.segment_bytes);
        let (need, have) = (sizes.bytes(), arena.len());
        let short = Error::ArenaTooSmall { need, have };
        if have < need {
            return Err(short);
        }
        let mut rest = arena;
        let frames =
            take_bytes(&mut rest, sizes.frames * sizes.frame_bytes, sizes.align).ok_or(short)?;
        // By alignment: see `Sizes`.
        let slots: &mut [Slot] = take(&mut rest, sizes.slots).ok_or(short)?;
        if config.arena == crate::config::ArenaContent::Unknown {
            slots.fill([0; 3]);
        }
        let frame_pages = take_zeroed(&mut rest, sizes.frames).ok_or(short)?;
        let words = PageTable::words_for(sizes.frames as u32);
        let page_table = take_zeroed(&mut rest, words).ok_or(short)?;
        let segments = take_zeroed(&mut rest, sizes.segments).ok_or(short)?;
        // Versions are not touched before they are needed.
        let versions = take(&mut rest, sizes.versions).ok_or(short)?;
        let snapshots = take_zeroed(&mut rest, sizes.snapshots).ok_or(short)?;
        Ok(Self {
            frames,
            frame_pages,
            page_table,
            slots,
            segments,
            versions,
            snapshots,
            frame_states: take_zeroed(&mut rest, sizes.frames).ok_or(short)?,
            shards: take_zeroed(&mut rest, sizes.shards).ok_or(short)?,
            order: take_zeroed(&mut rest, sizes.segments).ok_or(short)?,
            version_buckets: take_zeroed(&mut rest, sizes.buckets).ok_or(short)?,
            version_hooks: take_zeroed(&mut rest, sizes.hooks).ok_or(short)?,
            hints: take_bytes(&mut rest, sizes.hint_bytes, 1).ok_or(short)?,
        })
    }
}

/// Splits `bytes` off the front of `rest`, at an address aligned to `align`.
pub(crate) fn take_bytes<'m>(
    rest: &mut &'m mut [u8],
    bytes: usize,
    align: usize,
) -> Option<&'m mut [u8]> {
    let skip = rest.as_ptr().align_offset(align);
    let all = core::mem::take(rest);
    if skip.checked_add(bytes)? > all.len() {
        return None;
    }
    let (_, all) = all.split_at_mut(skip);
    let (part, after) = all.split_at_mut(bytes);
    *rest = after;
    Some(part)
}

fn take<'m, T: Pod>(rest: &mut &'m mut [u8], count: usize) -> Option<&'m mut [T]> {
    let part = take_bytes(rest, count.checked_mul(size_of::<T>())?, align_of::<T>())?;
    bytemuck::try_cast_slice_mut(part).ok()
}

fn take_zeroed<'m, T: Pod>(rest: &mut &'m mut [u8], count: usize) -> Option<&'m mut [T]> {
    let part = take_bytes(rest, count.checked_mul(size_of::<T>())?, align_of::<T>())?;
    part.fill(0);
    bytemuck::try_cast_slice_mut(part).ok()
}
