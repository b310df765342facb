//! The engine's state and what every call asks of it first.

use core::fmt;
use core::task::Poll;

use heapless::Deque;

use super::batch::Staged;
use super::chunks::Doomed;
use super::read::Reading;
use super::{Port, PortLimits, ready};
use crate::canary::Cage;
use crate::config::{Access, Config, Hints, OnDamage, Pacing, SnapshotPressure};
use crate::device::{Caps, Geometry};
use crate::error::Error;
use crate::format::checksum::Checksums;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, Seeds};
use crate::format::hint::HINT_BYTES;
use crate::format::layout::Layout;
use crate::format::record::{EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, SHORT_HEADER_BYTES};
use crate::format::superblock::Superblock;
use crate::keydir::{Growth, Keydir};
use crate::log::{FailedLog, Head, HintBuffer, RecordCost, Resumption, Segments, Turn};
use crate::memory::Memory;
use crate::merge::{Limits, Merger};
use crate::parts;
use crate::pool::Pool;
use crate::snapshot::{SnapshotSet, Versions};
use crate::types::{Boot, SegmentId, Seq};

/// Most dirty frames: what the device queue can carry.
const DIRTY_MAX: u32 = 256;
/// Values whose chunks are dead and not forgotten yet.
const DOOMED_MAX: usize = if parts::CHUNKS { 8 } else { 1 };
/// Pages of a group of single puts, and of a write.
const RUN_PAGES: u32 = 16;

/// Whether the engine may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Reading the medium after open.
    Opening,
    /// Everything works.
    Sound,
    /// A flush failed, or a write that could not be placed elsewhere.
    Poisoned,
}

/// The engine. See the module text for how it is driven.
pub struct Engine<'m> {
    pub(crate) port: Port<'m>,
    pub(crate) keydir: Keydir<'m>,
    pub(crate) segments: Segments<'m>,
    pub(crate) order: &'m mut [u32],
    pub(crate) hints: HintBuffer<'m>,
    pub(crate) head: Head,
    pub(crate) sums: Checksums,
    pub(crate) cage: Cage,
    pub(crate) store_id: [u8; 16],
    pub(crate) secret: [u8; 16],
    pub(crate) superblock_stride: u32,
    pub(crate) capacity: u64,
    pub(crate) capacity_max: u64,
    pub(crate) access: Access,
    pub(crate) health: Health,
    pub(crate) next_seq: Seq,
    pub(crate) published_seq: Seq,
    pub(crate) durable_seq: Seq,
    pub(crate) boot: Boot,
    /// What the newest flush or durable write in the queue covers.
    pub(crate) covered: Option<(Seq, u32)>,
    pub(crate) failed: Option<FailedLog>,
    pub(crate) rehomes: u8,
    pub(crate) write_faults: u64,
    pub(crate) growing: bool,
    /// The device is being made smaller, once the newest header says so.
    pub(crate) shrinking: bool,
    pub(crate) can_shrink: bool,
    pub(crate) growth_stopped: bool,
    pub(crate) dirty_max: u32,
    pub(crate) run_bytes: u32,
    pub(crate) limits: Limits,
    /// Merge work that is owed is done in pieces of at least this many bytes.
    pub(crate) merge_batch: u32,
    pub(crate) pacing: Pacing,
    pub(crate) merger: Merger,
    pub(crate) snapshots: SnapshotSet<'m>,
    pub(crate) versions: Versions<'m>,
    /// Versions that describe chunked values.
    pub(crate) chunked_versions: u32,
    pub(crate) pressure: SnapshotPressure,
    pub(crate) group_bytes_max: u32,
    pub(crate) batch_bytes_max: u32,
    pub(crate) tail_reserve: u32,
    pub(crate) reading: Reading,
    pub(crate) staged: Staged,
    /// The close group was appended.
    pub(crate) closed: bool,
    pub(crate) doomed: Deque<Doomed, DOOMED_MAX>,
    pub(crate) recovery: crate::recover::Recovery,
    pub(crate) scrub: super::Scrub,
    pub(crate) damages: super::Damages,
    pub(crate) on_damage: OnDamage,
}

