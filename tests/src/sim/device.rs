//! `SimDevice`: a tiny device in memory that records what is asked of it, takes it back, fails on demand and
//! checks the rules of the device contract at every operation.
//!
//! `bytes` is what a read sees: everything that was written, durable or not. Which of it survives a crash is
//! decided later, from the log (`images`), on another `SimDevice` that plays the medium after the crash.

use std::ops::Range;

use emberkv_core::{DeviceErrorKind, Durability};

use super::fault::{BadBlock, Counters, Fault, FaultKind, Saved, Scars, Wear, Worn};
use super::oplog::{AtomKind, OpKind, OpLog, Phase};
use super::profile::{Medium, Profile, Setup};
use super::rng::{Rng, mix};
use super::rules::Rules;

/// The simulated device.
#[derive(Debug, Default)]
pub struct SimDevice {
    /// What a read sees.
    pub bytes: Vec<u8>,
    /// Damage from an earlier crash.
    pub scars: Scars,
    /// The contract's rules.
    pub rules: Rules,
    /// The record, while `recording`.
    pub log: OpLog,
    /// Whether operations are recorded.
    pub recording: bool,
    /// Stamped on each operation: the oracle's bounds, the phase and the largest sequence seen.
    pub bounds: (u32, u32),
    /// See `bounds`.
    pub phase: Option<Phase>,
    /// See `bounds`.
    pub seq: u64,
    /// The first rule that was broken.
    pub violation: Option<String>,
    /// A planned error.
    pub fault: Option<Fault>,
    /// Whether the planned error has struck.
    pub fault_hit: bool,
    /// Ranges that are worn out.
    pub bad: Vec<BadBlock>,
    /// How often what was erased.
    pub wear: Wear,
    /// Operations since the last [`reset_counters`](Self::reset_counters).
    pub counters: Counters,
    /// Operations since the medium was reset: what planned errors count.
    pub totals: Counters,
    read_budget: u64,
    undo: Undo,
    staging: Vec<u8>,
    /// Where erases of this session began.
    opened: Vec<u32>,
    pub(super) setup: Option<Setup>,
    noise: u64,
}

#[derive(Debug, Default)]
struct Undo {
    on: bool,
    places: Vec<(u32, u32)>,
    bytes: Vec<u8>,
}

impl SimDevice {
    /// Makes this a blank device for `setup`, keeping its memory.
    pub fn reset(&mut self, setup: &Setup) {
        let capacity = setup.geometry().capacity as usize;
        let blank = if setup.profile.medium == Medium::Nor { 0xff } else { 0 };
        self.bytes.clear();
        self.bytes.resize(capacity, blank);
        self.begin(setup);
        self.rules.reset(&setup.profile, capacity);
        self.scars.clear();
        self.bad.clear();
        self.wear.clear();
    }

    /// Makes this a copy of another device's medium, without its log.
    pub fn copy_medium(&mut self, other: &Self, setup: &Setup) {
        self.bytes.clone_from(&other.bytes);
        self.begin(setup);
        self.rules.copy_from(&other.rules);
        self.scars.copy_from(&other.scars);
    }

    fn begin(&mut self, setup: &Setup) {
        self.setup = Some(*setup);
        self.log.clear();
        self.recording = false;
        self.bounds = (0, 0);
        self.phase = None;
        self.seq = 0;
        self.violation = None;
        self.fault = None;
        self.fault_hit = false;
        self.opened.clear();
        self.undo.on = false;
        self.undo.places.clear();
        self.undo.bytes.clear();
        self.noise = 1;
        self.totals = Counters::default();
        self.reset_counters();
    }

