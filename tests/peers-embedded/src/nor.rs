//! A NOR flash in memory: what each operation costs, how each block wears, and what is left where
//! the power failed.
//!
//! Costs are those of a small SPI chip: 45 ms to erase a block, 50 us and 0.4 ms for 256 bytes to
//! program, 5 us and 8 MB/s to read. They are a model, the counts of operations are exact.
//!
//! Rules of the medium: a program clears bits and never sets any; an erase sets all bits of a block.
//! A byte that was programmed, or whose programming or erasing was cut off, counts as touched until
//! its block is erased: programming it again is legal for flash that takes it, and counted.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use crate::power::{Cut, Mode, Op};
use crate::rng::Rng;

const ERASE_NS: u64 = 45_000_000;
const PROGRAM_NS: u64 = 50_000;
const PROGRAM_NS_PER_256: u64 = 400_000;
const READ_NS: u64 = 5_000;
const READ_NS_PER_BYTE: u64 = 125;

/// Smallest piece that is programmed at once, in bytes.
pub(crate) const WORD: usize = 4;
/// What a store may do after the power came back: one that does more has lost its way.
const OPS_MAX: u64 = 2_000_000;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power is off.
    Off,
    /// A word whose programming or erasing was cut off: error correction refuses it.
    Unreadable,
    /// Outside the chip, or not in whole words or blocks.
    Misuse,
    /// More operations than any sane session needs.
    Runaway,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Reads, and bytes read.
    pub(crate) reads: u64,
    pub(crate) read_bytes: u64,
    /// Programs, and bytes programmed.
    pub(crate) programs: u64,
    pub(crate) program_bytes: u64,
    /// Blocks erased.
    pub(crate) erases: u64,
    /// Modelled time.
    pub(crate) ns: u64,
    /// Bytes programmed a second time since their erase.
    pub(crate) twice: u64,
}

impl std::ops::Sub for Counts {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            read_bytes: self.read_bytes - before.read_bytes,
            programs: self.programs - before.programs,
            program_bytes: self.program_bytes - before.program_bytes,
            erases: self.erases - before.erases,
            ns: self.ns - before.ns,
            twice: self.twice - before.twice,
        }
    }
}

/// The cells. Cheap to copy, so that each cut starts from its own.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    pub(crate) bytes: Vec<u8>,
    /// Bits that read as anything, each time anew.
    weak: Vec<u8>,
    /// Of the weak bits of a read, how many in 256 show as set.
    weak_ones: u8,
    touched: Vec<bool>,
    /// Words, by index, that cannot be read.
    unreadable: Vec<bool>,
    any_weak: bool,
    any_unreadable: bool,
}

/// The chip.
#[derive(Debug)]
pub(crate) struct Nor {
    block_bytes: usize,
    pub(crate) cells: Cells,
    pub(crate) counts: Counts,
    /// Erases of each block.
    pub(crate) wear: Vec<u64>,
    /// Where the power fails next.
    cut: Option<Cut>,
    /// Programs and erases in this power session.
    pub(crate) changes: u64,
    ops_left: u64,
    is_on: bool,
    rng: Rng,
    /// Programs and erases, where they are recorded.
    pub(crate) tape: Option<Vec<Op>>,
}

impl Nor {
    pub(crate) fn new(block_bytes: usize, blocks: usize) -> Self {
        let bytes = block_bytes * blocks;
        Self {
            block_bytes,
            cells: Cells {
                bytes: vec![0xff; bytes],
                weak: vec![0; bytes],
                weak_ones: 128,
                touched: vec![false; bytes],
                unreadable: vec![false; bytes / WORD],
                any_weak: false,
                any_unreadable: false,
            },
            counts: Counts::default(),
            wear: vec![0; blocks],
            cut: None,
            changes: 0,
            ops_left: u64::MAX,
            is_on: true,
            rng: Rng::new(1),
            tape: None,
        }
    }

    /// The power comes back; it fails again at `cut`.
    pub(crate) fn power_up(&mut self, cut: Option<Cut>) {
        self.cut = cut;
        self.changes = 0;
        self.ops_left = OPS_MAX;
        self.is_on = true;
    }

    /// Whether the power failed.
    pub(crate) const fn is_off(&self) -> bool {
        !self.is_on
    }

