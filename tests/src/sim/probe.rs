//! The checks of one crash image: open it, read everything, find the state among the legal ones; and on some
//! images the long way: `check`, a second open, progress, a clean close after which opening writes nothing.

use emberkv_core::Error;

use super::device::SimDevice;
use super::engine::{Engine, Kv, Opening, Space};
use super::failure::Problem;
use super::history::{Commit, History, State};
use super::marks::{Mark, Tally};
use super::profile::Setup;
use super::rng::digest;
use super::space::{adds_up, costs_the_same, merges, settled};
use super::verify::{KEY_NAMES, judge, read_slowly, read_state, rules};

/// What is known about the crash that made an image.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// The oldest and newest legal step.
    pub bounds: (u32, u32),
    /// The largest sequence number issued before.
    pub seq: u64,
    /// `format` had not returned: opening may also answer that there is no store.
    pub in_format: bool,
    /// Do the long checks too.
    pub thorough: bool,
}

/// What the checks work with.
pub struct Probe<'a> {
    /// The medium after the crash, with undo switched on.
    pub medium: &'a mut SimDevice,
    /// Memory for the store.
    pub arena: &'a mut [u8],
    /// Room for values.
    pub buffer: &'a mut [u8],
    /// The oracle.
    pub history: &'a History,
    /// Counts.
    pub tally: &'a mut Tally,
    /// The store's shape.
    pub setup: &'a Setup,
}

impl Probe<'_> {
    /// Checks the image; the state that it recovered to.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn check<E: Engine>(&mut self, crash: &Crash) -> Result<Option<State>, Problem> {
        self.medium.reset_counters();
        self.tally.opens += 1;
        let look = Look { buffer: &mut *self.buffer, history: self.history, crash };
        let opened = E::open(&mut *self.medium, &mut *self.arena, self.setup, Opening::ReadWrite)
            .map(|store| look.at(store));
        let seen = match opened {
            Ok(seen) => seen?,
            Err(_) if crash.in_format => {
                return if crash.thorough {
                    self.format_again::<E>().map(|()| None)
                } else {
                    Ok(None)
                };
            }
            Err(error) => {
                let more = self.medium.violation.take().unwrap_or_default();
                return Err(Problem::new(
                    "open-error",
                    format!("open after a crash: {error} ({error:?}) {more}"),
                ));
            }
        };
        self.tally.engine |= seen.marks;
        self.tally.mark_if(seen.passed_over, Mark::PassedOver);
        self.tally.mark_if(seen.wrote, Mark::RecoveryWrote);
        self.tally.mark_if(!seen.wrote, Mark::RecoveryClean);
        self.mark_outcome(seen.step, crash);
        self.tally.mark_if(seen.state.count() == 0, Mark::EmptyStore);
        if crash.thorough {
            self.second_open::<E>(&seen.state)?;
            self.progress::<E>(&seen.state, crash.seq)?;
        }
        Ok(Some(seen.state))
    }

    fn mark_outcome(&mut self, step: u32, crash: &Crash) {
        self.tally.mark_if(step > crash.bounds.0, Mark::UnackedKept);
        self.tally.mark_if(self.history.commit_of(step) == Commit::Stream, Mark::StreamKept);
        if step < crash.bounds.1 {
            self.tally.mark(Mark::TornTailCut);
            let lost = self.history.commit_of(step + 1);
            self.tally.mark_if(lost == Commit::Batch, Mark::BatchCut);
            self.tally.mark_if(lost == Commit::Delete, Mark::DeleteCut);
            self.tally.mark_if(lost == Commit::Stream, Mark::StreamCut);
        }
    }

    /// A crash inside `format` leaves something that can be formatted.
    fn format_again<E: Engine>(&mut self) -> Result<(), Problem> {
        let unit = self.medium.profile().erase_unit;
        if self.setup.caps().needs_erase {
            let capacity = self.medium.bytes.len() as u32;
            for place in (0..capacity).step_by(unit as usize) {
                self.medium.blank(place, unit);
            }
        }
        let (history, buffer) = (self.history, &mut *self.buffer);
        let state = E::format(&mut *self.medium, &mut *self.arena, self.setup)
            .map_err(|error| problem("format after a crash in format", &error))
            .and_then(|mut store| read_state(&mut store, history, buffer))?;
        if state.count() != 0 {
            return Err(Problem::new("illegal-state", "a formatted store is not empty"));
        }
        Ok(())
    }

    /// Opened again without a write between: the same state, and half-charged bits may have changed.
    fn second_open<E: Engine>(&mut self, state: &State) -> Result<(), Problem> {
        self.medium.garble_weak();
        self.medium.power_on();
        self.tally.opens += 1;
        self.tally.mark(Mark::SecondOpen);
        let (history, buffer) = (self.history, &mut *self.buffer);
        E::open(&mut *self.medium, &mut *self.arena, self.setup, Opening::ReadWrite)
            .map_err(|error| problem("second open", &error))
            .and_then(|mut store| {
                let again = read_state(&mut store, history, buffer)?;
                rules(&mut store)?;
                same(state, &again, history, "a second open without a write between")
            })
    }

    /// The recovered store works: put, sync, get, delete; sequence numbers go up; a clean close is clean.
    fn progress<E: Engine>(&mut self, state: &State, seq: u64) -> Result<(), Problem> {
        let mut expected = *state;
        let (mut marked_clean, mut closed) = (false, None);
        self.medium.power_on();
        let tally = &mut *self.tally;
        E::open(&mut *self.medium, &mut *self.arena, self.setup, Opening::ReadWrite)
            .map_err(|error| problem("third open", &error))
            .and_then(|store| use_it(store, &mut expected, seq, tally))
            .map(|(room, space)| (marked_clean, closed) = (room == Room::Left, space))?;
        self.medium.power_on();
        let (history, buffer) = (self.history, &mut *self.buffer);
        E::open(&mut *self.medium, &mut *self.arena, self.setup, Opening::ReadWrite)
            .map_err(|error| problem("open after a clean close", &error))
            .and_then(|mut store| {
                let again = read_state(&mut store, history, buffer)?;
                rules(&mut store)?;
                let counters = store.device().counters;
                // A full store may have no room for the mark of its clean close.
                if counters.writes != 0 && marked_clean {
                    return Err(Problem::new(
                        "open-wrote",
                        format!("open after a clean close: {counters:?}"),
                    ));
                }
                if let (Some(closed), Some(opened)) = (closed, store.space()) {
                    costs_the_same(&closed, &opened)?;
                }
                same(&expected, &again, history, "after a clean close")
            })
    }
}

