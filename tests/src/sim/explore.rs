//! The explorer: runs a tape, then crashes it at every device operation and inside each, and crashes recovered
//! stores again.
//!
//! ```text
//! tape -> session -> log of device operations
//!                      | crash point k, fates of the atoms that were not durable
//!                      v
//!                    image -> open, read, compare (probe)
//!                      | one image in so many
//!                      v
//!                    open and a few operations, recorded -> crash points again, `open`'s own included
//! ```
//! An image is the medium at k with the fates applied, and is taken back byte by byte: nothing is copied.

use std::collections::HashMap;

use super::bench::fit;
use super::engine::Engine;
use super::failure::{Case, Failure, Problem};
use super::fate::{Fate, befall};
use super::history::History;
use super::level::Level;
use super::marks::{Mark, Tally};
use super::oplog::{Op, OpKind, Phase};
use super::plan::{Pin, Plan};
use super::probe::{Crash, Probe};
use super::profile::{SETUP_BYTES, Setup};
use super::rng::Rng;
use super::session::{Desk, SessionEnd, Start, Weather, run_session};
use super::tape::{TapeReader, generate_then};
use super::timeline;

/// What a run explores below its pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// Everything that the plan asks for.
    Explore,
    /// Nothing: only the pinned path.
    Stop,
}

/// The simulator for one engine; one per thread.
pub struct Sim<E: Engine> {
    arena: Vec<u8>,
    value: Vec<u8>,
    buffer: Vec<u8>,
    history: History,
    levels: Vec<Option<Box<Level>>>,
    fitted: HashMap<Vec<u8>, Setup>,
    trail: Vec<Pin>,
    pins: Vec<Pin>,
    below: Below,
    plan: Plan,
    setup: Setup,
    bug: Option<&'static str>,
    /// Counts since the simulator was made.
    pub tally: Tally,
    /// Exploration stops quietly when so many images were checked.
    pub images_limit: u64,
    /// Crash points of a tape's own sessions count only from the operation at this byte of the tape on.
    pub explored_from: u32,
    /// With a timeline, what the pinned path did.
    pub timeline: Option<String>,
    engine: std::marker::PhantomData<E>,
}

impl<E: Engine> Sim<E> {
    /// A simulator whose engine has this seeded bug.
    #[must_use]
    pub fn new(bug: Option<&'static str>) -> Self {
        Self {
            arena: Vec::new(),
            value: Vec::new(),
            buffer: Vec::new(),
            history: History::default(),
            levels: (0..4).map(|_| Some(Box::default())).collect(),
            fitted: HashMap::new(),
            trail: Vec::new(),
            pins: Vec::new(),
            below: Below::Explore,
            plan: Plan::default(),
            setup: Setup::decode(&[]),
            bug,
            tally: Tally::default(),
            images_limit: u64::MAX,
            explored_from: 0,
            timeline: None,
            engine: std::marker::PhantomData,
        }
    }

    /// Runs a tape and explores its crashes as the plan says.
    ///
    /// # Errors
    /// The first violation, with its replay line.
    pub fn run(&mut self, tape: &[u8], plan: &[u8]) -> Result<(), Box<Failure>> {
        self.run_case(tape, plan, &[], Below::Explore)
    }