    /// The medium's profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.setup.as_ref().expect("a device is reset before it is used").profile
    }

    /// Counts from zero again and refills the budget of reads: far more than any honest `open` needs.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::default();
        self.read_budget = 64 * self.bytes.len() as u64 + (1 << 20);
    }

    /// Power comes on for a new session on this medium.
    pub fn power_on(&mut self) {
        let profile = *self.profile();
        self.rules.power_on(&profile);
        self.violation = None;
        self.reset_counters();
    }

    /// Everything that is durable now is acknowledged.
    pub fn ack(&mut self) {
        self.rules.ack();
        self.note(OpKind::Ack);
    }

    /// Puts a note into the log.
    pub fn note(&mut self, kind: OpKind) {
        if self.recording {
            self.log.begin(kind, self.phase.unwrap_or(Phase::Run), self.bounds, self.seq);
        }
    }

    /// From now on changes can be taken back with [`undo`](Self::undo).
    pub fn start_undo(&mut self) {
        self.undo.on = true;
        self.undo.places.clear();
        self.undo.bytes.clear();
    }

    /// Restores all bytes since [`start_undo`](Self::start_undo), and what `saved` remembers of the rest.
    pub fn undo(&mut self, saved: &Saved) {
        let mut end = self.undo.bytes.len();
        while let Some((offset, bytes)) = self.undo.places.pop() {
            let start = end - bytes as usize;
            let range = offset as usize..(offset + bytes) as usize;
            self.bytes[range].copy_from_slice(&self.undo.bytes[start..end]);
            end = start;
        }
        self.undo.bytes.clear();
        self.rules.copy_from(&saved.rules);
        self.scars.copy_from(&saved.scars);
        self.violation = None;
    }

    /// Remembers what [`undo`](Self::undo) cannot take back byte by byte.
    pub fn save(&self, saved: &mut Saved) {
        saved.rules.copy_from(&self.rules);
        saved.scars.copy_from(&self.scars);
    }

    /// A mutable view of some bytes that can be taken back.
    pub fn touch(&mut self, range: Range<u32>) -> &mut [u8] {
        let range = range.start as usize..range.end as usize;
        if self.undo.on {
            self.undo.places.push((range.start as u32, range.len() as u32));
            self.undo.bytes.extend_from_slice(&self.bytes[range.clone()]);
        }
        &mut self.bytes[range]
    }

    /// The whole effect of a write on the medium.
    pub fn program(&mut self, offset: u32, data: &[u8]) {
        let nor = self.profile().medium == Medium::Nor;
        let end = offset + data.len() as u32;
        let target = self.touch(offset..end);
        if nor {
            for (byte, &new) in target.iter_mut().zip(data) {
                *byte &= new;
            }
        } else {
            target.copy_from_slice(data);
            self.heal(offset, end);
        }
    }

    /// The whole effect of an erase on the medium.
    pub fn blank(&mut self, offset: u32, bytes: u32) {
        self.touch(offset..offset + bytes).fill(0xff);
        self.heal(offset, offset + bytes);
        self.scars.unstable.retain(|scar| scar.end <= offset || scar.start >= offset + bytes);
        self.scars.weak.retain(|scar| scar.end <= offset || scar.start >= offset + bytes);
        self.rules.freed(offset, bytes);
    }

    fn heal(&mut self, start: u32, end: u32) {
        self.scars.unreadable.retain(|scar| scar.end <= start || scar.start >= end);
    }

    /// Half-charged bits of an earlier crash let go: each cleared bit of a weak range may read as erased from now
    /// on. Comes before the fates of the next crash are applied.
    pub fn garble_weak(&mut self) {
        while let Some(range) = self.scars.weak.pop() {
            let mut rng = Rng::for_place(&[u64::from(range.start), u64::from(range.end)]);
            for byte in self.touch(range) {
                *byte |= rng.next() as u8 & rng.next() as u8;
            }
        }
    }

    fn broken(&mut self, what: &str, offset: u64, bytes: u64) {
        if self.violation.is_none() {
            self.violation =
                Some(format!("device rule: {what} (offset {offset:#x}, {bytes} bytes)"));
        }
    }

    fn strike(&mut self, kind: FaultKind, index: u32) -> Option<DeviceErrorKind> {
        let fault = self.fault.filter(|fault| fault.kind == kind)?;
        if index == fault.at || (fault.sticky && index > fault.at) {
            self.fault_hit = true;
            return Some(fault.error);
        }
        None
    }

    fn wears_out(&mut self, worn: Worn, offset: u32, bytes: u32) -> Option<DeviceErrorKind> {
        let strikes = self.bad.iter().any(|block| block.strikes(worn, offset, bytes));
        self.fault_hit |= strikes;
        strikes.then_some(DeviceErrorKind::Media)
    }

    fn check_range(&mut self, address: u64, bytes: u64, unit: u32) -> Result<(), DeviceErrorKind> {
        if address.checked_add(bytes).is_none_or(|end| end > self.bytes.len() as u64) {
            self.broken("access out of bounds", address, bytes);
            return Err(DeviceErrorKind::OutOfBounds);
        }
        if !address.is_multiple_of(u64::from(unit))
            || !bytes.is_multiple_of(u64::from(unit))
            || bytes == 0
        {
            self.broken("misaligned or empty access", address, bytes);
            return Err(DeviceErrorKind::Misaligned);
        }
        Ok(())
    }

    fn record_write(&mut self, kind: OpKind, offset: u32, data: &[u8]) {
        if !self.recording {
            return;
        }
        let profile = self.profile();
        let piece = if profile.medium == Medium::Nor { 256 } else { profile.tear_unit }
            .max(profile.write_unit);
        self.note(kind);
        let mut start = 0;
        while start < data.len() {
            let place = offset + start as u32;
            let end = data.len().min(start + (piece - place % piece) as usize);
            self.log.atom(AtomKind::Program, place, (end - start) as u32, &data[start..end]);
            start = end;
        }
    }

    /// Whether the unit at `offset` was erased before in this session; from now on it was.
    fn opens_again(&mut self, offset: u32) -> bool {
        let again = self.opened.contains(&offset);
        if !again {
            self.opened.push(offset);
        }
        again
    }

    fn note_reuse(&mut self, reuses: bool) {
        if let Some(op) = self.log.ops.last_mut().filter(|_| self.recording) {
            op.reuses = reuses;
        }
    }

    /// The engine gives a range up: it may write there again.
    fn free(&mut self, offset: u32, bytes: u32) {
        self.rules.freed(offset, bytes);
        if self.recording {
            self.note(OpKind::Free);
            self.log.atom(AtomKind::Trim, offset, bytes, &[]);
        }
    }

    /// A write that fails half-way: a prefix of it arrives.
    fn failing_write(&mut self, offset: u32, data: &[u8]) {
        let unit = self.profile().write_unit as usize;
        let kept = mix(u64::from(offset) ^ u64::from(self.totals.writes)) as usize
            % (data.len() / unit + 1)
            * unit;
        self.record_write(OpKind::Write, offset, &data[..kept]);
        self.rules.wrote_bytes(offset, data);
        if self.profile().medium == Medium::Block {
            // What arrived of it is nothing that anybody was told of: a later session may write there.
            self.rules.forget_at_open(offset, data.len() as u32);
        } else if !self.profile().program_once && kept < data.len() {
            // The rest still reads as erased, which is all that a later session can go by.
            self.rules.forget_at_open(offset + kept as u32, (data.len() - kept) as u32);
        }
        if kept > 0 {
            self.program(offset, &data[..kept]);
        }
    }

    fn write_staged(
        &mut self,
        address: u64,
        durability: Durability,
        data: &[u8],
    ) -> Result<(), DeviceErrorKind> {
        let bytes = data.len() as u64;
        self.check_range(address, bytes, self.profile().write_unit)?;
        if bytes > u64::from(self.profile().max_transfer) {
            self.broken("a write longer than max_transfer", address, bytes);
        }
        let (offset, length) = (address as u32, data.len() as u32);
        let durable = durability == Durability::Durable;
        if durable && !self.profile().durable_write {
            self.broken("a durable write on a device without them", address, bytes);
        }
        if let Some(what) = self.rules.judge(offset, length) {
            self.broken(what, address, bytes);
        }
        let nor = self.profile().medium == Medium::Nor;
        if nor {
            let range = offset as usize..(offset + length) as usize;
            if !self.bytes[range].iter().all(|&byte| byte == 0xff) {
                self.broken("a program of a unit that is not blank", address, bytes);
            }
            if self
                .scars
                .unstable
                .iter()
                .any(|scar| scar.start < offset + length && scar.end > offset)
            {
                self.broken("a program of a range whose erase was interrupted", address, bytes);
            }
        }
        self.counters.writes += 1;
        self.totals.writes += 1;
        let error = self.strike(FaultKind::Write, self.totals.writes - 1);
        if let Some(error) = error.or_else(|| self.wears_out(Worn::Programs, offset, length)) {
            self.failing_write(offset, data);
            return Err(error);
        }
        self.record_write(if durable { OpKind::WriteDurable } else { OpKind::Write }, offset, data);
        if self.rules.blanks(data) {
            self.rules.freed(offset, length);
        } else if durable {
            self.rules.wrote_durable(offset, length);
        } else {
            self.rules.wrote(offset, length);
        }
        self.program(offset, data);
        if nor {
            self.rules.flushed();
        }
        Ok(())
    }
}