/// What an engine is made from.
pub(crate) struct Setup<'a> {
    pub(crate) config: &'a Config,
    pub(crate) geometry: Geometry,
    pub(crate) caps: Caps,
    pub(crate) can_shrink: bool,
    pub(crate) block: &'a Superblock,
}

/// What an engine will be: everything fits.
pub(crate) struct Plan<'m> {
    layout: Layout,
    hints: HintBuffer<'m>,
    dirty_max: u32,
    run_pages: u32,
}

/// Shows figures only: frames hold bytes of keys and values.
impl fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<'m> Engine<'m> {
    /// Looks for everything that may be wrong with what an engine is made from.
    ///
    /// # Errors
    /// `Config`, `Geometry`, `UnitMismatch`, `LeftOut`.
    pub(crate) fn plan(memory: &mut Memory<'m>, setup: &Setup<'_>) -> Result<Plan<'m>, Error> {
        let (config, block) = (setup.config, setup.block);
        let layout = Layout::new(block, config.page_bytes)?;
        Self::check_geometry(setup, &layout)?;
        Self::check_parts(config)?;
        let record_pages = layout.record_bytes_max / layout.page_bytes() + 2;
        // Two groups of the largest record: one on its way to the device, one being filled.
        let dirty_max = (config.frames / 4).min(DIRTY_MAX).max(2 * record_pages + 2);
        let run_pages = RUN_PAGES.min(dirty_max / 2).max(1);
        if config.frames < dirty_max + record_pages + 6 || config.frames > 1 << 23 {
            return Err(Error::Config {
                field: "frames",
                want: "six and three times the pages of a record, at most 2^23",
            });
        }
        let hints = HintBuffer::new(core::mem::take(&mut memory.hints), layout.hint_groups_max);
        // Otherwise a record would look for room in one empty segment after the other.
        let record_room = layout.aligned(layout.record_bytes_max)
            + GROUP_HEADER_BYTES
            + GROUP_TRAILER_BYTES
            + layout.align
            + hints.reserve_empty(1);
        if layout.data_start + record_room + Limits::tail_reserve(&layout) > layout.data_end {
            return Err(Error::Config {
                field: "segment_bytes",
                want: "larger: a record does not fit beside the header and the footer",
            });
        }
        Ok(Plan { layout, hints, dirty_max, run_pages })
    }

    /// An engine that knows nothing of the medium yet. This cannot fail, so that it is built where the caller wants it: it
    /// is too large to be handed on in results where stacks are small.
    #[inline(always)]
    pub(crate) fn new(memory: Memory<'m>, setup: &Setup<'_>, plan: Plan<'m>) -> Self {
        let (config, geometry, block) = (setup.config, &setup.geometry, setup.block);
        let Plan { layout, hints, dirty_max, run_pages } = plan;
        let page_bytes = layout.page_bytes();
        let run_bytes = run_pages * page_bytes;
        let group_bytes_max = run_bytes.max(layout.record_bytes_max + 64);
        let align_shift = layout.align.trailing_zeros() as u8;
        let pool =
            Pool::new(memory.frames, memory.frame_pages, memory.frame_states, memory.page_table);
        let limits = PortLimits {
            caps: setup.caps,
            max_transfer: geometry.max_transfer,
            read_unit: geometry.read_unit,
        };
        let keydir = Keydir::new(
            memory.slots,
            memory.shards,
            block.secret,
            align_shift,
            config.keys_max,
            Growth::SmallSteps,
        );
        let shard_mask = keydir.shard_mask();
        let seeds = Seeds::new(&block.store_id, SegmentId(0), Seq(0), Boot(0), &config.checksums);
        let head = Head::new(crate::log::HeadStart {
            segment: SegmentId(0),
            open_seq: Seq(0),
            header_boot: Boot(0),
            cut: None,
            seeds,
            position: layout.data_start,
            digest: 0,
            resumption: Resumption::Done,
        });
        // A copy carries its sequence, and its hint tells its place.
        let hint_bytes = if hints.is_kept() { 2 * HINT_BYTES as u32 } else { 0 };
        let cost = RecordCost {
            align: layout.align,
            extra: layout.aligned(EXPLICIT_SEQ_BYTES) + hint_bytes,
            short: if layout.short_records { RECORD_HEADER_BYTES - SHORT_HEADER_BYTES } else { 0 },
        };
        let tail_reserve = Limits::tail_reserve(&layout);
        Self {
            segments: Segments::new(
                memory.segments,
                layout.segments_in(geometry.capacity),
                cost,
                if setup.can_shrink { Turn::Lowest } else { Turn::Round },
            ),
            order: memory.order,
            hints,
            port: Port::new(pool, layout, limits),
            keydir,
            head,
            sums: config.checksums,
            cage: config.cage(),
            store_id: block.store_id,
            secret: block.secret,
            superblock_stride: block.stride,
            capacity: geometry.capacity,
            capacity_max: geometry
                .capacity_max
                .min(layout.capacity_of(layout.segments_max))
                .max(geometry.capacity),
            access: config.access,
            health: Health::Opening,
            next_seq: Seq(1),
            published_seq: Seq(0),
            durable_seq: Seq(0),
            boot: Boot(1),
            covered: None,
            failed: None,
            rehomes: 0,
            write_faults: 0,
            growing: false,
            shrinking: false,
            can_shrink: setup.can_shrink,
            growth_stopped: false,
            dirty_max,
            run_bytes,
            limits: Limits::new(&layout, tail_reserve, config.live_percent),
            merge_batch: run_bytes.min(layout.segment_bytes / 32),
            pacing: config.pacing,
            merger: Merger::default(),
            snapshots: SnapshotSet::new(memory.snapshots),
            versions: Versions::new(
                memory.versions,
                memory.version_buckets,
                memory.version_hooks,
                shard_mask,
            ),
            chunked_versions: 0,
            pressure: config.snapshot_pressure,
            group_bytes_max,
            batch_bytes_max: (dirty_max / 2 * page_bytes)
                .min(layout.segment_bytes / 2)
                .max(group_bytes_max),
            tail_reserve,
            reading: Reading::default(),
            staged: Staged::default(),
            closed: false,
            doomed: Deque::new(),
            recovery: crate::recover::Recovery::default(),
            scrub: super::Scrub::default(),
            damages: super::Damages::default(),
            on_damage: config.damage,
        }
    }

    /// Fails where the configuration asks for a part that this build lacks.
    fn check_parts(config: &Config) -> Result<(), Error> {
        let salvages = config.access == Access::Salvage || config.damage == OnDamage::Degrade;
        for (wanted, has, feature) in [
            (salvages, parts::SALVAGE, "salvage"),
            (config.hints == Hints::Write, parts::HINTS, "hints"),
        ] {
            if wanted && !has {
                return Err(Error::LeftOut { feature });
            }
        }
        Ok(())
    }

    fn check_geometry(setup: &Setup<'_>, layout: &Layout) -> Result<(), Error> {
        let (geometry, block) = (&setup.geometry, setup.block);
        geometry.validate().map_err(Error::Geometry)?;
        for unit in [geometry.write_unit, geometry.read_unit] {
            if unit > block.commit_unit {
                return Err(Error::UnitMismatch { medium: block.commit_unit, device: unit });
            }
        }
        if setup.caps.needs_erase && geometry.erase_unit > block.segment_bytes {
            return Err(Error::UnitMismatch {
                medium: block.segment_bytes,
                device: geometry.erase_unit,
            });
        }
        // Segments begin at a multiple of the stride.
        if setup.caps.needs_erase && geometry.erase_unit > block.stride {
            return Err(Error::UnitMismatch { medium: block.stride, device: geometry.erase_unit });
        }
        if geometry.max_transfer < layout.page_bytes() {
            return Err(Error::Config {
                field: "page_bytes",
                want: "at most the device's largest transfer",
            });
        }
        Ok(())
    }

    /// Fails where nothing may be written.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        match (self.health, self.access) {
            (Health::Poisoned, _) => Err(Error::Poisoned),
            (_, Access::ReadOnly | Access::Salvage) => Err(Error::ReadOnly),
            (Health::Opening | Health::Sound, Access::ReadWrite) => Ok(()),
        }
    }

    /// Ready where the log may be appended to.
    pub(crate) fn poll_writable(&mut self) -> Result<Poll<()>, Error> {
        self.check_writable()?;
        ready!(self.poll_rehome()?);
        self.poll_resume()
    }
}
