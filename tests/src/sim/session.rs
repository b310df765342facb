//! One power session: a store is formatted or opened on a device and does what the tape says, with the oracle
//! watching. The session ends with the tape or with a power cut that the tape asks for; in both cases the store is
//! dropped as it is.

use super::deeds::unexpected;
use super::device::SimDevice;
use super::engine::{Engine, Kv, Opening};
use super::failure::Problem;
use super::history::History;
use super::marks::{Mark, Tally};
use super::oplog::{OpKind, Phase};
use super::profile::Setup;
use super::shots::Held;
use super::tape::{TapeOp, TapeReader};
use super::verify::{judge, read_state, rules};

/// How the session's first store comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By formatting the blank device.
    Format,
    /// By opening what is there.
    Open,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The tape is used up.
    TapeEnd,
    /// The tape asks for a power cut; the byte chooses the image.
    PowerCut(u8),
    /// A planned device error kept the store from opening again.
    Stopped,
}

/// Whether device errors are planned, so that typed errors are legal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// No device errors: every operation must succeed, but for want of space.
    Fair,
    /// Device errors may strike.
    Faulty,
}

/// What sessions share.
pub struct Desk<'a> {
    /// The oracle.
    pub history: &'a mut History,
    /// Counts.
    pub tally: &'a mut Tally,
    /// Room for values to write.
    pub value: &'a mut Vec<u8>,
    /// Room for values that are read.
    pub buffer: &'a mut [u8],
    /// The store's shape.
    pub setup: &'a Setup,
    /// Whether device errors are planned.
    pub weather: Weather,
    /// The newest commit was refused for want of room.
    pub is_full: bool,
    /// Snapshots that the session holds, and what they see.
    pub held: Vec<Held>,
}

/// A session with a broken device ends when so many states are possible: each unknown outcome may double them.
const DOUBTS_MAX: u32 = 256;

enum Exit {
    Close,
    ReadOnly,
    Kill,
    Session(SessionEnd),
}

/// Runs one session.
///
/// # Errors
/// What the oracle found.
pub fn run_session<E: Engine>(
    device: &mut SimDevice,
    arena: &mut [u8],
    tape: &mut TapeReader<'_>,
    start: Start,
    desk: &mut Desk<'_>,
) -> Result<SessionEnd, Problem> {
    let mut start = start;
    // Each turn is one open; the tape ends the loop.
    loop {
        device.bounds = desk.history.bounds();
        device.phase = Some(if start == Start::Format { Phase::Format } else { Phase::Open });
        device.rules.opening();
        device.note(OpKind::Reopen);
        device.rules.opening();
        device.reset_counters();
        desk.tally.opens += 1;
        let opened = match start {
            Start::Format => {
                E::format(&mut *device, &mut *arena, desk.setup).map(|store| desk.live(store, tape))
            }
            Start::Open => E::open(&mut *device, &mut *arena, desk.setup, Opening::ReadWrite)
                .map(|store| desk.live(store, tape)),
        };
        let exit = match opened {
            Ok(exit) => exit?,
            Err(_) if desk.weather == Weather::Faulty => return Ok(SessionEnd::Stopped),
            Err(error) => {
                let what = device.violation.take().unwrap_or_default();
                return Err(Problem::new(
                    "open-error",
                    format!("open or format answered: {error} ({error:?}) {what}"),
                ));
            }
        };
        start = Start::Open;
        device.bounds = desk.history.bounds();
        match exit {
            Exit::Session(end) => return Ok(end),
            // What a cache holds after a failed flush is for the medium to say, at the next power session.
            _ if device.rules.flush_failed => return Ok(SessionEnd::Stopped),
            Exit::Kill => desk.tally.mark(Mark::Killed),
            Exit::Close => {}
            Exit::ReadOnly => desk.look_only::<E>(device, arena)?,
        }
    }
}

