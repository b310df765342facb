//! The power fails in every change of the medium, in eight ways, and again while the store recovers.
//!
//! A script of updates and deletes runs once on a store that has been round its device before, and
//! every program and erase is taped. Then, for each of them, each mode and each seed: the medium as
//! it was before, what the mode leaves of the operation, and the store opens. In a case with more
//! cuts, the power fails again some changes later, be it in the recovery or in the writes that
//! follow.
//!
//! A case fails if a key is neither what was acknowledged last nor, for the one call that was cut,
//! what was being written; if a key that was seen changes without a write; if the store does not
//! open, or panics, or takes no more writes.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::nor::{Cells, Flash};
use crate::power::{Cut, MODES, Mode, Op};
use crate::rng::Rng;
use crate::store::{Family, Outcome, Start, Store, value};

/// Keys of the script.
pub(crate) const KEYS: u16 = 12;
/// Updates and deletes of the script.
pub(crate) const SCRIPT: u32 = 300;
/// Updates between the cuts of one case.
const BETWEEN: u32 = 6;
/// Cuts in a row, at most.
pub(crate) const CUTS_MAX: u64 = 6;

/// A row for each mode, and one for cases in which each cut has a mode of its own.
pub(crate) const ROWS: usize = MODES.len() + 1;

pub(crate) fn row_name(row: usize) -> &'static str {
    MODES.get(row).map_or("mixed", |mode| mode.name())
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Cases of each change and mode: one with one cut, the others with up to six.
    pub(crate) seeds: u64,
    /// Changes of the tape: one in so many.
    pub(crate) every: usize,
}

/// What is certain of the keys: `None` is "not there".
type Known = Vec<Option<Vec<u8>>>;

/// A write that was not acknowledged.
#[derive(Clone, Debug)]
struct InFlight {
    key: u16,
    new: Option<Vec<u8>>,
}

/// Cases of a row, and how many power cuts they took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: u64,
    pub(crate) failed: u64,
    pub(crate) cuts: u64,
}

/// The writes of a script, each the same in every run.
struct Script {
    rng: Rng,
    version: u32,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), version: seed as u32 & 0xffff }
    }

    fn next(&mut self) -> InFlight {
        let key = self.rng.below(u64::from(KEYS)) as u16;
        self.version += 1;
        let is_delete = self.rng.below(8) == 0;
        InFlight { key, new: (!is_delete).then(|| value(key, self.version).to_vec()) }
    }
}

fn write(store: &mut dyn Store, write: &InFlight) -> Outcome {
    match &write.new {
        Some(value) => store.put(write.key, value),
        None => store.delete(write.key),
    }
}

/// A store on its medium, and the tape of the script.
struct Tape {
    /// The medium before the first operation.
    before: Cells,
    ops: Vec<Op>,
    /// Keys before the script.
    known: Known,
    /// The writes, and how many operations there were when each was acknowledged.
    writes: Vec<(InFlight, usize)>,
}

fn record<const B: usize, const C: usize>(family: &dyn Family<B, C>) -> Outcome<Tape> {
    let flash = Flash::<B, C>::new();
    let mut known: Known = vec![None; usize::from(KEYS)];
    let mut script = Script::new(1);
    family.session(&flash, Start::Format, &mut |store| {
        let mut count = 0;
        while count < SCRIPT || flash.counts().erases < 3 * C as u64 {
            let next = script.next();
            write(store, &next)?;
            known[usize::from(next.key)] = next.new;
            count += 1;
        }
        Ok(())
    })?;
    let before = flash.0.borrow().cells.clone();
    let mut script = Script::new(2);
    let (mut now, mut writes) = (known.clone(), Vec::new());
    flash.0.borrow_mut().tape = Some(Vec::new());
    flash.0.borrow_mut().power_up(None);
    family.session(&flash, Start::Open, &mut |store| {
        check(store, &mut now, None)?;
        for _ in 0..SCRIPT {
            let next = script.next();
            write(store, &next)?;
            let done = flash.0.borrow().tape.as_ref().map_or(0, Vec::len);
            writes.push((next, done));
        }
        Ok(())
    })?;
    let ops = flash.0.borrow_mut().tape.take().unwrap_or_default();
    Ok(Tape { before, ops, known, writes })
}

/// Reads all keys. What the store shows of the write in flight is known from then on.
fn check(store: &mut dyn Store, known: &mut Known, in_flight: Option<&InFlight>) -> Outcome {
    for key in 0..KEYS {
        let mut found = Vec::new();
        let found = store.get(key, &mut found)?.then_some(found);
        let known = &mut known[usize::from(key)];
        match in_flight {
            Some(write) if write.key == key && write.new == found => *known = found,
            _ if *known == found => {}
            _ => return Err(format!("key {key} is {found:?} instead of {known:?}")),
        }
    }
    Ok(())
}