impl SimDevice {
    pub(super) fn serve_read(
        &mut self,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), DeviceErrorKind> {
        self.check_range(address, buffer.len() as u64, self.profile().read_unit)?;
        let cost = buffer.len() as u64 + 16;
        if self.read_budget < cost {
            self.broken("reads without end: the engine hangs", address, buffer.len() as u64);
            assert!(self.counters.reads < u32::MAX / 2, "hang: the engine reads on after an error");
            self.counters.reads += 1 << 16;
            return Err(DeviceErrorKind::Gone);
        }
        self.read_budget -= cost;
        self.counters.reads += 1;
        self.totals.reads += 1;
        if let Some(error) = self.strike(FaultKind::Read, self.totals.reads - 1) {
            return Err(error);
        }
        let (start, end) = (address as u32, (address + buffer.len() as u64) as u32);
        if self.scars.unreadable.iter().any(|scar| scar.start < end && scar.end > start) {
            return Err(DeviceErrorKind::Uncorrectable);
        }
        buffer.copy_from_slice(&self.bytes[start as usize..end as usize]);
        for scar in &self.scars.unstable {
            for place in scar.start.max(start)..scar.end.min(end) {
                self.noise = mix(self.noise);
                if self.noise & 7 == 0 {
                    buffer[(place - start) as usize] &= (self.noise >> 8) as u8;
                }
            }
        }
        Ok(())
    }