impl Desk<'_> {
    /// The store opened: what it shows must be legal, and is the only legal state from now on.
    /// False if a planned error kept it from being read.
    fn settle_open<K: Kv>(&mut self, store: &mut K) -> Result<bool, Problem> {
        rules(store)?;
        match read_state(store, self.history, self.buffer) {
            Ok(state) => {
                judge(&state, self.history, self.history.bounds(), "after open")?;
                self.history.fix(state);
            }
            Err(problem) if self.weather == Weather::Fair || problem.class != "read-error" => {
                return Err(problem);
            }
            Err(_) => return Ok(false),
        }
        store.device().phase = Some(Phase::Run);
        self.tally
            .mark_if(store.space().is_some_and(|space| space.passed_over > 0), Mark::PassedOver);
        self.stamp(store);
        Ok(true)
    }

    /// A store's life from its opening to its close, its death or the end of the session.
    fn live<K: Kv>(&mut self, mut store: K, tape: &mut TapeReader<'_>) -> Result<Exit, Problem> {
        self.held.clear();
        if !self.settle_open(&mut store)? {
            return Ok(Exit::Session(SessionEnd::Stopped));
        }
        let exit = self.drive(&mut store, tape)?;
        self.read_all_held(&mut store)?;
        let cut_short = store.space().is_some_and(|space| space.debt > 0);
        self.tally.mark_if(cut_short, Mark::CycleCutShort);
        if matches!(exit, Exit::Close | Exit::ReadOnly) {
            store.device().phase = Some(Phase::Close);
            match store.close() {
                // The medium's rules learn of it with the next sync: the device is gone with the store.
                Ok(()) => self.history.ack(),
                Err(_) if self.weather == Weather::Faulty => {
                    return Ok(Exit::Session(SessionEnd::Stopped));
                }
                Err(error) => return Err(unexpected("close", &error)),
            }
        }
        Ok(exit)
    }

    /// Opens read-only: the same state, and the device is not touched.
    fn look_only<E: Engine>(
        &mut self,
        device: &mut SimDevice,
        arena: &mut [u8],
    ) -> Result<(), Problem> {
        device.reset_counters();
        let opened = E::open(&mut *device, &mut *arena, self.setup, Opening::ReadOnly)
            .map(|mut store| read_state(&mut store, self.history, self.buffer));
        let state = match opened {
            Ok(Ok(state)) => state,
            Ok(Err(problem)) if self.weather == Weather::Fair || problem.class != "read-error" => {
                return Err(problem);
            }
            Ok(Err(_)) => return Ok(()),
            Err(_) if self.weather == Weather::Faulty => return Ok(()),
            Err(error) => return Err(unexpected("open read-only", &error)),
        };
        judge(&state, self.history, self.history.bounds(), "read-only")?;
        self.tally.mark(Mark::ReadOnlyOpen);
        if device.counters.writes + device.counters.flushes > 0 {
            return Err(Problem::new("read-only-wrote", "a read-only open wrote or flushed"));
        }
        Ok(())
    }

    pub(super) fn stamp<K: Kv>(&self, store: &mut K) {
        let seq = store.stats().seq;
        let device = store.device();
        device.bounds = self.history.bounds();
        device.seq = device.seq.max(seq);
    }

    fn drive<K: Kv>(&mut self, store: &mut K, tape: &mut TapeReader<'_>) -> Result<Exit, Problem> {
        loop {
            if self.history.alternatives() > DOUBTS_MAX {
                return Ok(Exit::Session(SessionEnd::Stopped));
            }
            let place = tape.at as u32;
            let Some(op) = tape.next_op() else { return Ok(Exit::Session(SessionEnd::TapeEnd)) };
            store.device().note(OpKind::User(place));
            store.device().reset_counters();
            match op {
                TapeOp::Close => return Ok(Exit::Close),
                TapeOp::ReadOnly => return Ok(Exit::ReadOnly),
                TapeOp::Kill => return Ok(Exit::Kill),
                TapeOp::PowerCut(seed) => return Ok(Exit::Session(SessionEnd::PowerCut(seed))),
                _ => self.apply(store, op)?,
            }
            rules(store)?;
        }
    }
}