    /// Runs a tape along pinned crashes, and explores below them if asked to.
    ///
    /// # Errors
    /// The first violation, with its replay line.
    pub fn run_case(
        &mut self,
        tape: &[u8],
        plan: &[u8],
        pins: &[Pin],
        below: Below,
    ) -> Result<(), Box<Failure>> {
        self.plan = Plan::decode(plan);
        self.pins = pins.to_vec();
        self.below = below;
        self.trail.clear();
        self.tally.tapes += 1;
        for level in &mut self.levels {
            // A panic of an earlier run may have taken a level with it.
            level.get_or_insert_default();
        }
        let outcome = timeline::catch(|| self.run_tape(tape));
        let problem = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(panic) => Problem::new("panic", timeline::panic_text(panic.as_ref())),
        };
        let case = Case {
            engine: E::NAME.to_owned(),
            bug: self.bug.map(str::to_owned),
            tape: tape.to_vec(),
            plan: plan.to_vec(),
            pins: self.trail.clone(),
        };
        Err(Box::new(Failure { problem, case }))
    }

    fn fit(&mut self, tape: &[u8]) -> Result<Setup, Problem> {
        let head = tape.get(..SETUP_BYTES).unwrap_or(tape).to_vec();
        if let Some(setup) = self.fitted.get(&head) {
            return Ok(*setup);
        }
        let setup = fit::<E>(&head, self.bug, &mut self.arena)?;
        self.fitted.insert(head, setup);
        Ok(setup)
    }

    /// Runs a tape without exploring: the digest of all device operations.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn trace(&mut self, tape: &[u8]) -> Result<u128, Box<Failure>> {
        let plan = Plan { session_images: 1, ..Plan::default() }.encode();
        let pin = Pin { session: u32::MAX, ..Pin::default() };
        self.run_case(tape, &plan, &[pin], Below::Stop)?;
        Ok(self.levels[0].as_ref().map_or(0, |level| level.recorder.log.fingerprint()))
    }

    fn run_tape(&mut self, tape: &[u8]) -> Result<(), Problem> {
        self.setup = self.fit(tape)?;
        let setup = self.setup;
        self.arena.resize(E::arena_bytes(&setup), 0);
        self.buffer.resize(setup.segment_bytes as usize * 2 + 4096, 0);
        self.history.clear();
        let mut reader = TapeReader::new(tape, SETUP_BYTES);
        self.level_at(0).recorder.reset(&setup);
        let mut start = Start::Format;
        // Each turn is one power session; every power cut consumes tape.
        for session in 0.. {
            let end = self.record(0, &mut reader, start)?;
            self.explore(0, session)?;
            let SessionEnd::PowerCut(seed) = end else { break };
            self.tally.mark(Mark::PowerCut);
            self.cut_power(seed);
            start = Start::Open;
        }
        Ok(())
    }

    fn level_at(&mut self, level: usize) -> &mut Level {
        self.levels[level].get_or_insert_default()
    }

    /// Runs and records a session on the level's recorder.
    fn record(
        &mut self,
        level: usize,
        reader: &mut TapeReader<'_>,
        start: Start,
    ) -> Result<SessionEnd, Problem> {
        let setup = self.setup;
        let Some(mut here) = self.levels[level].take() else {
            return Err(Problem::new("harness", "a level is in use twice"));
        };
        here.base.copy_medium(&here.recorder, &setup);
        here.recorder.log.clear();
        here.recorder.recording = true;
        let mut desk = Desk {
            history: &mut self.history,
            tally: &mut self.tally,
            value: &mut self.value,
            buffer: &mut self.buffer,
            setup: &setup,
            weather: Weather::Fair,
            is_full: false,
            held: Vec::new(),
        };
        let end = run_session::<E>(&mut here.recorder, &mut self.arena, reader, start, &mut desk);
        here.recorder.recording = false;
        if let Some(text) = &mut self.timeline {
            timeline::print(text, level, &here.recorder.log, &self.history);
        }
        self.levels[level] = Some(here);
        end
    }

    /// The power cut that the tape asked for: the recorder becomes what is left on the medium.
    fn cut_power(&mut self, seed: u8) {
        let setup = self.setup;
        let here = self.levels[0].get_or_insert_default();
        here.medium.copy_medium(&here.base, &setup);
        here.pending.clear();
        here.left_behind = 0;
        for op in 0..here.recorder.log.ops.len() {
            here.advance(op);
        }
        let mut rng = Rng::for_place(&[u64::from(seed), here.recorder.log.ops.len() as u64]);
        here.menu.fill_random(&setup.profile, &here.pending, &mut rng);
        here.medium.garble_weak();
        for (atom, &fate) in here.pending.iter().zip(here.menu.set(0)) {
            befall(&mut here.medium, atom, here.recorder.log.data_of(atom), fate);
        }
        here.medium.power_on();
        let seq = here.recorder.seq;
        here.recorder.copy_medium(&here.medium, &setup);
        here.recorder.seq = seq;
    }

    /// Explores the crashes of the session recorded on a level.
    fn explore(&mut self, level: usize, session: u32) -> Result<(), Problem> {
        let Some(mut here) = self.levels[level].take() else {
            return Err(Problem::new("harness", "a level is in use twice"));
        };
        let setup = self.setup;
        here.medium.copy_medium(&here.base, &setup);
        here.pending.clear();
        here.left_behind = 0;
        here.seen.clear();
        let pin = self.pins.get(level).cloned();
        let place = [
            self.plan.seed,
            level as u64,
            u64::from(session),
            here.recorder.log.fingerprint() as u64,
        ];
        let mut rng = Rng::for_place(&place);
        here.choose_points(level, &self.plan, &mut rng);
        let device_ops =
            here.recorder.log.ops.iter().filter(|op| op.kind.is_device_op()).count() as u64 + 1;
        let cap = if self.plan.session_images == 0 {
            u64::MAX
        } else {
            (u64::from(self.plan.session_images) * 256 / device_ops).max(4)
        };
        let own = |op: &Op| matches!(op.kind, OpKind::User(place) if place >= self.explored_from);
        let first = match here.recorder.log.ops.iter().position(own) {
            Some(first) if level == 0 && self.explored_from > 0 => first,
            None if level == 0 && self.explored_from > 0 => usize::MAX,
            _ => 0,
        };
        let mut result = Ok(());
        for op in 0..=here.recorder.log.ops.len() {
            let wanted = match &pin {
                Some(pin) => pin.session == session && pin.op as usize == op,
                None => self.below == Below::Explore && op >= first && here.is_point(op),
            };
            if wanted && self.tally.images < self.images_limit {
                result = self.crash_at(&mut here, level, session, op, pin.as_ref(), cap, &mut rng);
                if result.is_err() {
                    break;
                }
            }
            if op < here.recorder.log.ops.len() {
                here.advance(op);
            }
        }
        self.levels[level] = Some(here);
        result
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site, and each names a coordinate of the crash"
    )]
    fn crash_at(
        &mut self,
        here: &mut Level,
        level: usize,
        session: u32,
        op: usize,
        pin: Option<&Pin>,
        cap: u64,
        rng: &mut Rng,
    ) -> Result<(), Problem> {
        let crash = here.crash_before(op);
        if crash.in_format && pin.is_none() && !self.plan.explore_format {
            return Ok(());
        }
        here.gather_atoms(op);
        self.mark_crash(here, op);
        here.medium.save(&mut here.saved);
        self.trail.truncate(level);
        self.trail.push(Pin { session, op: op as u32, fates: Vec::new(), then: Vec::new() });
        if let Some(pin) = pin {
            if pin.fates.len() != here.atoms.len() {
                return Err(Problem::new(
                    "harness",
                    format!("the pin has {} fates for {} atoms", pin.fates.len(), here.atoms.len()),
                ));
            }
            return self.one_image(here, level, &pin.fates, &crash, Some(pin), rng);
        }
        let atoms = std::mem::take(&mut here.atoms);
        here.menu.fill(&self.setup.profile, &atoms, &self.plan, rng);
        here.atoms = atoms;
        let sets = here.menu.len();
        let mut menu = std::mem::take(&mut here.menu);
        let repeats = here.points.iter().filter(|&&point| point as usize == op).count();
        let mut result = Ok(());
        let turns = if level == 0 { sets } else { repeats.min(sets) };
        for turn in 0..turns {
            let set = if level == 0 { turn } else { rng.index(sets) };
            if level == 0 && sets as u64 > cap && rng.below(sets as u64) >= cap {
                continue;
            }
            if !here.seen.insert(here.image_key(menu.set(set), &crash)) {
                self.tally.duplicates += 1;
                continue;
            }
            result = self.one_image(here, level, menu.set(set), &crash, None, rng);
            if result.is_err() || self.tally.images >= self.images_limit {
                break;
            }
        }
        std::mem::swap(&mut here.menu, &mut menu);
        result
    }

    /// Makes one image, checks it, perhaps goes on from it, and takes it back.
    fn one_image(
        &mut self,
        here: &mut Level,
        level: usize,
        fates: &[Fate],
        crash: &Crash,
        pin: Option<&Pin>,
        rng: &mut Rng,
    ) -> Result<(), Problem> {
        let trail = &mut self.trail[level];
        trail.fates.clear();
        trail.fates.extend_from_slice(fates);
        trail.then.clear();
        here.medium.start_undo();
        here.medium.garble_weak();
        for (atom, &fate) in here.atoms.iter().zip(fates) {
            mark_fate(&mut self.tally, fate);
            befall(&mut here.medium, atom, here.recorder.log.data_of(atom), fate);
        }
        here.medium.power_on();
        let last_pin = pin.is_some() && level + 1 == self.pins.len();
        let goes_on = match pin {
            Some(pin) => !last_pin || !pin.then.is_empty() || self.below == Below::Explore,
            None => {
                level + 1 < usize::from(self.plan.depth) && rng.one_in(self.plan.deep_in.into())
            }
        };
        if goes_on && !crash.in_format {
            // The recovered store starts from these bytes, which the checks below then change and take back.
            let setup = self.setup;
            let next = self.level_at(level + 1);
            next.recorder.copy_medium(&here.medium, &setup);
            next.recorder.seq = crash.seq;
        }
        let mut crash = *crash;
        crash.thorough = match pin {
            // What failed behind it is not to be shown as something else.
            Some(pin) => last_pin && pin.then.is_empty(),
            None => rng.one_in(self.plan.extra_in.into()),
        };
        self.tally.images += 1;
        self.tally.depth[level] += 1;
        let mut probe = Probe {
            medium: &mut here.medium,
            arena: &mut self.arena,
            buffer: &mut self.buffer,
            history: &self.history,
            tally: &mut self.tally,
            setup: &self.setup,
        };
        probe.check::<E>(&crash)?;
        here.medium.undo(&here.saved);
        if goes_on && !crash.in_format {
            self.go_on(here, level, &crash, pin, rng)?;
        }
        Ok(())
    }

    /// The recovered store does a few things and is crashed again.
    fn go_on(
        &mut self,
        here: &mut Level,
        level: usize,
        crash: &Crash,
        pin: Option<&Pin>,
        rng: &mut Rng,
    ) -> Result<(), Problem> {
        let mut then = std::mem::take(&mut here.then);
        match pin {
            Some(pin) => then.clone_from(&pin.then),
            None => generate_then(rng, &mut then),
        }
        self.trail[level].then.clone_from(&then);
        let bookmark = self.history.bookmark();
        (self.history.lower, self.history.upper) = crash.bounds;
        let below = level + 1;
        self.tally.mark_if(below == 1, Mark::DepthTwo);
        self.tally.mark_if(below == 2, Mark::DepthThree);
        self.record(below, &mut TapeReader::new(&then, 0), Start::Open)?;
        self.explore(below, 0)?;
        self.history.rewind(bookmark);
        self.trail.truncate(level + 1);
        here.then = then;
        Ok(())
    }

    /// A segment was opened for the second time, and nothing was written since the flush behind its header: less than four
    /// operations ago.
    fn mark_reuse(&mut self, here: &Level, op: usize) {
        let ops = &here.recorder.log.ops;
        let recent = ops[..op].iter().rev().take_while(|op| op.kind != OpKind::Flush).take(4);
        self.tally.mark_if(recent.into_iter().any(|op| op.reuses), Mark::CrashInReuse);
    }

    fn mark_crash(&mut self, here: &Level, op: usize) {
        self.mark_reuse(here, op);
        let Some(op) = here.recorder.log.ops.get(op) else { return };
        let tally = &mut self.tally;
        tally.mark_if(op.phase == Phase::Format, Mark::CrashInFormat);
        tally.mark_if(op.phase == Phase::Open, Mark::CrashInOpen);
        tally.mark_if(op.phase == Phase::Close, Mark::CrashInClose);
        tally.mark_if(op.announces, Mark::CrashInAnnouncement);
        tally.mark_if(op.keeps, Mark::VersionsKept);
        tally.mark_if(op.kind == OpKind::Flush, Mark::CrashInFlush);
        tally.mark_if(op.kind == OpKind::Erase, Mark::CrashInErase);
        tally.mark_if(op.kind == OpKind::WriteDurable, Mark::DurableWriteInFlight);
        if let Some(atom) =
            here.recorder.log.atoms.get(op.first as usize).filter(|_| op.end > op.first)
        {
            let segment = self.setup.segment_bytes;
            tally.mark_if(atom.offset.is_multiple_of(segment), Mark::CrashAtSegmentStart);
            tally.mark_if(atom.offset < segment, Mark::CrashInFirstSector);
        }
    }
}

const fn mark_fate(tally: &mut Tally, fate: Fate) {
    match fate {
        Fate::Unreadable(_) => tally.mark(Mark::Unreadable),
        Fate::Weak => tally.mark(Mark::Weak),
        Fate::Unstable => tally.mark(Mark::Unstable),
        Fate::Garbage(_) => tally.mark(Mark::Garbage),
        _ => {}
    }
}