    pub(super) fn serve_write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), DeviceErrorKind> {
        let unit = self.profile().write_unit as usize;
        if slices.iter().any(|slice| !slice.len().is_multiple_of(unit)) {
            self.broken("a slice that is not a multiple of the write unit", address, 0);
            return Err(DeviceErrorKind::Misaligned);
        }
        let mut staging = std::mem::take(&mut self.staging);
        staging.clear();
        for slice in slices {
            staging.extend_from_slice(slice);
        }
        let result = self.write_staged(address, durability, &staging);
        self.staging = staging;
        result
    }

    pub(super) fn serve_erase(&mut self, range: Range<u64>) -> Result<(), DeviceErrorKind> {
        let bytes = range.end.saturating_sub(range.start);
        let unit = self.profile().erase_unit;
        self.check_range(range.start, bytes, unit)?;
        let offset = range.start as u32;
        let reuses = self.opens_again(offset);
        if self.profile().medium == Medium::Block {
            self.free(offset, bytes as u32);
            self.note_reuse(reuses);
            return Ok(());
        }
        if self.rules.flush_failed {
            self.broken("an erase after a failed flush", range.start, bytes);
        }
        self.counters.writes += 1;
        self.totals.writes += 1;
        if let Some(error) = self.strike(FaultKind::Write, self.totals.writes - 1) {
            return Err(error);
        }
        if let Some(error) = self.wears_out(Worn::Erases, offset, bytes as u32) {
            return Err(error);
        }
        self.wear.count(offset);
        self.note(OpKind::Erase);
        self.note_reuse(reuses);
        for piece in (offset..range.end as u32).step_by(unit as usize) {
            if self.recording {
                self.log.atom(AtomKind::Erase, piece, unit, &[]);
            }
            self.blank(piece, unit);
        }
        Ok(())
    }

    pub(super) fn serve_discard(&mut self, range: Range<u64>) -> Result<(), DeviceErrorKind> {
        let bytes = range.end.saturating_sub(range.start);
        self.check_range(range.start, bytes, self.profile().write_unit)?;
        let offset = range.start as u32;
        self.free(offset, bytes as u32);
        if self.profile().discard {
            self.note(OpKind::Discard);
            if self.recording {
                self.log.atom(AtomKind::Trim, offset, bytes as u32, &[]);
            }
            self.touch(offset..range.end as u32).fill(0);
        }
        Ok(())
    }

    pub(super) fn serve_flush(&mut self) -> Result<(), DeviceErrorKind> {
        if self.rules.flush_failed {
            self.broken("a flush after a failed flush: its answer would be believed", 0, 0);
        }
        self.counters.flushes += 1;
        self.totals.flushes += 1;
        if let Some(error) = self.strike(FaultKind::Flush, self.totals.flushes - 1) {
            self.rules.flush_failed = true;
            self.note(OpKind::FlushFailed);
            return Err(error);
        }
        self.note(OpKind::Flush);
        self.rules.flushed();
        Ok(())
    }
}
