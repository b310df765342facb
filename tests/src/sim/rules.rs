//! What an engine may never ask of a device, crash or not: checked on every write.
//!
//! * On NOR a unit is programmed once between erases. Within a power session this is exact; across a crash it
//!   is judged by the bytes (not blank), or exactly again on ECC flash (`program_once`).
//! * On overwritable media no write touches a commit unit that holds acknowledged bytes, unless the range was
//!   erased or discarded since (this is how an engine says that it frees it).
//! * One open store writes no unit twice.
//! * After a failed flush nothing is written.

use std::ops::RangeInclusive;

use super::profile::{Medium, Profile};

/// The words of a bit set that hold these bits, with a mask each.
fn words(bits: RangeInclusive<usize>) -> impl Iterator<Item = (usize, u64)> {
    let (first, last) = (*bits.start(), *bits.end());
    (first / 64..=last / 64).map(move |word| {
        let from = if word == first / 64 { first % 64 } else { 0 };
        let to = if word == last / 64 { last % 64 } else { 63 };
        (word, u64::MAX >> (63 - to) & u64::MAX << from)
    })
}

/// The history of every unit of one device.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// NOR: one bit per write unit, set where it was programmed since its erase.
    programmed: Vec<u64>,
    /// Overwritable: per commit unit the time of its last write; 0 for never.
    written: Vec<u32>,
    /// Units that writes which failed did not visibly touch: the next store may take them for untouched.
    failed: Vec<u32>,
    /// Durable writes since the last acknowledgement: their units.
    durable: Vec<u32>,
    /// Counts writes, erases and flushes.
    clock: u32,
    flushed: u32,
    acked: u32,
    opened: u32,
    /// A flush failed in this session.
    pub flush_failed: bool,
    unit_shift: u32,
    nor: bool,
}

impl Rules {
    /// Rules for a blank device.
    pub fn reset(&mut self, profile: &Profile, capacity: usize) {
        self.nor = profile.medium == Medium::Nor;
        let unit =
            if self.nor { profile.write_unit } else { profile.tear_unit.max(profile.write_unit) };
        self.unit_shift = unit.trailing_zeros();
        let units = capacity >> self.unit_shift;
        self.programmed.clear();
        self.written.clear();
        self.durable.clear();
        self.failed.clear();
        if self.nor {
            self.programmed.resize(units.div_ceil(64), 0);
        } else {
            self.written.resize(units, 0);
        }
        self.clock = 1;
        self.flushed = 0;
        self.acked = 0;
        self.opened = self.clock;
        self.flush_failed = false;
    }

    /// Takes over another device's rules, keeping this one's memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.programmed.clone_from(&other.programmed);
        self.written.clone_from(&other.written);
        self.durable.clone_from(&other.durable);
        self.failed.clone_from(&other.failed);
        self.clock = other.clock;
        self.flushed = other.flushed;
        self.acked = other.acked;
        self.opened = other.opened;
        self.flush_failed = other.flush_failed;
        self.unit_shift = other.unit_shift;
        self.nor = other.nor;
    }

    /// A store is opened: what an earlier one wrote without an acknowledgement it may write again.
    pub fn opening(&mut self) {
        self.opened = self.clock;
        self.durable.clear();
        for unit in self.failed.drain(..) {
            if self.nor {
                self.programmed[unit as usize / 64] &= !(1 << (unit % 64));
            } else {
                self.written[unit as usize] = 0;
            }
        }
        let acked = self.acked;
        for time in &mut self.written {
            if *time > acked {
                *time = 0;
            }
        }
    }

    /// A new power session begins: what only the last session knew of is forgotten, as a controller would. Bytes
    /// that were not acknowledged may be cut off and written again.
    pub fn power_on(&mut self, profile: &Profile) {
        self.flush_failed = false;
        self.durable.clear();
        self.opening();
        if self.nor && !profile.program_once {
            self.programmed.fill(0);
        }
    }

    fn units(&self, offset: u32, bytes: u32) -> RangeInclusive<usize> {
        let last = offset + bytes.max(1) - 1;
        (offset >> self.unit_shift) as usize..=(last >> self.unit_shift) as usize
    }

    /// What is wrong with writing here, if anything.
    pub fn judge(&self, offset: u32, bytes: u32) -> Option<&'static str> {
        if self.flush_failed {
            return Some("a write after a failed flush");
        }
        if self.nor {
            let twice = words(self.units(offset, bytes))
                .any(|(word, mask)| self.programmed[word] & mask != 0);
            return twice.then_some("a unit is programmed twice without an erase");
        }
        for unit in self.units(offset, bytes) {
            let time = self.written[unit];
            if time != 0 && time <= self.acked {
                return Some("a write into a commit unit that holds acknowledged bytes");
            }
            if time > self.opened {
                return Some("a unit is written twice by one store");
            }
        }
        None
    }

    /// These bytes were written, or may have been.
    pub fn wrote(&mut self, offset: u32, bytes: u32) {
        self.clock += 1;
        let units = self.units(offset, bytes);
        if self.nor {
            words(units).for_each(|(word, mask)| self.programmed[word] |= mask);
        } else {
            self.written[units].fill(self.clock);
        }
    }

    /// Whether a write of these bytes blanks what nobody needs: it acknowledges nothing, and what comes next may be written
    /// there.
    pub fn blanks(&self, data: &[u8]) -> bool {
        !self.nor && data.iter().all(|&byte| byte == 0)
    }

    /// These bytes were written.
    pub fn wrote_bytes(&mut self, offset: u32, data: &[u8]) {
        if self.blanks(data) {
            self.freed(offset, data.len() as u32);
        } else {
            self.wrote(offset, data.len() as u32);
        }
    }

    /// An earlier store wrote these bytes and nobody was told: they may be written again.
    pub fn forgotten(&mut self, offset: u32, bytes: u32) {
        if !self.nor {
            let units = self.units(offset, bytes);
            self.written[units].fill(0);
        }
    }

    /// A write of these bytes failed: no acknowledgement covers them, and the next store may write there.
    pub fn forget_at_open(&mut self, offset: u32, bytes: u32) {
        for unit in self.units(offset, bytes) {
            self.failed.push(unit as u32);
        }
    }

    /// These bytes are durable although nothing was flushed.
    pub fn wrote_durable(&mut self, offset: u32, bytes: u32) {
        self.wrote(offset, bytes);
        if !self.nor {
            for unit in self.units(offset, bytes) {
                self.durable.push(unit as u32);
            }
        }
    }

    /// These bytes were erased or given up: they may be written again.
    pub fn freed(&mut self, offset: u32, bytes: u32) {
        self.clock += 1;
        let units = self.units(offset, bytes);
        if self.nor {
            words(units).for_each(|(word, mask)| self.programmed[word] &= !mask);
        } else {
            self.written[units].fill(0);
        }
    }

    /// Everything written before is durable.
    pub fn flushed(&mut self) {
        self.flushed = self.clock;
        self.clock += 1;
    }

    /// Everything durable is acknowledged.
    pub fn ack(&mut self) {
        self.acked = self.flushed;
        for unit in self.durable.drain(..) {
            let time = &mut self.written[unit as usize];
            if *time != 0 {
                *time = 1;
            }
        }
        self.acked = self.acked.max(1);
    }
}