/// One case: the medium after the first cut, and what is known.
struct Case {
    known: Known,
    in_flight: Option<InFlight>,
    cuts: u64,
    /// The mode of every cut, or any.
    mode: Option<Mode>,
    rng: Rng,
}

impl Case {
    /// Power sessions with cuts, then one without; answers how many cuts there were.
    fn run<const B: usize, const C: usize>(
        mut self,
        family: &dyn Family<B, C>,
        flash: &Flash<B, C>,
    ) -> (Outcome, u64) {
        let mut done = 1;
        let mut script = Script::new(self.rng.next());
        while done < self.cuts {
            let gap = if self.rng.below(2) == 0 { 4 } else { 12 };
            let at = self.rng.below(gap);
            let any = MODES[self.rng.below(MODES.len() as u64) as usize];
            let mode = self.mode.unwrap_or(any);
            flash.0.borrow_mut().power_up(Some(Cut { at, mode }));
            let result = self.session(family, flash, &mut script, BETWEEN);
            if flash.0.borrow().is_off() {
                done += 1;
            } else if result.is_err() {
                return (result, done);
            } else {
                break;
            }
        }
        flash.0.borrow_mut().power_up(None);
        let mut result = self.session(family, flash, &mut script, 2 * BETWEEN);
        if result.is_ok() {
            flash.0.borrow_mut().power_up(None);
            result = self.session(family, flash, &mut script, 0);
        }
        (result, done)
    }

    fn session<const B: usize, const C: usize>(
        &mut self,
        family: &dyn Family<B, C>,
        flash: &Flash<B, C>,
        script: &mut Script,
        writes: u32,
    ) -> Outcome {
        let state = RefCell::new((&mut self.known, &mut self.in_flight));
        let session = || {
            family.session(flash, Start::Open, &mut |store| {
                let mut state = state.borrow_mut();
                let (known, in_flight) = &mut *state;
                check(store, known, in_flight.as_ref())?;
                **in_flight = None;
                for _ in 0..writes {
                    let next = script.next();
                    **in_flight = Some(next.clone());
                    write(store, &next)?;
                    known[usize::from(next.key)] = next.new;
                    **in_flight = None;
                }
                check(store, known, None)
            })
        };
        catch_unwind(AssertUnwindSafe(session)).unwrap_or_else(|_| Err("it panicked".into()))
    }
}

/// All cases of one store: a tally for each row, and the bytes that were programmed twice. The first failures are told
/// in `examples`.
///
/// # Errors
/// A store that fails without any cut.
pub(crate) fn sweep<const B: usize, const C: usize>(
    family: &dyn Family<B, C>,
    scale: Scale,
    examples: &mut Vec<String>,
) -> Outcome<([Tally; ROWS], u64)> {
    let tape = record(family)?;
    let (mut cells, mut known) = (tape.before, tape.known);
    let mut tallies = [Tally::default(); ROWS];
    let (mut acknowledged, mut twice) = (0, 0);
    let flash = Flash::<B, C>::new();
    for (index, op) in tape.ops.iter().enumerate() {
        while tape.writes.get(acknowledged).is_some_and(|(_, done)| *done <= index) {
            let (write, _) = &tape.writes[acknowledged];
            known[usize::from(write.key)] = write.new.clone();
            acknowledged += 1;
        }
        let in_flight = tape.writes.get(acknowledged).map(|(write, _)| write.clone());
        for (row, tally) in tallies.iter_mut().enumerate() {
            for seed in (0..scale.seeds).take_while(|_| index % scale.every == 0) {
                let mut rng = Rng::new((index as u64) << 20 | seed << 8 | row as u64);
                let every = MODES.get(row).copied();
                let first = MODES[rng.below(MODES.len() as u64) as usize];
                let mut torn = cells.clone();
                torn.carry_out(op, Some(every.unwrap_or(first)), &mut rng);
                {
                    let mut nor = flash.0.borrow_mut();
                    nor.cells = torn;
                    nor.seed(rng.next());
                    nor.counts.twice = 0;
                }
                let cuts = if seed == 0 { 1 } else { 1 + seed % CUTS_MAX };
                let (known, in_flight) = (known.clone(), in_flight.clone());
                let case = Case { known, in_flight, cuts, mode: every, rng };
                let (result, cuts) = case.run(family, &flash);
                tally.cases += 1;
                tally.cuts += cuts;
                twice += flash.counts().twice;
                if let Err(error) = result {
                    tally.failed += 1;
                    if examples.len() < 5 {
                        let mode = row_name(row);
                        examples.push(format!("change {index}, {mode}, seed {seed}: {error}"));
                    }
                }
            }
        }
        cells.carry_out(op, None, &mut Rng::new(0));
    }
    Ok((tallies, twice))
}
