//! What the proof (`core/docs/DESIGN.md`, "Merging") allows one call, from the geometry and the figures of `Stats`.

use emberkv_core::format::layout::Layout;
use emberkv_core::{Config, Geometry, Stats};

/// What one call did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// Bytes of the log that it consumed for anything but copies.
    pub appended: u64,
    /// Bytes of copies.
    pub copied: u64,
    /// Merge work: bytes of victims that were judged, and bytes of copies.
    pub work: u64,
    /// Segments that came back.
    pub segments: u64,
    /// Bytes read from the device.
    pub read: u64,
    /// Bytes written to the device.
    pub written: u64,
}

/// The bounds for stores of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The most work that a cycle may take.
    debt_max: u64,
    /// The fewest bytes that it gives back.
    gain_min: u64,
    /// Work done at once, at least.
    batch: u64,
    /// One step of work more than asked for: a page, or the largest record's copy.
    step: u64,
    /// Encoded bytes that a call may find waiting for the device, or leave there.
    carry: u64,
    /// Header, mark, footer and their blanks: what a roll writes beside the log.
    slots: u64,
    /// Bytes of one read for a walk.
    read_run: u64,
    segment_bytes: u64,
    /// What an append is charged beyond what it takes, if nothing of it is needed: a group and its padding.
    around: u64,
}

impl Bound {
    /// The bounds.
    ///
    /// # Panics
    /// No store has this configuration, or its segments are too small for merges.
    #[must_use]
    pub fn new(config: &Config, geometry: &Geometry, stats: &Stats) -> Self {
        let block = emberkv_core::memory::plan(config, geometry).expect("the store exists");
        let layout = Layout::new(&block, config.page_bytes).expect("the store exists");
        assert!(stats.merge_gain_min > 0, "segments this small are not merged");
        let payload = u64::from(layout.data_end - layout.data_start);
        let record = u64::from(layout.aligned(layout.record_bytes_max)) + 64;
        let gain_min = u64::from(stats.merge_gain_min);
        // A victim is read once, and at most what it does not give back is copied. Of the oldest segment, which may be full, a
        // sixteenth is read, and at most twice as much copied. The announcement ends with a padding.
        let victim = 2 * payload - gain_min;
        let page = u64::from(layout.page_bytes());
        let share = payload / 16 + 1;
        let sweep = share + page + payload.min((2 * share + page) * 5 / 3 + record);
        let run = 16.min(u64::from(config.frames) / 8) * page;
        Self {
            debt_max: victim + sweep + u64::from(layout.commit_unit),
            gain_min,
            batch: u64::from(block.segment_bytes) / 32,
            step: page.max(record),
            carry: 4 * run.max(record) + u64::from(block.segment_bytes) / 2,
            slots: u64::from(2 * (layout.segment_bytes - layout.data_end) + layout.data_start),
            read_run: 16 * page,
            segment_bytes: u64::from(layout.segment_bytes),
            around: u64::from(layout.commit_unit) + 32,
        }
    }

    /// Work for each appended byte, at most.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.debt_max as f64 / self.gain_min as f64
    }

    /// What a call may have to pay for: it is charged before it appends, with room for hints (13 bytes for a record of at
    /// least 26), and what the calls before it consumed was perhaps not paid for yet.
    fn nominal(&self, call: &Call, before: u64) -> u64 {
        before + call.appended + call.appended / 2 + self.around
    }

    /// The most merge work of a call that follows calls which consumed `before` bytes since work was last asked for.
    #[must_use]
    pub fn work_max(&self, call: &Call, before: u64) -> u64 {
        let nominal = self.nominal(call, before);
        let cycles = 1 + nominal.div_ceil(self.gain_min);
        (self.rate() * nominal as f64) as u64 + self.batch + 2 * self.step * cycles
    }

    /// The most bytes that a call moves on the device, with the work that it did.
    #[must_use]
    pub fn device_max(&self, call: &Call, before: u64) -> u64 {
        let work = self.work_max(call, before);
        let nominal = self.nominal(call, before);
        let rolls = 2 + (work + nominal) / self.segment_bytes;
        work + nominal + self.carry + rolls * self.slots + self.read_run * rolls
    }
}