/// Whether a store took what it was asked to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Left,
    None,
}

/// Put, sync, delete, close.
fn use_it<K: Kv>(
    mut store: K,
    expected: &mut State,
    seq: u64,
    tally: &mut Tally,
) -> Result<(Room, Option<Space>), Problem> {
    let mut room = Room::Left;
    match store.put(KEY_NAMES[0], b"progress") {
        Ok(()) => {
            expected.set(0, digest(b"progress"));
            let now = store.stats().seq;
            if now <= seq {
                return Err(Problem::new(
                    "seq-reuse",
                    format!("a put after the crash has seq {now}, {seq} was given out before"),
                ));
            }
            store.sync().map_err(|error| problem("sync after a crash", &error))?;
            tally.mark(Mark::Progress);
        }
        Err(Error::Full) => {
            room = Room::None;
            tally.mark(Mark::Full);
        }
        Err(error) => return Err(problem("put after a crash", &error)),
    }
    match store.delete(KEY_NAMES[1]) {
        Ok(there) if there != (expected.values[1] != 0) => {
            return Err(Problem::new("delete-differs", "a delete after the crash answers wrongly"));
        }
        Ok(_) => expected.set(1, 0),
        Err(Error::Full) if !store.space().is_some_and(merges) => room = Room::None,
        Err(error) => return Err(problem("delete after a crash", &error)),
    }
    rules(&mut store)?;
    let space = store.space().filter(|&space| merges(space));
    if let Some(space) = space {
        adds_up(&space)?;
        merge_all(&mut store)?;
        if room == Room::None {
            make_room(&mut store, expected)?;
            tally.mark(Mark::RoomAgain);
            room = Room::Left;
        }
        settled(&mut store)?;
        rules(&mut store)?;
    }
    let space = store.space().filter(|&space| merges(space));
    store.close().map_err(|error| problem("close after a crash", &error))?;
    Ok((room, space))
}

/// Merges until nothing is left.
fn merge_all<K: Kv>(store: &mut K) -> Result<(), Problem> {
    for _ in 0..64 {
        if !store.merge(u64::MAX).map_err(|error| problem("merge_step after a crash", &error))? {
            return Ok(());
        }
    }
    Err(Problem::new("endless", "merging after a crash does not come to an end"))
}

/// A full store takes a put again, once its keys are deleted and what they left is merged.
fn make_room<K: Kv>(store: &mut K, expected: &mut State) -> Result<(), Problem> {
    for (key, name) in KEY_NAMES.iter().enumerate() {
        store.delete(name).map_err(|error| problem("delete on a full store", &error))?;
        expected.set(key, 0);
    }
    merge_all(store)?;
    store
        .put(KEY_NAMES[0], b"room")
        .map_err(|error| problem("put after deletes and merges", &error))?;
    expected.set(0, digest(b"room"));
    Ok(())
}

/// The first look at a recovered store.
struct Look<'a> {
    buffer: &'a mut [u8],
    history: &'a History,
    crash: &'a Crash,
}

/// What it saw.
struct Seen {
    state: State,
    step: u32,
    wrote: bool,
    passed_over: bool,
    marks: u64,
}

impl Look<'_> {
    fn at<K: Kv>(self, mut store: K) -> Result<Seen, Problem> {
        rules(&mut store)?;
        let wrote = store.device().counters.writes > 0;
        let state = read_state(&mut store, self.history, self.buffer)?;
        let step = judge(&state, self.history, self.crash.bounds, "after a crash")?;
        rules(&mut store)?;
        if self.crash.thorough {
            let damage = store.check().map_err(|error| problem("check after a crash", &error))?;
            // Of a format that did not end, parts may be missing.
            if let Some(damage) = damage.filter(|_| !self.crash.in_format) {
                let what = format!("check after a mere crash: {damage}");
                return Err(Problem::new("false-alarm", what));
            }
            read_slowly(&mut store, &state, self.buffer)?;
        }
        let passed_over = store.space().is_some_and(|space| space.passed_over > 0);
        Ok(Seen { state, step, wrote, passed_over, marks: store.marks() })
    }
}

fn same(before: &State, now: &State, history: &History, when: &str) -> Result<(), Problem> {
    if before == now {
        return Ok(());
    }
    Err(Problem::new(
        "state-changed",
        format!("{when}: {} became {}", history.explain(before), history.explain(now)),
    ))
}

fn problem(what: &str, error: &Error) -> Problem {
    Problem::new("unexpected-error", format!("{what} answered: {error} ({error:?})"))
}
