//! One store, one tape, one device, no crashes: what the campaigns other than the explorer are made of.

use emberkv_core::Error;

use super::device::SimDevice;
use super::engine::Engine;
use super::failure::Problem;
use super::fate::{Fate, befall};
use super::fault::{BadBlock, Fault};
use super::history::History;
use super::marks::Tally;
use super::oplog::{Atom, OpKind};
use super::profile::{Medium, SETUP_BYTES, Setup};
use super::rng::Rng;
use super::session::{Desk, SessionEnd, Start, Weather, run_session};
use super::tape::TapeReader;

/// The setup of a tape, with sizes raised until the engine takes them.
///
/// # Errors
/// No sizes fit, or `format` fails for another reason.
pub fn fit<E: Engine>(
    tape: &[u8],
    bug: Option<&'static str>,
    arena: &mut Vec<u8>,
) -> Result<Setup, Problem> {
    let mut setup = Setup::decode(tape);
    setup.bug = bug;
    let mut device = SimDevice::default();
    for _ in 0..16 {
        device.reset(&setup);
        arena.clear();
        arena.resize(E::arena_bytes(&setup), 0);
        let error = match E::format(&mut device, arena, &setup) {
            Ok(_) => return Ok(setup),
            Err(error) => error,
        };
        match error {
            Error::Config { field, want } => match field {
                "frames" => setup.frames *= 2,
                "capacity" => setup.segments += 2,
                "page_bytes" if want.contains("segment/4") => setup.segment_bytes *= 2,
                "page_bytes" if want.contains("transfer") => {
                    setup.page_bytes /= 2;
                    setup.segment_bytes /= 2;
                }
                "page_bytes" => setup.page_bytes *= 2,
                "segment_bytes" => setup.segment_bytes *= 2,
                _ => {
                    let what = format!("format of {setup:?} wants {field} {want}");
                    return Err(Problem::new("format-error", what));
                }
            },
            error => {
                let what = format!("format of {setup:?} answered {error}");
                return Err(Problem::new("format-error", what));
            }
        }
    }
    Err(Problem::new("format-error", format!("no sizes fit: {setup:?}")))
}

/// A device with a store and its oracle.
pub struct Bench<E: Engine> {
    /// The device that is recorded.
    pub device: SimDevice,
    /// The blank device that the log started from.
    pub blank: SimDevice,
    /// The oracle.
    pub history: History,
    /// The store's shape.
    pub setup: Setup,
    /// Counts.
    pub tally: Tally,
    /// Memory for the store.
    pub arena: Vec<u8>,
    /// Room for values that are read.
    pub buffer: Vec<u8>,
    value: Vec<u8>,
    bug: Option<&'static str>,
    engine: std::marker::PhantomData<E>,
}

impl<E: Engine> Bench<E> {
    /// A bench whose engine has this seeded bug.
    #[must_use]
    pub fn new(bug: Option<&'static str>) -> Self {
        Self {
            device: SimDevice::default(),
            blank: SimDevice::default(),
            history: History::default(),
            setup: Setup::decode(&[]),
            tally: Tally::default(),
            arena: Vec::new(),
            buffer: Vec::new(),
            value: Vec::new(),
            bug,
            engine: std::marker::PhantomData,
        }
    }

    /// Formats a blank device and plays the tape up to its end or its first power cut.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn play(&mut self, tape: &[u8], fault: Option<Fault>) -> Result<SessionEnd, Problem> {
        self.play_worn(tape, fault, None)
    }

    /// The same on a device with a bad block.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn play_worn(
        &mut self,
        tape: &[u8],
        fault: Option<Fault>,
        bad: Option<BadBlock>,
    ) -> Result<SessionEnd, Problem> {
        let setup = fit::<E>(tape, self.bug, &mut self.arena)?;
        self.setup = setup;
        self.buffer.resize(setup.segment_bytes as usize * 2 + 4096, 0);
        self.history.clear();
        self.device.reset(&setup);
        self.blank.copy_medium(&self.device, &setup);
        self.device.recording = true;
        self.device.fault = fault;
        let is_fair = fault.is_none() && bad.is_none();
        let weather = if is_fair { Weather::Fair } else { Weather::Faulty };
        self.device.bad.extend(bad);
        let mut reader = TapeReader::new(tape, SETUP_BYTES);
        self.session(&mut reader, Start::Format, weather)
    }

    /// Runs one more session on the device as it is.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn session(
        &mut self,
        reader: &mut TapeReader<'_>,
        start: Start,
        weather: Weather,
    ) -> Result<SessionEnd, Problem> {
        let setup = self.setup;
        let mut desk = Desk {
            history: &mut self.history,
            tally: &mut self.tally,
            value: &mut self.value,
            buffer: &mut self.buffer,
            setup: &setup,
            weather,
            is_full: false,
            held: Vec::new(),
        };
        run_session::<E>(&mut self.device, &mut self.arena, reader, start, &mut desk)
    }

    /// Replaces the medium by what a power cut at the end of the log leaves, each atom's fate drawn from `rng`.
    pub fn cut_power(&mut self, rng: &mut Rng) {
        let setup = self.setup;
        let mut medium = SimDevice::default();
        medium.copy_medium(&self.blank, &setup);
        let ordered = setup.profile.medium == Medium::Nor;
        let log = &self.device.log;
        let mut pending: Vec<Atom> = Vec::new();
        for op in &log.ops {
            let own = &log.atoms[op.first as usize..op.end as usize];
            match op.kind {
                OpKind::Write | OpKind::Erase | OpKind::Discard if !ordered => {
                    pending.extend_from_slice(own)
                }
                OpKind::Write | OpKind::WriteDurable | OpKind::Erase | OpKind::Discard => {
                    for atom in own {
                        befall(&mut medium, atom, log.data_of(atom), Fate::Full);
                    }
                }
                OpKind::Flush => {
                    for atom in pending.drain(..) {
                        befall(&mut medium, &atom, log.data_of(&atom), Fate::Full);
                    }
                }
                _ => {}
            }
        }
        for atom in &pending {
            let fate = match rng.below(4) {
                0 => Fate::Prefix(rng.word()),
                1 => Fate::Absent,
                _ => Fate::Full,
            };
            befall(&mut medium, atom, log.data_of(atom), fate);
        }
        // The rules' memory of acknowledgements stays with the device that lived through them.
        std::mem::swap(&mut medium.rules, &mut self.device.rules);
        self.device.copy_medium(&medium, &setup);
        self.device.power_on();
    }
}