    /// What random reads of weak bits and torn operations are drawn from.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    fn started(&mut self, range: Range<usize>) -> Result<(), Fault> {
        self.ops_left = self.ops_left.saturating_sub(1);
        match () {
            () if !self.is_on => Err(Fault::Off),
            () if self.ops_left == 0 => Err(Fault::Runaway),
            () if range.start > range.end || range.end > self.cells.bytes.len() => {
                Err(Fault::Misuse)
            }
            () => Ok(()),
        }
    }

    pub(crate) fn read(&mut self, at: usize, buffer: &mut [u8]) -> Result<(), Fault> {
        let range = at..at + buffer.len();
        self.started(range.clone())?;
        self.counts.reads += 1;
        self.counts.read_bytes += buffer.len() as u64;
        self.counts.ns += READ_NS + READ_NS_PER_BYTE * buffer.len() as u64;
        let words = range.start / WORD..range.end.div_ceil(WORD);
        if self.cells.any_unreadable && self.cells.unreadable[words].contains(&true) {
            return Err(Fault::Unreadable);
        }
        buffer.copy_from_slice(&self.cells.bytes[range.clone()]);
        if self.cells.any_weak {
            for (byte, weak) in buffer.iter_mut().zip(&self.cells.weak[range]) {
                if *weak != 0 {
                    let ones = self.rng.bits(self.cells.weak_ones);
                    *byte = (*byte & !weak) | (ones & weak);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn program(&mut self, at: usize, data: &[u8]) -> Result<(), Fault> {
        self.started(at..at + data.len())?;
        if !at.is_multiple_of(WORD) || !data.len().is_multiple_of(WORD) {
            return Err(Fault::Misuse);
        }
        self.counts.programs += 1;
        self.counts.program_bytes += data.len() as u64;
        self.counts.ns += PROGRAM_NS + PROGRAM_NS_PER_256 * data.len() as u64 / 256;
        let touched = &self.cells.touched[at..at + data.len()];
        self.counts.twice += touched.iter().filter(|touched| **touched).count() as u64;
        self.change(Op::Program { at, data: data.to_vec() })
    }

    /// Erases whole blocks, one operation each.
    pub(crate) fn erase(&mut self, range: Range<usize>) -> Result<(), Fault> {
        let unit = self.block_bytes;
        if !range.start.is_multiple_of(unit) || !range.end.is_multiple_of(unit) {
            return Err(Fault::Misuse);
        }
        for at in range.step_by(unit) {
            self.started(at..at + unit)?;
            self.counts.erases += 1;
            self.counts.ns += ERASE_NS;
            self.wear[at / unit] += 1;
            self.change(Op::Erase { at, bytes: unit })?;
        }
        Ok(())
    }

    /// Carries a change out, or as much of it as the power lets through.
    fn change(&mut self, op: Op) -> Result<(), Fault> {
        let index = self.changes;
        self.changes += 1;
        let mode = match self.cut {
            Some(cut) if cut.at == index => Some(cut.mode),
            _ => None,
        };
        self.cells.carry_out(&op, mode, &mut self.rng);
        if let Some(tape) = &mut self.tape {
            tape.push(op);
        }
        if mode.is_some() {
            self.is_on = false;
            return Err(Fault::Off);
        }
        Ok(())
    }
}

impl Cells {
    /// What is left of an operation: all of it, or what the mode of the cut leaves.
    pub(crate) fn carry_out(&mut self, op: &Op, mode: Option<Mode>, rng: &mut Rng) {
        match (op, mode) {
            (_, Some(Mode::Before)) => {}
            (Op::Program { at, data }, None | Some(Mode::After)) => self.program(*at, data),
            (Op::Erase { at, bytes }, None | Some(Mode::After)) => self.erase(*at..*at + *bytes),
            (Op::Program { at, data }, Some(mode)) => self.tear_program(*at, data, mode, rng),
            (Op::Erase { at, bytes }, Some(mode)) => self.tear_erase(*at, *bytes, mode, rng),
        }
    }

    fn program(&mut self, at: usize, data: &[u8]) {
        for (index, new) in data.iter().enumerate() {
            self.bytes[at + index] &= new;
            // A bit that is programmed in full is one no more that reads as anything.
            self.weak[at + index] &= new;
            self.touched[at + index] = true;
        }
    }

    fn erase(&mut self, range: Range<usize>) {
        self.unreadable[range.start / WORD..range.end / WORD].fill(false);
        self.bytes[range.clone()].fill(0xff);
        self.weak[range.clone()].fill(0);
        self.touched[range].fill(false);
    }

    fn tear_program(&mut self, at: usize, data: &[u8], mode: Mode, rng: &mut Rng) {
        let part = rng.below(data.len() as u64) as usize;
        let word = part / WORD * WORD;
        match mode {
            Mode::Before | Mode::After => unreachable!("these tear nothing"),
            Mode::Prefix => self.program(at, &data[..part]),
            Mode::Suffix => self.program(at + part, &data[part..]),
            Mode::Random => {
                let some: Vec<u8> = data.iter().map(|byte| byte | rng.bits(128)).collect();
                self.program(at, &some);
            }
            Mode::Zeroed => self.program(at, &vec![0; data.len()]),
            Mode::Unstable => {
                self.weaken(rng);
                for (index, new) in data.iter().enumerate() {
                    self.weak[at + index] |= self.bytes[at + index] & !new;
                    self.touched[at + index] = true;
                }
            }
            Mode::Unreadable => {
                self.program(at, &data[..word]);
                self.unreadable[(at + word) / WORD] = true;
                self.any_unreadable = true;
                self.touched[at + word..at + word + WORD].fill(true);
            }
        }
    }

    fn tear_erase(&mut self, at: usize, bytes: usize, mode: Mode, rng: &mut Rng) {
        let part = rng.below((bytes / WORD) as u64) as usize * WORD;
        match mode {
            Mode::Before | Mode::After => unreachable!("these tear nothing"),
            Mode::Prefix => self.erase(at..at + part),
            Mode::Suffix => self.erase(at + part..at + bytes),
            Mode::Random => {
                for byte in &mut self.bytes[at..at + bytes] {
                    *byte |= rng.bits(128);
                }
            }
            Mode::Zeroed => self.bytes[at..at + bytes].fill(0),
            Mode::Unstable => {
                self.weaken(rng);
                for index in at..at + bytes {
                    self.weak[index] |= !self.bytes[index];
                    self.bytes[index] = 0xff;
                }
            }
            Mode::Unreadable => {
                self.any_unreadable = true;
                for word in &mut self.unreadable[at / WORD..(at + bytes) / WORD] {
                    *word |= rng.below(2) == 0;
                }
            }
        }
        // Half-erased cells are worth nothing until a whole erase.
        self.touched[at..at + bytes].fill(true);
    }

    /// Weak bits may look torn, whole or erased nearly always.
    fn weaken(&mut self, rng: &mut Rng) {
        self.any_weak = true;
        self.weak_ones = [128, 8, 248, 1, 255][rng.below(5) as usize];
    }
}

/// The chip as the stores hold it: `COUNT` blocks of `BLOCK` bytes. Clones are the same chip.
#[derive(Clone, Debug)]
pub(crate) struct Flash<const BLOCK: usize, const COUNT: usize>(pub(crate) Rc<RefCell<Nor>>);

impl<const BLOCK: usize, const COUNT: usize> Flash<BLOCK, COUNT> {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Nor::new(BLOCK, COUNT))))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.borrow().counts
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Nor};
    use crate::power::{Cut, MODES, Mode};

    #[test]
    fn operations_cost_what_the_model_says() {
        let mut nor = Nor::new(4096, 4);
        nor.erase(0..4096).expect("it erases");
        nor.program(0, &[0; 256]).expect("it programs");
        nor.read(0, &mut [0; 8]).expect("it reads");
        assert_eq!(nor.counts.ns, 45_000_000 + 450_000 + 6_000);
        assert_eq!((nor.wear[0], nor.wear[1]), (1, 0));
        nor.program(0, &[1; 4]).expect("a second program clears more bits");
        assert_eq!(nor.counts.twice, 4);
        assert_eq!(nor.program(2, &[0; 4]), Err(Fault::Misuse));
    }

    #[test]
    fn a_cut_leaves_only_the_changed_range_in_doubt_and_the_power_off() {
        for mode in MODES {
            let mut nor = Nor::new(4096, 2);
            nor.program(64, &[0x5a; 64]).expect("it programs");
            nor.power_up(Some(Cut { at: 0, mode }));
            assert_eq!(nor.program(128, &[0x3c; 64]), Err(Fault::Off));
            assert_eq!(nor.read(0, &mut [0; 4]), Err(Fault::Off));
            nor.power_up(None);
            let mut beside = [0; 64];
            nor.read(64, &mut beside).expect("it is readable");
            assert_eq!(beside, [0x5a; 64], "{mode:?}");
            nor.read(192, &mut beside).expect("it is readable");
            assert_eq!(beside, [0xff; 64], "{mode:?}");
            let mut torn = [0; 64];
            match (mode, nor.read(128, &mut torn)) {
                (Mode::Unreadable, result) => assert_eq!(result, Err(Fault::Unreadable)),
                (Mode::Before, _) => assert_eq!(torn, [0xff; 64]),
                (Mode::After, _) => assert_eq!(torn, [0x3c; 64]),
                (Mode::Zeroed, _) => assert_eq!(torn, [0; 64]),
                (_, result) => {
                    result.expect("it is readable");
                    assert!(torn.iter().all(|byte| byte & 0x3c == 0x3c), "{mode:?}");
                }
            }
            nor.erase(0..4096).expect("it erases");
            nor.read(128, &mut torn).expect("an erase heals");
            assert_eq!(torn, [0xff; 64], "{mode:?}");
        }
    }

    #[test]
    fn half_charged_bits_read_differently_until_they_are_erased() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..20 {
            let mut nor = Nor::new(4096, 1);
            nor.seed(seed);
            nor.power_up(Some(Cut { at: 0, mode: Mode::Unstable }));
            nor.program(0, &[0; 8]).expect_err("the power fails");
            nor.power_up(None);
            for _ in 0..10 {
                let mut read = [0; 8];
                nor.read(0, &mut read).expect("it is readable");
                seen.insert(read);
            }
        }
        assert!(seen.len() > 20);
    }
}
